import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, describe, it } from 'node:test';
import { strToU8, zipSync } from 'fflate';
import { findTask, loadExtension, selectHandler, type TaskDefinition } from './extension.ts';

const folder = mkdtempSync(join(tmpdir(), 'extension-test-'));
after(() => rmSync(folder, { recursive: true, force: true }));

function load(files: Record<string, string>): TaskDefinition[] {
  const vsix = join(mkdtempSync(join(folder, 'vsix-')), 'x.vsix');
  writeFileSync(vsix, zipSync(Object.fromEntries(Object.entries(files).map(([path, text]) => [path, strToU8(text)]))));
  return loadExtension(vsix, folder);
}

function manifest(name: string, Major: number, Minor: number, more: object = {}): string {
  return JSON.stringify({ id: `id-${name}`, name, version: { Major, Minor, Patch: 0 }, execution: {}, ...more });
}

describe('loadExtension', () => {
  it('finds each task, reads it as the agent does, and unpacks its folder alone', () => {
    const files = {
      'overview.md': '#',
      'a/b/task.json': manifest('One', 1, 0, {
        inputs: [
          { name: ' x ', defaultValue: true },
          { name: 'y', defaultValue: 1.5, aliases: ['z'], type: 'string' },
        ],
        postjobexecution: { Node24: { target: 'p.js' } },
        restrictions: { commands: { mode: 'restricted' }, settableVariables: { allowed: ['a*'] } },
      }),
      'a/b/lib/main.js': '1',
    };
    const [task, ...others] = load(files);
    assert.ok(task);
    assert.deepEqual(others, []);
    assert.deepEqual(task.inputs, [
      { name: 'x', aliases: [], type: '', defaultValue: 'true' },
      { name: 'y', aliases: ['z'], type: 'string', defaultValue: '1.5' },
    ]);
    assert.deepEqual(task.restrictions, { restrictedCommands: true, settableVariables: ['a*'] });
    assert.deepEqual(Object.keys(task.stages), ['main', 'post']);
    assert.equal(readFileSync(join(task.folder, 'lib', 'main.js'), 'utf8'), '1');
    assert.equal(existsSync(join(task.folder, '..', '..', 'overview.md')), false);
  });

  it('refuses a package without a task, and one that reaches out of its folder', () => {
    assert.throws(() => load({ 'overview.md': '#' }), /holds no task/);
    assert.throws(() => load({ 'a/task.json': manifest('One', 1, 0), '../evil.js': '1' }), /bad path/);
  });
});

describe('findTask', () => {
  const tasks = load({
    'v1a/task.json': manifest('Token', 1, 9),
    'v1b/task.json': manifest('Token', 1, 10),
    'v2/task.json': manifest('Token', 2, 0),
  });
  const found: [reference: string, folderName: string, why: string][] = [
    ['Token@1', 'v1b', 'the newest of a major version'],
    ['token@2', 'v2', 'without regard to case'],
    ['publisher.extension.contribution.Token@2', 'v2', 'by its full name'],
    ['ID-Token@2', 'v2', 'by its ID'],
  ];
  for (const [reference, folderName, why] of found) {
    it(`finds ${reference}: ${why}`, () => assert.equal(basename(findTask(tasks, reference).folder), folderName));
  }
  it('names what there is instead of what there is not', () => {
    assert.throws(() => findTask(tasks, 'Token@3'), /'Token@3' that the extension does not have.*Token@1, .*Token@2/);
  });
});

describe('selectHandler', () => {
  const data = { target: 'main.js', workingDirectory: '' };
  const cases: [handlers: string[], forced: string | undefined, selected: string][] = [
    [['Node20_1', 'Node24'], undefined, 'Node24'],
    [['Node16', 'Node20_1', 'PowerShell3'], undefined, 'Node20_1'],
    [['Node24', 'Node20_1'], 'Node20_1', 'Node20_1'],
  ];
  for (const [handlers, forced, selected] of cases) {
    it(`takes ${selected} of ${handlers}${forced === undefined ? '' : `, asked for ${forced}`}`, () => {
      assert.equal(selectHandler(new Map(handlers.map((name) => [name, data])), forced).name, selected);
    });
  }
  it('refuses a task that no Node runs', () => {
    assert.throws(
      () => selectHandler(new Map([['PowerShell3', data]])),
      /not capable of running this task.*PowerShell3/,
    );
  });
});
