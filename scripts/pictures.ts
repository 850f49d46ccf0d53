import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findChromium, noChromium, type Sheet, startBrowser } from './browser.ts';
import { formExamples } from './examples.ts';
import { formPage } from './form.ts';
import { root } from './layout.ts';
import { readManifest } from './manifest.ts';
import { digestOf, readPng, withDigest } from './png.ts';
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
    ...['flow', 'choose', 'modules'].map((name) => diagram(name)),
    form('form', formPage(manifest, formExamples['azureRM'] ?? {}, 'at first')),
    ...Object.entries(formExamples).map(([source, entered]) => form(`form-${source}`, formPage(manifest, entered))),
  ];
}

function form(name: string, html: string): Picture {
  return { file: `docs/images/${name}.png`, source: html, sheet: { html, width: 640, scale: 1.5 } };
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

/** The picture of `npm start`. */
export const startPicture = 'docs/images/start.png';

/** What is printed, without what differs from run to run, from machine to machine, and with the version. */
export function withoutChance(printed: string): string {
  return printed
    .replaceAll('\r\n', '\n')
    .replaceAll('\\', '/')
    .replace(/\d\d:\d\d:\d\d\.\d{3}/g, '<time>')
    .replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ \([^)]*\)/g, '<time>')
    .replace(/(?<=Version +: )\d+\.\d+\.\d+/g, '<version>')
    .replace(/(?<=\[command\]).*/g, '<command>')
    .replace(/ *\d+\.\d s/g, ' <seconds>');
}

/** What `npm start` prints of the step with the task, from its first line to its last, with the colours of a terminal. */
export function quickStartStep(): string {
  const run = spawnSync(process.execPath, ['--import', 'tsx', join(root, 'scripts', 'start.ts')], {
    cwd: root,
    encoding: 'utf8',
    env: { ...process.env, NO_COLOR: '', FORCE_COLOR: '1' },
  });
  const step = /^.*Starting: Get a token[\s\S]*?Finishing: Get a token.*$/m.exec(run.stdout)?.[0];
  if (run.status !== 0 || step === undefined) {
    throw new Error(`npm start failed:\n${run.stdout}${run.stderr}`);
  }
  return step;
}

/** Those of {@link pictures} that no longer show what they are drawn from. */
export function stalePictures(): string[] {
  return pictures()
    .filter(({ file, source }) => readPng(readFileSync(join(root, file))).digest !== digestOf(source))
    .map(({ file }) => file);
}

/** What is said of a stale picture, whoever finds it. */
export const stalePicture = (file: string): string =>
  `${file} is stale: npm run pictures, where Chromium is installed (not a fault of a change without it)`;

async function drawAll(chromium: string): Promise<void> {
  const browser = startBrowser(chromium);
  try {
    for (const { file, source, sheet } of pictures()) {
      writeFileSync(join(root, file), withDigest(await browser.draw(sheet), source));
      process.stdout.write(`${file}\n`);
    }
    const printed = quickStartStep();
    const picture = await browser.draw({ html: terminalPage(printed), width: 860 });
    writeFileSync(join(root, startPicture), withDigest(picture, withoutChance(printed)));
    process.stdout.write(`${startPicture}\n`);
  } finally {
    await browser.close();
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const chromium = findChromium();
  if (chromium === undefined) {
    process.stderr.write(`${noChromium}\n`);
    process.exitCode = 2;
  } else {
    await drawAll(chromium);
  }
}
