import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Sheet, startBrowser } from './browser.ts';
import { formExamples } from './examples.ts';
import { formPage } from './form.ts';
import { root } from './layout.ts';
import { readManifest } from './manifest.ts';
import { withDigest } from './png.ts';
import { terminalPage } from './terminal.ts';

/** A picture of the repository and what it is drawn from. */
export interface Picture {
  /** Path in the repository. */
  readonly file: string;
  /** Its digest is written into the picture, so that a test can tell a picture that is no longer true. */
  readonly source: string;
  readonly sheet: Sheet;
}

/** Every picture that depends on files of the repository alone. */
export function pictures(): Picture[] {
  const icon = read('images/icon.svg');
  const manifest = readManifest();
  return [
    { file: 'images/icon.png', source: icon, sheet: { html: square(icon, 128), width: 128, height: 128 } },
    { file: 'tasks/EntraTokenV1/icon.png', source: icon, sheet: { html: square(icon, 32), width: 32, height: 32 } },
    ...['flow', 'choose', 'house'].map((name) => diagram(name)),
    ...Object.entries(formExamples).map(([source, entered]) => {
      const html = formPage(manifest, entered);
      return { file: `docs/images/form-${source}.png`, source: html, sheet: { html, width: 640, scale: 1.5 } };
    }),
  ];
}

function diagram(name: string): Picture {
  const source = read(`docs/images/${name}.svg`);
  const [, width, height] = /width="(\d+)" height="(\d+)"/.exec(source) ?? [];
  const html = `<!doctype html><meta charset="utf-8"><style>*{margin:0}svg{display:block}</style>${source}`;
  return {
    file: `docs/images/${name}.png`,
    source,
    sheet: { html, width: Number(width), height: Number(height), scale: 2 },
  };
}

function square(svg: string, size: number): string {
  return `<!doctype html><style>*{margin:0}svg{display:block;width:${size}px;height:${size}px}</style>${svg}`;
}

function read(path: string): string {
  return readFileSync(join(root, path), 'utf8').replaceAll('\r\n', '\n');
}

/** What `npm start` prints, with the colours of a terminal. */
function quickStart(): string {
  const run = spawnSync(process.execPath, ['--import', 'tsx', join(root, 'scripts', 'start.ts')], {
    cwd: root,
    encoding: 'utf8',
    env: { ...process.env, FORCE_COLOR: '1' },
  });
  if (run.status !== 0) {
    throw new Error(`npm start failed:\n${run.stdout}${run.stderr}`);
  }
  return run.stdout;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const browser = startBrowser();
  try {
    for (const { file, source, sheet } of pictures()) {
      writeFileSync(join(root, file), withDigest(await browser.draw(sheet), source));
      process.stdout.write(`${file}\n`);
    }
    const file = 'docs/images/start.png';
    writeFileSync(join(root, file), await browser.draw({ html: terminalPage(quickStart()), width: 1060 }));
    process.stdout.write(`${file}\n`);
  } finally {
    await browser.close();
  }
}
