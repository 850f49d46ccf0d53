import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, lstatSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import { bundleOptions } from '../scripts/build.ts';
import { readJson, root } from '../scripts/layout.ts';

const folder = join(root, 'bench');

/** Installs what the task is compared with from the lockfile of this folder, once for each content that it has. */
export function installPeers(): void {
  const stamp = join(folder, 'node_modules', '.installed');
  const wanted = createHash('sha256')
    .update(readFileSync(join(folder, 'package-lock.json')))
    .digest('hex');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) {
    return;
  }
  process.stderr.write('Installing the packages of bench/package-lock.json …\n');
  const npm = process.env['npm_execpath'];
  const options = ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  const [file, args] = npm === undefined ? ['npm', options] : [process.execPath, [npm, ...options]];
  const { status } = spawnSync(file, args, { cwd: folder, stdio: ['ignore', 2, 2] });
  if (status !== 0) {
    throw new Error('npm could not install the packages of bench/package-lock.json');
  }
  writeFileSync(stamp, wanted);
}

/** A script of the peers. */
export function peer(name: string): string {
  return join(folder, 'peers', `${name}.cjs`);
}

/** Bundles a script of the peers with the options of the task's own bundles; nothing of a library is left out of it. */
export async function bundlePeer(name: string, outfile: string): Promise<void> {
  await build({ ...bundleOptions, entryPoints: [peer(name)], outfile });
}

/** What a package and all that it depends on take on the disk, in bytes: what a task that uses it would carry. */
export function installedSize(name: string): number {
  const locked = readJson(join('bench', 'package-lock.json'))['packages'];
  const packages = new Map(Object.entries(isRecord(locked) ? locked : {}));
  const found = new Set<string>();
  const visit = (wanted: string, from: string): void => {
    const place = resolve(wanted, from, packages);
    if (place === undefined || found.has(place)) {
      return;
    }
    found.add(place);
    const entry = packages.get(place);
    const dependencies = isRecord(entry) && isRecord(entry['dependencies']) ? entry['dependencies'] : {};
    for (const dependency of Object.keys(dependencies)) {
      visit(dependency, place);
    }
  };
  visit(name, '');
  return [...found].reduce((sum, place) => sum + sizeOf(join(folder, place)), 0);
}

/** Where Node would find a package: the nearest node_modules upwards. */
function resolve(name: string, from: string, packages: ReadonlyMap<string, unknown>): string | undefined {
  for (let place = from; ; place = place.slice(0, Math.max(0, place.lastIndexOf('node_modules') - 1))) {
    const candidate = place === '' ? `node_modules/${name}` : `${place}/node_modules/${name}`;
    if (packages.has(candidate)) {
      return candidate;
    }
    if (place === '') {
      return undefined;
    }
  }
}

/** The bytes of all files below a path, without the packages of a nested node_modules, which are counted as such. */
export function sizeOf(path: string): number {
  if (!lstatSync(path).isDirectory()) {
    return statSync(path).size;
  }
  return readdirSync(path)
    .filter((name) => name !== 'node_modules')
    .reduce((sum, name) => sum + sizeOf(join(path, name)), 0);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
