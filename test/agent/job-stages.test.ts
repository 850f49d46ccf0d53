import assert from 'node:assert/strict';
import { existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { fakeExtension, said, stepOf } from './fake-task.ts';
import type { LogLine } from './job.ts';
import { RUN_TASK, step } from './run-task.ts';

const extension = fakeExtension(RUN_TASK);
after(() => extension.remove());
const { run } = extension;

describe('the stages of a job', () => {
  const stages = (name: string, more = ''): string => `
- task: Stages@1
  name: ${name}
  inputs:
    pre: console.log("##vso[task.settaskvariable variable=shared;issecret=true]from ${name}")
    code: console.log("main ${name}", "$(late)", process.env.VSTS_TASKVARIABLE_SHARED === "from ${name}")
    post: console.log("post ${name}", "$(late)", process.env.VSTS_TASKVARIABLE_SHARED === "from ${name}")
${more}`;

  it('run in order, and post-job backwards, with variables of their own and inputs expanded anew', async () => {
    const set = 'echo "##vso[task.setvariable variable=late]now"';
    const result = await run(`steps:${stages('a')}${stages('b')}\n- bash: '${set}'`);
    assert.deepEqual(
      result.steps.map(({ name, stage, displayName }) => `${stage} ${name} ${displayName}`),
      [
        'pre a Pre-job: Stages',
        'pre b Pre-job: Stages',
        'main a Stages',
        'main b Stages',
        'main Bash Bash',
        'post b Post-job: Stages',
        'post a Post-job: Stages',
      ],
    );
    assert.equal(stepOf(result, 'a', 'post').lines[0], '##[section]Starting: Stages', 'the heading has no prefix');
    assert.deepEqual(said(stepOf(result, 'a')), ['main a $(late) true']);
    assert.deepEqual(said(stepOf(result, 'a', 'post')), ['post a now true']);
    assert.deepEqual(said(stepOf(result, 'b', 'post')), ['post b now true']);
  });

  it('run post-job after a failure, and after a main stage that was skipped', async () => {
    const result = await run(`steps:\n- bash: exit 1${stages('a')}${stages('b', '  condition: failed()')}`);
    assert.deepEqual(
      result.steps.map(({ name, stage, result: outcome }) => [name, stage, outcome]),
      [
        ['a', 'pre', 'Succeeded'],
        ['b', 'pre', 'Skipped'],
        ['Bash', 'main', 'Failed'],
        ['a', 'main', 'Skipped'],
        ['b', 'main', 'Succeeded'],
        ['b', 'post', 'Succeeded'],
        ['a', 'post', 'Succeeded'],
      ],
    );
    assert.equal(result.result, 'Failed');
    assert.deepEqual(stepOf(result, 'a').lines, [
      'Skipping step due to condition evaluation.',
      'Evaluating: succeeded()',
      'Result: False',
    ]);
  });

  it('fail the job where only post-job fails', async () => {
    const result = await run(
      'steps: [{ task: Stages@1, name: a, inputs: { pre: 0, code: 0, post: process.exitCode=1 } }]',
    );
    assert.equal(stepOf(result, 'a').result, 'Succeeded');
    assert.equal(result.result, 'Failed');
  });

  it('skip disabled steps, and name the unnamed ones as the server does', async () => {
    const bash = '{ bash: "true" }';
    const result = await run(
      `steps: [${bash}, { bash: x, enabled: false }, ${bash}, { bash: "true", name: Bash2 }, ${bash}]`,
    );
    assert.deepEqual(
      result.steps.map(({ name }) => name),
      ['Bash', 'Bash1', 'Bash2', 'Bash3'],
    );
  });

  it('print a heading, the task and an end for each, live and in the log', async () => {
    const live: LogLine[] = [];
    const result = await run(`steps:\n${step('console.log("[command]x")', '  displayName: My step')}`, {
      onLine: (line) => live.push(line),
    });
    const rule = '='.repeat(78);
    assert.deepEqual(stepOf(result, 's').lines, [
      '##[section]Starting: My step',
      rule,
      'Task         : A made-up task',
      'Description  : Runs the JavaScript of its inputs',
      'Version      : 1.2.3',
      'Author       : Somebody',
      'Help         : No help',
      rule,
      '[command]x',
      '##[section]Finishing: My step',
    ]);
    assert.deepEqual(
      live.map(({ text }) => text),
      result.log,
    );
    assert.equal(live.find(({ text }) => text === '[command]x')?.kind, 'command');
    assert.deepEqual([live[0]?.kind, live[0]?.step, live[0]?.stage], ['section', 'My step', 'main']);
  });

  it('are tried again as often as the step says', async () => {
    const code =
      'console.log("##vso[task.complete result=" + (fs.existsSync("second") ? "Succeeded" : "Failed") + "]x"); ';
    const retried = await run(
      `steps:\n${step(`const fs = require("fs"); ${code} fs.writeFileSync("second", "")`, '  retryCountOnTaskFailure: 2')}`,
      { waits: { retryMs: 1 } },
    );
    assert.equal(retried.result, 'Succeeded');
    assert.match(stepOf(retried, 's').issues[0]?.message ?? '', /will retry \(attempt #: 1 out of 2\)/);
    const failing = await run(`steps:\n${step('process.exitCode = 1', '  retryCountOnTaskFailure: 1')}`, {
      waits: { retryMs: 1 },
    });
    assert.deepEqual(
      stepOf(failing, 's').issues.map(({ type }) => type),
      ['warning', 'error'],
    );
  });
});

describe('cancellation', () => {
  const LISTENING = 'process.on("SIGINT", () => { console.log("stopping"); process.exit(0) });';
  const WAITING = 'console.log("up"); setInterval(() => {}, 1000)';

  function cancelAt(text: string): { cancel: AbortSignal; onLine: (line: LogLine) => void } {
    const controller = new AbortController();
    return {
      cancel: controller.signal,
      onLine: (line) => {
        if (line.text === text) controller.abort();
      },
    };
  }

  it('interrupts the running step, skips the next ones, and runs post-job', async () => {
    const result = await run(
      `
steps:
- task: Stages@1
  name: a
  inputs: { pre: 0, code: 0, post: console.log("cleaning") }
${step(`console.log("##vso[task.complete result=Succeeded]x"); ${LISTENING} ${WAITING}`)}
- bash: echo next
- bash: echo "$AGENT_JOBSTATUS"
  condition: canceled()
`,
      cancelAt('up'),
    );
    assert.equal(result.result, 'Canceled');
    assert.deepEqual(said(stepOf(result, 's')).slice(1), [
      '##[error]The Operation will be canceled. The next steps may not contain expected logs.',
      'stopping',
      '##[error]The operation was canceled.',
    ]);
    assert.deepEqual(
      result.steps.map(({ name, stage, result: outcome }) => [name, stage, outcome]),
      [
        ['a', 'pre', 'Succeeded'],
        ['a', 'main', 'Succeeded'],
        ['s', 'main', 'Canceled'],
        ['Bash', 'main', 'Skipped'],
        ['Bash1', 'main', 'Succeeded'],
        ['a', 'post', 'Succeeded'],
      ],
    );
    assert.equal(said(stepOf(result, 'Bash1')).at(-1), 'Canceled');
  });

  it('leaves a step alone that runs always', async () => {
    const code = 'console.log("up"); setTimeout(() => console.log("done"), 100)';
    const result = await run(`steps:\n${step(code, '  condition: always()')}`, cancelAt('up'));
    assert.deepEqual(said(stepOf(result, 's')), ['up', 'done']);
    assert.equal(stepOf(result, 's').result, 'Succeeded');
    assert.equal(result.result, 'Canceled');
  });

  it('comes to a step that takes too long, which then has failed', async () => {
    const more = '  timeoutInMinutes: 0.005';
    const result = await run(
      `steps:\n${step(WAITING, more)}\n- { bash: echo "$AGENT_JOBSTATUS", condition: failed() }`,
    );
    assert.equal(stepOf(result, 's').result, 'Failed');
    assert.deepEqual(said(stepOf(result, 's')).at(-1), '##[error]The task has timed out.');
    assert.equal(said(stepOf(result, 'Bash')).at(-1), 'Failed');
  });

  it('signals the process of the step alone, and an orphan is killed at the end of the job', async () => {
    const child = 'require("child_process").spawn("sleep", ["600"], { stdio: "ignore" })';
    const result = await run(`steps:\n${step(`console.log("pid", ${child}.pid); ${WAITING}`)}`, cancelAt('up'));
    const pid = Number(/^pid (\d+)$/m.exec(stepOf(result, 's').lines.join('\n'))?.[1]);
    assert.deepEqual(result.orphans, [{ pid, name: 'sleep' }]);
    assert.ok(result.log.includes(`Terminate orphan process: pid (${pid}) (sleep)`));
    assert.equal(stepOf(result, 's').exitCode, 130);
  });
});

describe('the end of a job', () => {
  const detached = (environment: string): string =>
    `const c = require("child_process").spawn("sleep", ["600"], { detached: true, stdio: "ignore", env: ${environment} }); ` +
    'c.unref(); console.log("pid", c.pid)';
  const pidOf = (log: string[]): number => Number(/^pid (\d+)$/m.exec(log.join('\n'))?.[1]);

  it('kills a process that a step left, but only then', async () => {
    const seen = 'bash: kill -0 $(left) && echo alive';
    const code = `${detached('process.env')}; console.log("##vso[task.setvariable variable=left]" + c.pid)`;
    const result = await run(`steps:\n${step(code)}\n- ${seen}`);
    assert.equal(said(stepOf(result, 'Bash')).at(-1), 'alive');
    assert.deepEqual(result.orphans, [{ pid: pidOf(result.log), name: 'sleep' }]);
  });

  const spared: [environment: string, variables: Record<string, string>, why: string][] = [
    ['{}', {}, 'it has put off the lookup ID'],
    ['process.env', { 'process.clean': 'false' }, 'the job says so'],
  ];
  for (const [environment, variables, why] of spared) {
    it(`spares a process where ${why}`, async () => {
      const result = await run(`steps:\n${step(detached(environment))}`, { variables });
      assert.deepEqual(result.orphans, []);
      assert.equal(process.kill(pidOf(result.log), 'SIGKILL'), true);
    });
  }

  it('puts no lookup ID on the processes that it spares', async () => {
    const code = 'console.log(process.env.VSTS_PROCESS_LOOKUP_ID === undefined)';
    const spared = await run(`steps:\n${step(code)}`, { variables: { 'process.clean': 'false' } });
    assert.deepEqual(said(stepOf(spared, 's')), ['true']);
    assert.deepEqual(said(stepOf(await run(`steps:\n${step(code)}`), 's')), ['false']);
  });

  it('empties the temporary folder, as its start does, and keeps the work folder that was given', async () => {
    const workFolder = join(extension.folder, 'kept');
    mkdirSync(join(workFolder, '_temp'), { recursive: true });
    writeFileSync(join(workFolder, '_temp', 'old'), '');
    const code = 'require("fs").readdirSync(process.env.AGENT_TEMPDIRECTORY).forEach((name) => console.log(name))';
    const leave = 'mkdir $(Agent.TempDirectory)/d && touch $(Agent.TempDirectory)/d/left mine';
    const result = await run(`steps:\n${step(code)}\n- bash: ${leave}`, { workFolder });
    assert.deepEqual(said(stepOf(result, 's')), []);
    assert.deepEqual(result.leftover, ['d/left']);
    assert.equal(existsSync(join(workFolder, '_temp', 'd')), false);
    assert.equal(existsSync(join(workFolder, '1', 's', 'mine')), true);
  });
});

describe('the Node that runs a task', () => {
  const nodes = { node24: join(extension.folder, 'node-24'), node20: join(extension.folder, 'node-20') };
  for (const link of Object.values(nodes)) symlinkSync(process.execPath, link);
  const cases: [options: { useNode24?: boolean; handler?: 'Node20_1' }, node: string, why: string][] = [
    [{}, nodes.node24, 'the preferred handler'],
    [{ useNode24: false }, nodes.node20, 'the file of Node24, on Node 20'],
    [{ handler: 'Node20_1' }, nodes.node20, 'the older handler'],
  ];
  for (const [options, node, why] of cases) {
    it(`is ${node.slice(-7)} with ${JSON.stringify(options)}: ${why}`, async () => {
      const result = await run(
        `steps:\n${step('console.log(require("fs").readlinkSync(process.argv0), process.argv.length)')}`,
        {
          node: nodes,
          ...options,
        },
      );
      assert.deepEqual(said(stepOf(result, 's')), [`${node} 2`]);
    });
  }
});

describe('a pipeline of several jobs', () => {
  it('runs them in order, hands on outputs, and skips those that depend on a failure', async () => {
    const result = await run(
      `
jobs:
- job: A
  steps:
  - bash: echo "##vso[task.setvariable variable=tok;isoutput=true;issecret=true]abc"
    name: entra
- job: B
  dependsOn: A
  variables: { x: "$[ dependencies.A.outputs['entra.tok'] ]" }
  steps: [{ bash: 'echo "$(x)|$X"; exit 1' }]
- job: C
  dependsOn: B
  steps: [{ bash: echo never }]
- job: D
  dependsOn: [B]
  condition: failed()
  steps: [{ bash: echo repaired }]
`.replaceAll(/bash: (echo "##vso.*)$/gm, "bash: '$1'"),
    );
    assert.deepEqual(
      Object.entries(result.jobs).map(([name, job]) => [name, job.result]),
      [
        ['A', 'Succeeded'],
        ['B', 'Failed'],
        ['C', 'Skipped'],
        ['D', 'Succeeded'],
      ],
    );
    const inB = result.jobs['B']?.steps[0];
    assert.equal(inB?.rawOutput.stdout, 'abc|\n', 'a secret stays one');
    assert.equal(result.log.join('\n').includes('abc'), false);
    assert.equal(result.result, 'Failed');
    assert.deepEqual(result.outputs, { 'entra.tok': { value: 'abc', secret: true } });
  });
});

describe('what cannot be run', () => {
  it('is refused before any step', async () => {
    await assert.rejects(
      run('steps: [{ bash: touch x }, { task: Nope@1 }]'),
      /'Nope@1' that the extension does not have.*Run@1/,
    );
    await assert.rejects(run('steps: [{ task: Run }]'), /'Run' does not name a task and its major version/);
    await assert.rejects(run('steps: [{ task: Run@2 }]'), /Run@2/);
    await assert.rejects(run('jobs: [{ job: A, dependsOn: B, steps: [] }]'), /'A' depends on 'B'/);
    await assert.rejects(run('steps: [{ bash: "true", condition: nope() }]'), /'nope\(\)' is not understood/);
  });

  it('is a step whose Node is not there', async () => {
    const result = await run(`steps:\n${step('0')}`, { handler: 'Node24', node: { node24: '/nowhere/node' } });
    assert.equal(result.result, 'Failed');
    assert.match(result.log.join('\n'), /ENOENT/);
  });
});

describe('a task', () => {
  it('is unpacked once, and kept with the work folder', async () => {
    const workFolder = join(extension.folder, 'cached');
    const yaml = `steps:\n${step('console.log(process.argv[1])')}`;
    const [file = ''] = said(stepOf(await run(yaml, { workFolder }), 's'));
    assert.ok(file.startsWith(join(workFolder, '_tasks')));
    writeFileSync(file, 'console.log("changed in the meantime")');
    assert.deepEqual(said(stepOf(await run(yaml, { workFolder }), 's')), ['changed in the meantime']);
  });
});
