import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, join, relative, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { unzipSync, type Zippable, zipSync } from 'fflate';
import { bundle, entryFiles, programs, sharedFiles } from './build.ts';
import { bundleFolder, distFolder, outboxFolder, readJson, root, stageFolder } from './layout.ts';
import { bundledPackages, notices, softwareBill } from './notices.ts';

/** What decides the content of the package; a change in any of it makes a new one. */
const sources = [
  'tasks',
  'images',
  'scripts',
  'overview.md',
  'LICENSE',
  'vss-extension.json',
  'package.json',
  'package-lock.json',
];

const STAMP = join(distFolder, '.sources');

/** What another release than the usual one has of its own. */
interface Overrides {
  /** Fields of vss-extension.json. */
  readonly extension: Readonly<Record<string, unknown>>;
  /** Another version than the repository's; it stands in the fields of both manifests as well. */
  readonly version: string | undefined;
  /** Fields of task.json. */
  readonly task: Readonly<Record<string, unknown>>;
}

/** Reads a file of overrides, with the version on top where one is given. Throws for what is neither. */
function readOverrides(file: string | undefined, version: string | undefined): Overrides | undefined {
  if (file === undefined && version === undefined) {
    return undefined;
  }
  const [, Major, Minor, Patch] = /^(\d+)\.(\d+)\.(\d+)$/.exec(version ?? '0.0.0') ?? [];
  if (Patch === undefined) {
    throw new TypeError(`--version ${version} is no version such as 1.2.3`);
  }
  const given = file === undefined ? {} : readJson(relative(root, resolve(file)));
  const numbers = { Major: Number(Major), Minor: Number(Minor), Patch: Number(Patch) };
  return {
    version,
    extension: { ...fields(given['extension']), ...(version === undefined ? {} : { version }) },
    task: { ...fields(given['task']), ...(version === undefined ? {} : { version: numbers }) },
  };
}

function fields(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? Object.fromEntries(Object.entries(value)) : {};
}

/** Puts the exact tree of the package into one folder: tfx checks the task.json that it finds there. */
async function stage(overrides: Overrides | undefined): Promise<void> {
  const packages = bundledPackages(await bundle(overrides?.version));
  rmSync(stageFolder, { recursive: true, force: true });
  const task = join(stageFolder, 'EntraTokenV1');
  mkdirSync(task, { recursive: true });
  for (const name of [...programs, ...sharedFiles]) {
    cpSync(join(bundleFolder, `${name}.js`), join(task, `${name}.js`));
  }
  for (const file of [...entryFiles.map((name) => `${name}.js`), 'task.json', 'icon.png']) {
    cpSync(join(root, 'tasks', 'EntraTokenV1', file), join(task, file));
  }
  if (overrides !== undefined) {
    const manifest = { ...readJson('tasks/EntraTokenV1/task.json'), ...overrides.task };
    writeFileSync(join(task, 'task.json'), `${JSON.stringify(manifest, null, 2)}\n`);
  }
  mkdirSync(join(stageFolder, 'images'));
  cpSync(join(root, 'images', 'icon.png'), join(stageFolder, 'images', 'icon.png'));
  for (const file of ['vss-extension.json', 'overview.md', 'LICENSE']) {
    cpSync(join(root, file), join(stageFolder, file));
  }
  writeFileSync(join(stageFolder, 'THIRD-PARTY-NOTICES.txt'), notices(packages));
  mkdirSync(distFolder, { recursive: true });
  writeFileSync(join(distFolder, 'sbom.cdx.json'), softwareBill(packages, overrides?.version));
}

/** Has tfx-cli make the package from the staged tree. Gives its path in a folder beside the stage. */
function create(overrides: Overrides | undefined): string {
  rmSync(outboxFolder, { recursive: true, force: true });
  mkdirSync(outboxFolder);
  const tfx = join(root, 'node_modules', 'tfx-cli', '_build', 'tfx-cli.js');
  const options = [
    'extension',
    'create',
    '--no-color',
    '--root',
    stageFolder,
    '--manifest-globs',
    'vss-extension.json',
  ];
  if (overrides !== undefined) {
    const file = join(stageFolder, '..', 'overrides.json');
    writeFileSync(file, JSON.stringify(overrides.extension));
    options.push('--overrides-file', file);
  }
  const result = spawnSync(process.execPath, [tfx, ...options, '--output-path', outboxFolder], {
    cwd: stageFolder,
    encoding: 'utf8',
  });
  const [made] = readdirSync(outboxFolder);
  if (result.status !== 0 || made === undefined || /warning|error:/i.test(result.stdout + result.stderr)) {
    process.stderr.write(result.stdout + result.stderr);
    throw new Error('tfx-cli did not make the package, or had something against it');
  }
  return join(outboxFolder, made);
}

/** Puts the finished package in its place at one stroke, and removes every other. */
function deliver(made: string): string {
  const place = join(distFolder, basename(made));
  renameSync(made, place);
  for (const name of readdirSync(distFolder)) {
    if (name.endsWith('.vsix') && name !== basename(made)) {
      rmSync(join(distFolder, name));
    }
  }
  return place;
}

/** The same content with the same times in the same order: two builds of one commit are the same bytes. */
function makeReproducible(vsix: string): void {
  const files = unzipSync(readFileSync(vsix));
  const sorted: Zippable = {};
  for (const name of Object.keys(files).sort()) {
    const content = files[name];
    if (content !== undefined && !name.endsWith('/')) {
      sorted[name] = [content, { mtime: new Date(1980, 0, 2), level: 9, os: 3, attrs: 0o644 << 16 }];
    }
  }
  writeFileSync(vsix, zipSync(sorted));
}

/** A digest of everything that goes into the package. */
function digest(): string {
  const hash = createHash('sha256');
  const add = (path: string): void => {
    if (statSync(path).isDirectory()) {
      for (const name of readdirSync(path).sort()) {
        add(join(path, name));
      }
    } else {
      hash
        .update(`${relative(root, path)}\0`)
        .update(readFileSync(path))
        .update('\0');
    }
  };
  for (const source of sources) {
    add(join(root, source));
  }
  return hash.digest('hex');
}

const { values } = parseArgs({
  options: {
    quiet: { type: 'boolean', default: false },
    'if-changed': { type: 'boolean', default: false },
    /** A file of release/: what a public or a development release has of its own. */
    overrides: { type: 'string' },
    /** Another version than the repository's, for development releases. */
    version: { type: 'string' },
  },
});
const overrides = readOverrides(values.overrides, values.version);
const wanted = digest();
const isCurrent = existsSync(STAMP) && readFileSync(STAMP, 'utf8') === wanted && overrides === undefined;
if (!(values['if-changed'] && isCurrent)) {
  await stage(overrides);
  const made = create(overrides);
  makeReproducible(made);
  const vsix = deliver(made);
  writeFileSync(STAMP, overrides === undefined ? wanted : '');
  if (!values.quiet) {
    process.stdout.write(`${relative(process.cwd(), vsix)}: ${statSync(vsix).size} bytes\n`);
    for (const [name, content] of Object.entries(unzipSync(readFileSync(vsix)))) {
      process.stdout.write(`${String(content.length).padStart(8)}  ${name}\n`);
    }
    process.stdout.write(`Software bill of materials: ${join(basename(distFolder), 'sbom.cdx.json')}\n`);
  }
}
