import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { root } from './layout.ts';

/** Each place where the version stands: what precedes it, and how it is written there. */
const places: readonly { file: string; pattern: RegExp; write: (version: string) => string }[] = [
  { file: 'package.json', pattern: /(?<=^ {2}"version": )"[^"]*"/m, write: JSON.stringify },
  // The lockfile names its own package twice: at the top and as the package with the empty path.
  { file: 'package-lock.json', pattern: /(?<=^ {2}"version": )"[^"]*"/m, write: JSON.stringify },
  { file: 'package-lock.json', pattern: /(?<=^ {4}"": \{[^}]*?"version": )"[^"]*"/m, write: JSON.stringify },
  { file: 'vss-extension.json', pattern: /(?<=^ {2}"version": )"[^"]*"/m, write: JSON.stringify },
  { file: 'tasks/EntraTokenV1/task.json', pattern: /(?<=^ {2}"version": )\{[^}]*\}/m, write: taskVersion },
];

function taskVersion(version: string): string {
  const [major, minor, patch] = version.split('.');
  return `{ "Major": ${major}, "Minor": ${minor}, "Patch": ${patch} }`;
}

/** The changelog with a heading for the version and its date; what was written under `## Unreleased` comes to stand under it. */
export function withHeading(changelog: string, version: string, date: string): string {
  if (new RegExp(`^## ${version.replaceAll('.', '\\.')}(?: |$)`, 'm').test(changelog)) {
    return changelog;
  }
  if (/^## Unreleased$/m.test(changelog)) {
    return changelog.replace(/^## Unreleased$/m, `## ${version} (${date})`);
  }
  return changelog.replace(/^(?=## )/m, `## ${version} (${date})\n\nNo changes for users.\n\n`);
}

/**
 * Sets the version in every file that has it. The folder is the repository's, or a copy of it. Throws for what is no
 * version, for another major than the task's own, and where a file has no such place.
 */
export function setVersion(version: string, folder = root): string[] {
  if (!/^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)$/.test(version)) {
    throw new TypeError(`'${version}' is no version such as 1.2.3`);
  }
  const [major] = version.split('.');
  if (major !== '1') {
    throw new RangeError(
      `EntraTokenV1 stays at 1.x.y; a new major is a task of its own beside it (docs/releasing.md), so ${version} cannot be set.`,
    );
  }
  const changed = new Map<string, string>();
  const read = (file: string): string => changed.get(file) ?? readFileSync(join(folder, file), 'utf8');
  for (const { file, pattern, write } of places) {
    const text = read(file);
    if (!pattern.test(text)) {
      throw new Error(`${file} has no version where it was looked for`);
    }
    changed.set(file, text.replace(pattern, write(version)));
  }
  changed.set('CHANGELOG.md', withHeading(read('CHANGELOG.md'), version, new Date().toISOString().slice(0, 10)));
  for (const [file, text] of changed) {
    writeFileSync(join(folder, file), text);
  }
  return [...changed.keys()];
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  // npm's own `npm version 1.2.3` runs the script of this name too, and says the version so.
  const version = process.argv[2] ?? process.env['npm_new_version'];
  if (version === undefined) {
    process.stderr.write('Usage: npm run version -- 1.2.3\n');
    process.exit(2);
  }
  for (const file of setVersion(version)) {
    process.stdout.write(`${version}  ${file}\n`);
  }
}
