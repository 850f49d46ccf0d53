import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { pathToFileURL } from 'node:url';
import { buildFolder, root } from './layout.ts';

/** Those that wait for the end of a minute begin first, so that the others have the machine meanwhile. */
const first = ['hostile', 'later-steps', 'task'];

/** Folders whose files are quick and need no process each: loading what they share takes longer than they do. */
const together = ['agent', 'cloud', 'unit'];

/** Every test of the repository but the long ones, which `npm run soak` runs. */
function allTests(): string[] {
  const folders = readdirSync(join(root, 'test'), { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && entry.name !== 'soak')
    .map(({ name }) => name)
    .sort();
  const ordered = [...first, ...folders.filter((name) => !first.includes(name))];
  return ordered.flatMap((folder) => {
    const files = readdirSync(join(root, 'test', folder))
      .filter((name) => name.endsWith('.test.ts'))
      .sort()
      .map((name) => join(root, 'test', folder, name));
    return together.includes(folder) ? inOneProcess(folder, files) : files;
  });
}

/** Writes a file that imports those, and gives its path. */
function inOneProcess(folder: string, files: readonly string[]): string[] {
  const entry = join(buildFolder, 'tests', `${folder}.mjs`);
  mkdirSync(join(buildFolder, 'tests'), { recursive: true });
  writeFileSync(entry, files.map((file) => `await import('${pathToFileURL(file).href}');\n`).join(''));
  return [entry];
}

// Nothing of this shell's network reaches the tests: they have networks of their own.
for (const name of ['NODE_EXTRA_CA_CERTS', 'HTTPS_PROXY', 'https_proxy', 'HTTP_PROXY', 'http_proxy']) {
  delete process.env[name];
}

const given = process.argv.slice(2);
const files = given.length > 0 ? given.map((file) => resolve(root, file)) : allTests();
const tests = run({ files, concurrency: 4 });
tests.on('test:fail', () => {
  process.exitCode = 1;
});
tests.pipe(new spec()).pipe(process.stdout);
