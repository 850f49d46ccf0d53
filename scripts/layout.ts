import { readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The repository's own folder. */
export const root = join(dirname(fileURLToPath(import.meta.url)), '..');

/** Another place for all that is made, where a build must not touch the usual one. */
const elsewhere = process.env['ENTRA_TOKEN_BUILD_FOLDER'];
/** Where all that is made on the way goes. */
export const buildFolder = elsewhere === undefined ? join(root, 'build') : join(resolve(elsewhere), 'build');

/** Where the exact tree of the package is staged. */
export const stageFolder = join(buildFolder, 'stage');

/** Where the bundles of the task go. */
export const bundleFolder = join(buildFolder, 'bundle');

/** Where tfx-cli puts the package before it is finished. */
export const outboxFolder = join(buildFolder, 'outbox');

/** Where the package is left. */
export const distFolder = elsewhere === undefined ? join(root, 'dist') : join(resolve(elsewhere), 'dist');

/** Reads a JSON object of the repository. Throws for anything else. */
export function readJson(path: string): Record<string, unknown> {
  const value: unknown = JSON.parse(readFileSync(join(root, path), 'utf8'));
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new TypeError(`${path} holds no JSON object`);
  }
  return Object.fromEntries(Object.entries(value));
}
