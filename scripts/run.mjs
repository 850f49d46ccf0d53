// The one way in for every command. Plain JavaScript, because it runs before anything is installed: it installs what
// the lockfile names where that was not done yet, and then runs the command's TypeScript.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');

/** Runs a program of Node in this window; ends this process with its exit code where that is not 0. */
function node(args, environment = {}) {
  const result = spawnSync(process.execPath, args, {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, ...environment },
  });
  if (result.status !== 0) {
    process.exit(result.status ?? 1);
  }
}

/** Installs from the lockfile of a folder, once for each content that it has. Gives npm's exit code. */
function install(folder) {
  const cwd = join(root, folder);
  const stamp = join(cwd, 'node_modules', '.installed');
  const wanted = createHash('sha256')
    .update(readFileSync(join(cwd, 'package-lock.json')))
    .digest('hex');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) {
    return 0;
  }
  process.stderr.write(`Installing the packages of ${join(folder, 'package-lock.json')} …\n`);
  const npm = process.env.npm_execpath;
  const options = ['ci', '--no-audit', '--no-fund', '--loglevel=error'];
  const installed = npm
    ? spawnSync(process.execPath, [npm, ...options], { cwd, stdio: ['ignore', 2, 2] })
    : spawnSync('npm', options, { cwd, stdio: ['ignore', 2, 2], shell: process.platform === 'win32' });
  if (installed.status === 0) {
    // Where no package is for this system, npm makes no folder.
    mkdirSync(dirname(stamp), { recursive: true });
    writeFileSync(stamp, wanted);
  }
  return installed.status ?? 1;
}

/** The versions of Node that some tests need. */
function installOldNodes() {
  if (install(join('test', 'old-nodes')) !== 0) {
    process.stderr.write('The tests that need an old Node are skipped.\n');
  }
}

/** Arguments for a TypeScript file. */
function typescript(file, ...args) {
  return [
    '--import',
    pathToFileURL(join(root, 'node_modules', 'tsx', 'dist', 'loader.mjs')).href,
    join(root, file),
    ...args,
  ];
}

const [command = '', ...args] = process.argv.slice(2);
const biome = join('node_modules', '@biomejs', 'biome', 'bin', 'biome');
const tsc = join('node_modules', 'typescript', 'bin', 'tsc');

const commands = {
  build: () => node(typescript('scripts/build.ts')),
  package: () => node(typescript('scripts/package.ts', ...args)),
  start: () => {
    node(typescript('scripts/package.ts', '--quiet', '--if-changed'));
    node(typescript('scripts/start.ts', ...args));
  },
  check: () => {
    node([biome, 'check', '--error-on-warnings', '.']);
    node([tsc, '--project', '.']);
    node(typescript('scripts/imports.ts'));
    node(typescript('scripts/stale.ts'));
  },
  format: () => node([biome, 'check', '--write', '.']),
  test: () => {
    installOldNodes();
    commands.check();
    node(typescript('scripts/package.ts', '--quiet'));
    node(typescript('scripts/test.ts', ...args));
  },
  pictures: () => {
    node(typescript('scripts/package.ts', '--quiet', '--if-changed'));
    node(typescript('scripts/pictures.ts'));
  },
  documents: () => node(typescript('scripts/documents.ts')),
  version: () => node(typescript('scripts/version.ts', ...args)),
  publish: () => node(typescript('scripts/publish.ts', ...args)),
  audit: () => node(typescript('scripts/audit.ts')),
  ci: () => {
    commands.test();
    commands.audit();
  },
  soak: () => {
    // Two of its sections are the tests of `npm test`.
    installOldNodes();
    node(typescript('scripts/package.ts', '--quiet', '--if-changed'));
    node(typescript('test/soak/soak.ts', ...args));
  },
  tools: () => {
    node(typescript('scripts/package.ts', '--quiet', '--if-changed'));
    node(typescript('test/tools/tools.ts', ...args));
  },
  bench: () => {
    node(typescript('scripts/package.ts', '--quiet', '--if-changed'));
    node(typescript('bench/bench.ts', ...args));
  },
};

if (!Object.hasOwn(commands, command)) {
  process.stderr.write(`Usage: node scripts/run.mjs ${Object.keys(commands).join('|')} [arguments]\n`);
  process.exit(2);
}
const installed = install('.');
if (installed !== 0) {
  process.stderr.write('The packages could not be installed; the lines above say why.\n');
  process.exit(installed);
}
commands[command]();
