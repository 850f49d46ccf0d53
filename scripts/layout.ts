import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The repository's own folder. */
export const root = join(dirname(fileURLToPath(import.meta.url)), '..');

/** Where the exact tree of the package is staged. */
export const stageFolder = join(root, 'build', 'stage');

/** Where the bundles of the task go. */
export const bundleFolder = join(root, 'build', 'bundle');

/** Where the package is left. */
export const distFolder = join(root, 'dist');

/** Reads a JSON object of the repository. Throws for anything else. */
export function readJson(path: string): Record<string, unknown> {
  const value: unknown = JSON.parse(readFileSync(join(root, path), 'utf8'));
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new TypeError(`${path} holds no JSON object`);
  }
  return Object.fromEntries(Object.entries(value));
}
