import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { root } from '../../scripts/layout.ts';
import { Tally } from '../../scripts/test-tally.ts';

let folder: string;
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'test-run-'));
});
after(() => rmSync(folder, { recursive: true }));

/** Runs a file of tests as `npm test` does, and gives the exit code and what is said of it in the end. */
function runTests(name: string, lines: readonly string[]): { code: number | null; said: string } {
  const file = join(folder, name);
  writeFileSync(file, ["import { after, test } from 'node:test';", ...lines].join('\n'));
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const script = join(root, 'scripts', 'test.ts');
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--import', 'tsx', script, file], {
    cwd: root,
    env,
    encoding: 'utf8',
  });
  return { code: status, said: `${stdout.replace(/^[\s\S]*duration_ms .*\n/, '')}${stderr}` };
}

for (const { title, lines, says } of [
  {
    title: 'whose process ends in the middle of its tests',
    lines: ["test('first', () => {});", "test('second', () => process.exit(0));", "test('third', () => {});"],
    says: /Lost, which is a failure:\n {2}\S*faulty\.test\.ts: /,
  },
  {
    title: 'whose process ends before its tests',
    lines: ['process.exit(0);'],
    says: /: none of its tests ran/,
  },
  {
    title: 'that awaits between its tests',
    lines: ["test('first', () => {});", "await Promise.resolve('x');", "test('second', () => {});"],
    says: /:3: a test file must not await here/,
  },
]) {
  test(`a file of tests fails the run, and is named: one ${title}`, () => {
    const { code, said } = runTests('faulty.test.ts', lines);
    assert.equal(code, 1);
    assert.match(said, says);
  });
}

test('tests that begin and do not end are lost, as often as their line is run', () => {
  const tally = new Tally((file) => file.slice(1));
  const row = { file: '/a.test.ts', line: 1, column: 2 };
  for (const name of ['one', 'two', 'one']) tally.enqueued({ ...row, name });
  tally.completed({ ...row, name: 'one' });
  // The process of the file, which is no test.
  tally.enqueued({ ...row, name: '/a.test.ts' });
  tally.leftOut('/c.test.ts', undefined);
  tally.leftOut('/d.test.ts', 'its scripts are Bash');
  assert.deepEqual([...tally.skipped], [['its scripts are Bash', ['d.test.ts: all of it']]]);
  assert.deepEqual(tally.lost(['/a.test.ts', '/b.test.ts']), [
    'b.test.ts: none of its tests ran',
    'a.test.ts: one: it did not end',
    'a.test.ts: two: it did not end',
  ]);
});

test('tests that this machine has no tool for are listed at the end, by what to install', () => {
  const reason = 'squid is not installed (apt-get install squid)';
  const { code, said } = runTests('skipping.test.ts', [
    `test('first', { skip: '${reason}' }, () => {});`,
    "test('second', () => {});",
    `test('third', { skip: '${reason}' }, () => {});`,
  ]);
  assert.equal(code, 0);
  const [title, why, ...tests] = said.trim().split('\n');
  assert.deepEqual([title, why], ['Not run on this machine:', `  ${reason}:`]);
  assert.deepEqual(
    tests.map((line) => line.replace(/.*: /, '')),
    ['first', 'third'],
  );
});
