import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { folders, taskSources, wrongImports } from '../../scripts/imports.ts';

describe('who imports whom in the task', () => {
  it('is in order, and every folder of the order is there', () => {
    const sources = taskSources();
    assert.deepEqual(wrongImports(sources), []);
    const found = new Set([...sources.keys()].flatMap((file) => (file.includes('/') ? [file.split('/')[0]] : [])));
    assert.deepEqual([...found].sort(), [...folders].sort());
  });

  const broken: readonly (readonly [reason: string, file: string, text: string, said: RegExp])[] = [
    [
      'an import that goes back up',
      'text/text.ts',
      "import { run } from '../run.ts';",
      /text\/text\.ts imports run\.ts/,
    ],
    ['a type counts too', 'network/wire.ts', "import type { Request } from '../request/request.ts';", /comes after/],
    ['so does a late import', 'source/source.ts', "await import('../publish/report.ts');", /comes after/],
    ['one program loads another', 'clean-up.ts', "import './step.ts';", /clean-up\.ts imports step\.ts/],
    ['a second importer of MSAL', 'run.ts', "import { X } from '@azure/msal-node';", /only exchange\/exchange\.ts may/],
    [
      'a part of task-lib',
      'run.ts',
      "import * as tl from 'azure-pipelines-task-lib/task.js';",
      /only agent\/agent\.ts/,
    ],
    ['a part of the REST client', 'source/source.ts', "import 'azure-devops-node-api/x.js';", /only id-token/],
    ['what a library brings along', 'run.ts', "import 'typed-rest-client/Handlers.js';", /none of the libraries/],
    ['other quotation marks', 'run.ts', 'const x = await import(`@azure/msal-node`);', /only exchange/],
    ['a look at the environment', 'network/pool.ts', "process.env['X'];", /network\/pool\.ts reads the environment/],
    ['another spelling of it', 'main.ts', 'const { env } = process;', /main\.ts reads the environment/],
    ['a longer one', 'main.ts', 'const { env: e } = globalThis.process;', /main\.ts reads the environment/],
    ['a folder that nobody placed', 'odds/ends.ts', '', /has no place in the order/],
  ];
  for (const [reason, file, text, said] of broken) {
    it(`fails on ${reason}`, () => {
      assert.match(wrongImports(new Map([[file, text]])).join('\n'), said);
    });
  }

  it('lets a program load the story, and a folder those before it', () => {
    const sources = new Map([
      ['step.ts', "import('./run.ts'); import './agent/agent.ts';"],
      ['source/source.ts', "import '../id-token/id-token.ts'; import './other.ts';"],
    ]);
    assert.deepEqual(wrongImports(sources), []);
  });
});
