import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { Readable, Writable } from 'node:stream';

/** What a page is drawn with. Sizes are CSS pixels. */
export interface Sheet {
  readonly html: string;
  readonly width: number;
  /** Undefined takes the height that the page needs. */
  readonly height?: number;
  /** Device pixels for each CSS pixel. */
  readonly scale?: number;
}

export interface Browser {
  /** Draws a page; what the page does not paint is transparent. Gives a PNG. */
  draw(sheet: Sheet): Promise<Buffer>;
  close(): Promise<void>;
}

/** Chromium's file: CHROME_PATH, or the first of its usual names on the PATH; undefined where there is none. */
export function findChromium(environment: NodeJS.ProcessEnv = process.env): string | undefined {
  const given = environment['CHROME_PATH'];
  if (given !== undefined && given !== '') {
    return existsSync(given) ? given : undefined;
  }
  for (const folder of (environment['PATH'] ?? '').split(delimiter)) {
    for (const name of ['chromium', 'chromium-browser', 'google-chrome', 'chrome.exe']) {
      const file = join(folder, name);
      if (folder !== '' && existsSync(file)) {
        return file;
      }
    }
  }
  return undefined;
}

/** What to say where there is none. */
export const noChromium =
  'The pictures are drawn with Chromium, which is not installed here (Debian: apt-get install chromium; else name its ' +
  'file in CHROME_PATH). Nothing else needs it: leave stale pictures to whoever merges the change.';

/** Starts Chromium's file without a window and without a network of its own; it is spoken to through two pipes. */
export function startBrowser(chromium: string): Browser {
  const profile = mkdtempSync(join(tmpdir(), 'entra-token-pictures-'));
  const flags = [
    '--headless',
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--disable-sync',
    '--disable-background-networking',
    '--disable-component-update',
    '--hide-scrollbars',
    '--no-first-run',
    '--force-color-profile=srgb',
    '--font-render-hinting=none',
    '--remote-debugging-pipe',
    `--user-data-dir=${profile}`,
  ];
  const child = spawn(chromium, [...flags, 'about:blank'], {
    stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'],
  });
  const call = connect(child);
  return {
    draw: (sheet) => draw(call, sheet),
    close: async () => {
      const gone = new Promise((resolve) => child.once('exit', resolve));
      child.kill();
      await gone;
      rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

type Call = (method: string, params: object, sessionId?: string) => Promise<Record<string, unknown>>;

/** The DevTools protocol over `--remote-debugging-pipe`: JSON messages, each ended by a zero byte. */
function connect(child: ChildProcess): Call {
  const [, , , input, output] = child.stdio;
  if (!(input instanceof Writable && output instanceof Readable)) {
    throw new Error('Chromium was started without the two pipes');
  }
  const waiting = new Map<number, { resolve: (result: Record<string, unknown>) => void; reject: (e: Error) => void }>();
  let last = 0;
  let text = '';
  output.setEncoding('utf8').on('data', (chunk: string) => {
    const messages = (text + chunk).split('\0');
    text = messages.pop() ?? '';
    for (const message of messages) {
      const { id, result, error } = JSON.parse(message);
      const caller = waiting.get(id);
      waiting.delete(id);
      if (error === undefined) {
        caller?.resolve(result);
      } else {
        caller?.reject(new Error(`Chromium: ${error.message}`));
      }
    }
  });
  child.once('exit', () => {
    for (const { reject } of waiting.values()) {
      reject(new Error('Chromium ended before the picture was drawn'));
    }
  });
  child.once('error', () => undefined);
  return (method, params, sessionId) =>
    new Promise((resolve, reject) => {
      last++;
      waiting.set(last, { resolve, reject });
      input.write(`${JSON.stringify({ id: last, method, params, sessionId })}\0`);
    });
}

async function draw(call: Call, { html, width, height, scale = 1 }: Sheet): Promise<Buffer> {
  const { targetId } = await call('Target.createTarget', { url: 'about:blank' });
  const { sessionId } = await call('Target.attachToTarget', { targetId, flatten: true });
  const onPage = (method: string, params: object) => call(method, params, String(sessionId));
  const size = (tall: number) => ({ width, height: tall, deviceScaleFactor: scale, mobile: false });
  await onPage('Emulation.setDeviceMetricsOverride', size(height ?? 100));
  await onPage('Emulation.setDefaultBackgroundColorOverride', { color: { r: 0, g: 0, b: 0, a: 0 } });
  const { frameTree } = await onPage('Page.getFrameTree', {});
  await onPage('Page.setDocumentContent', { frameId: field(frameTree, 'frame', 'id'), html });
  const settled = 'document.fonts.ready.then(() => Math.ceil(document.documentElement.getBoundingClientRect().height))';
  const { result } = await onPage('Runtime.evaluate', { expression: settled, awaitPromise: true, returnByValue: true });
  const tall = height ?? Number(field(result, 'value'));
  await onPage('Emulation.setDeviceMetricsOverride', size(tall));
  const { data } = await onPage('Page.captureScreenshot', {
    format: 'png',
    clip: { x: 0, y: 0, width, height: tall, scale: 1 },
    captureBeyondViewport: true,
  });
  await call('Target.closeTarget', { targetId });
  return Buffer.from(String(data), 'base64');
}

/** A field of what Chromium answered, at any depth. Throws where it is not there. */
function field(value: unknown, ...path: string[]): unknown {
  return path.reduce((inner, name) => {
    const found = typeof inner === 'object' && inner !== null ? new Map(Object.entries(inner)).get(name) : undefined;
    if (found === undefined) {
      throw new Error(`Chromium answered without ${path.join('.')}`);
    }
    return found;
  }, value);
}
