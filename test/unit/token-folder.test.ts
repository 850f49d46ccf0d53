import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { newTokenFolder, removeTokenFolder } from '../../tasks/EntraTokenV1/background/token-folder.ts';

const scratch = mkdtempSync(join(tmpdir(), 'token-folder-'));
after(() => rmSync(scratch, { recursive: true }));

/** Writes one file after the other until the folder is gone, at most so many: a background process that has just begun. */
const WRITER = `
const { writeFileSync } = require('node:fs');
const [, folder] = process.argv;
process.stdout.write('.');
try {
  for (let file = 0; file < 2000; file++) writeFileSync(folder + '/.status-' + file, '{}');
} catch {}
`;

test('a token folder goes, although the background process writes into it at that moment', async () => {
  for (let round = 0; round < 3; round++) {
    const folder = newTokenFolder(scratch);
    mkdirSync(folder);
    // So many that there is time to write another between the moment they are listed and the moment they are gone.
    for (let file = 0; file < 500; file++) writeFileSync(join(folder, String(file)), '');
    const writer = spawn(process.execPath, ['-e', WRITER, folder], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const ended = once(writer, 'exit');
    await once(writer.stdout, 'data');
    removeTokenFolder(folder);
    assert.ok(!existsSync(folder));
    await ended;
    assert.ok(!existsSync(folder), 'nor is it made again');
  }
});

test('no other folder is removed', () => {
  const folder = join(scratch, 'entra-token-1');
  mkdirSync(folder);
  removeTokenFolder(folder);
  assert.ok(existsSync(folder));
});
