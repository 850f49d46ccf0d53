/** How processes are told apart where the system shows no files of them. */
import './build-constants.ts';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { isWorker } from '../../tasks/EntraTokenV1/background/worker.ts';
import { isMarked, readPs } from '../agent/orphans.ts';
import { whyMissing } from '../missing.ts';

test('what ps of macOS prints is read: the number, the arguments, and the environment after them', () => {
  const [node, login, ...others] = readPs(
    [
      '  812 /agent/externals/node20_1/bin/node --max-semi-space-size=1 /w/_tasks/x/background.js VSTS_PROCESS_LOOKUP_ID=vsts_1',
      '    1 /sbin/launchd',
      '',
    ].join('\n'),
  );
  assert.deepEqual([node?.pid, node?.name], [812, 'node']);
  assert.equal(node?.arguments.at(-1), '/w/_tasks/x/background.js');
  assert.ok(node !== undefined && isMarked(node.environment, node.arguments, 'vsts_1'));
  assert.deepEqual([login?.pid, login?.environment], [1, []]);
  assert.deepEqual(others, []);
});

describe("the agent's worker", { skip: process.platform === 'win32' ? false : whyMissing('ps') }, () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'worker-'));
  });
  after(() => rmSync(folder, { recursive: true }));

  for (const [name, is] of [
    ['Agent.Worker', true],
    ['Agent.Listener', false],
  ] as const) {
    test(`${is ? 'is' : 'is not'} a process whose program is called ${name}`, {
      skip: process.platform === 'win32' && 'only administrators make symbolic links',
    }, async () => {
      const program = join(folder, name);
      symlinkSync(process.execPath, program);
      const child = spawn(program, ['-e', "console.log(''); setInterval(() => {}, 1000)"]);
      try {
        await new Promise((resolve) => child.stdout.once('data', resolve));
        assert.equal(await isWorker(child.pid ?? 0), is);
      } finally {
        child.kill('SIGKILL');
      }
    });
  }

  test('is no process that has ended', async () => {
    assert.equal(await isWorker(2 ** 22 - 1), false);
  });
});
