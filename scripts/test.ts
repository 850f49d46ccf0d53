import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { pathToFileURL } from 'node:url';
import { type TransformFailure, transform } from 'esbuild';
import { buildFolder, root } from './layout.ts';
import { summary, Tally } from './test-tally.ts';

/** Those that wait for the end of a minute begin first, so that the others have the machine meanwhile. */
const first = ['hostile', 'later-steps', 'task'];

/** Folders whose files are quick and need no process each: loading what they share takes longer than they do. */
const together = ['agent', 'cloud', 'unit'];

/**
 * What is left out on Windows, by folder or file below `test`, and why. What of it runs the task is run there under Wine,
 * by an agent on Linux: `npm run soak -- windows`.
 */
const notOnWindows: Readonly<Record<string, string>> = {
  ...allFor('Windows shows nobody what is in the environment of a process', ['later-steps', 'endpoint']),
  ...allFor('its scripts are Bash', [
    'adoption/documents-run.test.ts',
    'adoption/first-run.test.ts',
    'agent/job-commands.test.ts',
    'agent/job-environment.test.ts',
    'agent/job-stages.test.ts',
    'hostile/leaks.test.ts',
    'security/allowed.test.ts',
    'security/printing-step.test.ts',
    'task/examples.test.ts',
    'task/mismatch.test.ts',
    'task/outputs.test.ts',
    'unit/missing-credential.test.ts',
  ]),
  ...allFor('it makes symbolic links, which Windows lets administrators do', [
    'cloud/kubernetes.test.ts',
    'cloud/libraries.test.ts',
    'task/identity-binding.test.ts',
    'task/sources.test.ts',
    'unit/earlier-versions.test.ts',
    'unit/origins.test.ts',
    'unit/pod-token.test.ts',
  ]),
  ...allFor('it ends processes by signals', ['agent/process.test.ts']),
  ...allFor('it opens a port again that it has just closed, or waits for what a closed connection says', [
    'cloud/faults.test.ts',
    'hostile/network.test.ts',
  ]),
};

function allFor(reason: string, places: readonly string[]): Record<string, string> {
  return Object.fromEntries(places.map((place) => [place, reason]));
}

/** Why a file is left out on this system; undefined where it is run. */
function whyLeftOut(file: string): string | undefined {
  const place = relative(join(root, 'test'), file).replaceAll('\\', '/');
  return process.platform === 'win32' ? (notOnWindows[place] ?? notOnWindows[dirname(place)]) : undefined;
}

/** Every file of tests but the long ones, which `npm run soak` runs. */
function allTests(): string[] {
  const folders = readdirSync(join(root, 'test'), { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && entry.name !== 'soak')
    .map(({ name }) => name)
    .sort();
  const ordered = [...first, ...folders.filter((name) => !first.includes(name))];
  return ordered.flatMap((folder) => {
    return readdirSync(join(root, 'test', folder))
      .filter((name) => name.endsWith('.test.ts'))
      .sort()
      .map((name) => join(root, 'test', folder, name));
  });
}

/** What Node is to run, each in a process: the files, and in place of the quick ones of a folder one that imports them. */
function processes(files: readonly string[]): string[] {
  const quick = (folder: string): string[] => files.filter((file) => basename(dirname(file)) === folder);
  return [
    ...files.filter((file) => !together.includes(basename(dirname(file)))),
    ...together.map((folder) => inOneProcess(folder, quick(folder))),
  ];
}

/** Writes a file that imports those, and gives its path. */
function inOneProcess(folder: string, files: readonly string[]): string {
  const entry = join(buildFolder, 'tests', `${folder}.mjs`);
  mkdirSync(join(buildFolder, 'tests'), { recursive: true });
  // All at once: between two imports that are awaited, Node would run the tests of the first and take that for the end.
  writeFileSync(entry, files.map((file) => `import '${pathToFileURL(file).href}';\n`).join(''));
  return entry;
}

/**
 * Where test files await something after their first test, or at all where they share a process. Node runs what is
 * there while it waits, and then the hooks `after`: folders are removed and services closed before the other tests begin.
 */
async function lateTests(files: readonly string[]): Promise<string[]> {
  const faults = files.map(async (file) => {
    const source = readFileSync(file, 'utf8');
    const isShared = together.includes(basename(dirname(file)));
    const first = source.split('\n').findIndex((line) => /^\s*(test|it|describe)(\.\w+)?\(/.test(line)) + 1;
    const awaits = await transform(source, {
      loader: 'ts',
      supported: { 'top-level-await': false },
      logLevel: 'silent',
    }).then(
      () => [],
      ({ errors }: TransformFailure) => errors.map(({ location }) => location?.line ?? 0),
    );
    return awaits
      .filter((line) => isShared || line > first)
      .map(
        (line) => `${relative(root, file)}:${line}: a test file must not await here; use before() or the test itself`,
      );
  });
  return (await Promise.all(faults)).flat();
}

// Nothing of this shell's network reaches the tests: they have networks of their own.
for (const name of ['NODE_EXTRA_CA_CERTS', 'HTTPS_PROXY', 'https_proxy', 'HTTP_PROXY', 'http_proxy']) {
  delete process.env[name];
}

const given = process.argv.slice(2);
const wanted = given.length > 0 ? given.map((file) => resolve(root, file)) : allTests();
const files = wanted.filter((file) => whyLeftOut(file) === undefined);
const late = await lateTests(files);
if (late.length > 0) {
  process.stderr.write(`${late.join('\n')}\n`);
  process.exit(1);
}
const tally = new Tally((file) => relative(root, file));
/** A file that has not ended after so long never will, and is a failure. Milliseconds. */
const timeout = 20 * 60_000;
const tests = run({ files: given.length > 0 ? files : processes(files), concurrency: 4, timeout });
for (const file of wanted) tally.leftOut(file, whyLeftOut(file));
tests.on('test:enqueue', (test) => tally.enqueued(test));
tests.on('test:complete', (test) => tally.completed(test));
tests.on('test:fail', () => {
  process.exitCode = 1;
});
const report = tests.pipe(new spec());
report.pipe(process.stdout, { end: false });
report.on('end', () => {
  const lost = tally.lost(files);
  if (lost.length > 0) process.exitCode = 1;
  process.stdout.write(summary(lost, tally.skipped));
});
