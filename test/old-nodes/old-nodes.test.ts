import '../unit/build-constants.ts';
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { entryFiles } from '../../scripts/build.ts';
import { readJson, root } from '../../scripts/layout.ts';
import { Failure } from '../../tasks/EntraTokenV1/failure/failure.ts';
import { type JobOptions, type JobResult, runJob, type StepResult } from '../agent/job.ts';
import { type Cloud, startCloud } from '../cloud/cloud.ts';
import { endStep, printedBy } from '../later-steps/ended-step.ts';
import { exportingStep, holdJob } from '../later-steps/held-job.ts';
import { killAgent } from '../later-steps/killed-agent.ts';
import { refreshersOf, within } from '../later-steps/processes.ts';
import { rehearsalOptions } from '../rehearsal.ts';
import { layOut, noOldNodes, oldNode } from './nodes.ts';

const pipeline = 'steps: [{ task: EntraToken@1, name: entra, inputs: { azureSubscription: prod } }]';

/** The Node that the agent starts, and those that it has beside it. */
type Nodes = Pick<JobOptions, 'node' | 'node10'>;

let cloud: Cloud;
let scratch: string;

function stageOf(result: JobResult, stage: 'main' | 'post'): StepResult {
  return result.steps.find((step) => step.name === 'entra' && step.stage === stage) ?? assert.fail(`no ${stage}`);
}

/** A folder of an agent's, with these Nodes. Gives the path of the first. */
function agentWith(nodes: Readonly<Record<string, string | undefined>>): string {
  return layOut(mkdtempSync(join(scratch, 'agent-')), nodes);
}

/** A program that gives a version as Node would, and for everything else a word. */
function fake(version: string, word: string, exitCode = 0): string {
  return program(`#!/bin/sh\nif [ "$1" = -p ]; then echo ${version}; exit ${exitCode}; fi\necho ${word}\n`);
}

/** A program that is none, or not for this machine. */
function program(content: string | Buffer): string {
  const path = join(mkdtempSync(join(scratch, 'program-')), 'node');
  writeFileSync(path, content);
  chmodSync(path, 0o755);
  return path;
}

async function run(nodes: Nodes): Promise<JobResult> {
  return await runJob({ ...rehearsalOptions(cloud), pipeline, ...nodes });
}

/** The line of the failure, as the rest of the task would write it. */
function line(happened: string): string {
  const home = String(readJson('package.json')['homepage']).replace(/#.*/, '');
  return new Failure('ET_NODE_VERSION', happened).line().replace('https://docs.example', `${home}/blob/main/docs`);
}

const alpine: Nodes = { node10: oldNode(10).path, node: { node24: process.execPath } };

describe('started with a Node that is too old,', { skip: noOldNodes }, () => {
  before(async () => {
    scratch = mkdtempSync(join(tmpdir(), 'old-nodes-'));
    cloud = await startCloud();
  });
  after(async () => {
    await cloud.close();
    rmSync(scratch, { recursive: true, force: true });
  });

  for (const major of [6, 10, 16, 18] as const) {
    it(`the step says in one red line what to set, and post-job fails nothing: Node ${major}`, async () => {
      const { version, path } = oldNode(major);
      const result = await run({ node10: path });
      const [main, post] = [stageOf(result, 'main'), stageOf(result, 'post')];
      const said = line(`The step was started with Node ${version}, and this task needs Node 20 or later.`);
      assert.deepEqual(
        main.issues.map(({ type, message, data }) => ({ type, message, code: data['code'] })),
        [{ type: 'error', message: said, code: 'ET_NODE_VERSION' }],
      );
      assert.deepEqual([main.result, main.exitCode, main.rawOutput.stderr], ['Failed', 0, '']);
      assert.deepEqual([post.result, post.exitCode, post.rawOutput.stderr], ['Succeeded', 0, '']);
      assert.deepEqual(post.issues, []);
      assert.match(printedBy(post).join('\n'), new RegExp(`^[^#]*Node ${version}[^\n]*$`));
    });
  }

  const brought: readonly { why: string; node: NonNullable<Nodes['node']> }[] = [
    { why: 'Node 24', node: { node24: process.execPath } },
    { why: 'Node 20', node: { node20: process.execPath } },
    {
      why: 'Node 20, where Node 24 is too old for its name',
      node: { node24: oldNode(18).path, node20: process.execPath },
    },
  ];
  for (const { why, node } of brought) {
    it(`both stages run with the Node that the agent has beside it: ${why}`, async () => {
      const result = await run({ node10: oldNode(10).path, node });
      assert.equal(result.result, 'Succeeded', result.log.join('\n'));
      assert.match(result.outputs['entra.accessToken']?.value ?? '', /^ey/);
      assert.deepEqual(
        result.steps.flatMap(({ issues }) => issues),
        [],
      );
      assert.deepEqual(
        result.steps.map(({ rawOutput }) => rawOutput.stderr),
        ['', ''],
      );
      assert.deepEqual(printedBy(stageOf(result, 'post')), []);
    });
  }

  for (const clean of ['true', 'false']) {
    it(`the token file stays fresh to the end of the job: process.clean is ${clean}`, async () => {
      const { variables, ...options } = rehearsalOptions(cloud);
      const job = await holdJob(cloud, exportingStep, {
        ...options,
        ...alpine,
        variables: { ...variables, 'process.clean': clean },
      });
      // What stands between the agent and the step is gone; the background process looks every half second.
      await sleep(1500);
      const token = existsSync(job.tokenFile) ? readFileSync(job.tokenFile, 'utf8') : '';
      const running = clean === 'true' ? refreshersOf(job.lookupId).length : 1;
      const result = await job.release();
      assert.match(token, /^ey/, result.log.join('\n'));
      assert.equal(running, 1);
      assert.match(printedBy(stageOf(result, 'post')).join('\n'), /is removed; renewal was working to the end/);
      assert.deepEqual(result.orphans, []);
    });
  }

  for (const [ending, delays] of [
    ['SIGINT', [20, 100, 200, 300, 450]],
    ['SIGTERM', [200, 400]],
    ['SIGKILL', [300, 500]],
  ] as const) {
    it(`${ending} ends the step all the same, and leaves no process and no file`, async () => {
      for (const delayMs of delays) {
        await endStep(cloud, ending, delayMs, alpine);
      }
    });
  }

  it('a cancelled step that waits for a service ends at once', async (context) => {
    const silent = await startCloud();
    context.after(() => silent.close());
    silent.faults = [{ service: 'devops', do: { kind: 'silence' } }];
    const stop = new AbortController();
    const running = runJob({
      ...rehearsalOptions(silent),
      pipeline,
      ...alpine,
      cancel: stop.signal,
    });
    assert.ok(await within(30_000, () => silent.requests.length > 0));
    stop.abort();
    const main = stageOf(await running, 'main');
    assert.deepEqual([main.result, main.exitCode], ['Canceled', 0]);
    assert.match(main.rawOutput.stdout, /task\.complete result=Failed\]The step was ended by SIGINT/);
  });

  it('an agent that is killed takes the step with it', async (context) => {
    const silent = await startCloud();
    context.after(() => silent.close());
    const moment = { step: 'entra', asking: 'devops' } as const;
    const running = await killAgent(silent, moment, alpine);
    assert.equal(running.length, 2, 'what the agent started, and the step');
  });
});

describe('what the agent starts passes on', { skip: noOldNodes }, () => {
  let task: string;
  before(() => {
    scratch = mkdtempSync(join(tmpdir(), 'old-nodes-'));
    task = join(scratch, 'EntraTokenV1');
    mkdirSync(task);
    for (const name of entryFiles) {
      copyFileSync(join(root, 'tasks', 'EntraTokenV1', `${name}.js`), join(task, `${name}.js`));
    }
  });
  after(() => rmSync(scratch, { recursive: true, force: true }));

  const rows: readonly { what: string; text: string; input?: string; main: object; post: object }[] = [
    { what: 'success', text: '', main: { status: 0, stdout: '' }, post: { status: 0, stdout: '' } },
    {
      what: 'both streams out, and the one in',
      text: "process.stdin.pipe(process.stdout); process.stderr.write('said');",
      input: 'asked',
      main: { status: 0, stdout: 'asked', stderr: 'said' },
      post: { status: 0, stdout: 'asked', stderr: 'said' },
    },
    {
      what: 'the exit code; post-job’s is always 0',
      text: 'process.exit(7);',
      main: { status: 7 },
      post: { status: 0 },
    },
    {
      what: 'the end by a signal, as a shell would; a process that ends it so would count as succeeded in a container',
      text: "process.kill(process.pid, 'SIGKILL');",
      main: { status: 137, signal: null },
      post: { status: 0, signal: null },
    },
  ];
  for (const { what, text, input, main, post } of rows) {
    it(what, () => {
      const node = agentWith({ node10: oldNode(10).path, node24: process.execPath });
      for (const name of ['step', 'clean-up']) {
        writeFileSync(join(task, `${name}.js`), text);
      }
      for (const [entry, expected] of Object.entries({ main, 'post-job': post })) {
        const ended = spawnSync(node, [join(task, `${entry}.js`)], { encoding: 'utf8', input: input ?? '' });
        assert.deepEqual({ ...ended, ...expected }, ended, entry);
        assert.doesNotMatch(ended.stdout, /##vso/);
      }
    });
  }

  const brought: readonly { why: string; nodes: () => Record<string, string | undefined>; ran: string | RegExp }[] = [
    {
      why: 'Node 24 before Node 20',
      nodes: () => ({ node20_1: fake('20.1.0', '20'), node24: fake('24.1.0', '24') }),
      ran: '24',
    },
    { why: 'one with a longer name', nodes: () => ({ node24_glibc217: fake('24.1.0', '24') }), ran: '24' },
    {
      why: 'the next one where one lacks its loader',
      nodes: () => ({ node24: program('#!/lib/ld-missing.so.1\n'), node20_1: fake('20.1.0', '20') }),
      ran: '20',
    },
    {
      why: 'the next one where one is for another processor',
      nodes: () => ({ node24: program(otherProcessor()), node20_1: fake('20.1.0', '20') }),
      ran: '20',
    },
    {
      why: 'the next one where one fails',
      nodes: () => ({ node24: fake('24.1.0', '24', 3), node20_1: fake('20.1.0', '20') }),
      ran: '20',
    },
    {
      why: 'the next one where one is too old',
      nodes: () => ({ node24: fake('18.1.0', '18'), node20_1: fake('20.1.0', '20') }),
      ran: '20',
    },
    {
      why: 'the next one where a folder is empty',
      nodes: () => ({ node24: undefined, node20_1: fake('20.1.0', '20') }),
      ran: '20',
    },
    {
      why: 'no Node of another name',
      nodes: () => ({ node16: fake('24.1.0', '16'), node20: fake('24.1.0', '20') }),
      ran: /Node 10\S+, and this task needs Node 20 or later\. An/,
    },
    {
      why: 'none that cannot run, and names it',
      nodes: () => ({ node24: program('#!/lib/ld-missing.so.1\n'), node20_1: fake('18.1.0', '18') }),
      ran: /The agent also has node24 and node20_1, which cannot run here\./,
    },
  ];
  for (const { why, nodes, ran } of brought) {
    it(`the step to ${why}`, () => {
      const node = agentWith({ node10: oldNode(10).path, ...nodes() });
      const { status, stdout, stderr } = spawnSync(node, [join(task, 'main.js')], { encoding: 'utf8' });
      assert.deepEqual([status, stderr], [0, '']);
      if (ran instanceof RegExp) assert.match(stdout, ran);
      else assert.equal(stdout, `${ran}\n`);
    });
  }

  it('the step to what is beside the binary itself, where that is no link', () => {
    const node = agentWith({ node10: undefined, node24: fake('24.1.0', '24') });
    copyFileSync(oldNode(10).path, node);
    // As by a shell, which need not say where it found the program.
    const { stdout } = spawnSync(node, [join(task, 'main.js')], { encoding: 'utf8', argv0: 'node' });
    assert.equal(stdout, '24\n');
  });

  it('the step to what is beside the binary as it was called, from wherever that was', () => {
    const node = agentWith({ node10: oldNode(10).path, node24: fake('24.1.0', '24') });
    const [cwd, called] = [join(node, '..', '..', '..', '..'), join('externals', 'node10', 'bin', 'node')];
    assert.equal(spawnSync(called, [join(task, 'main.js')], { encoding: 'utf8', cwd }).stdout, '24\n');
  });

  it('the step to no Node of a folder that is not the agent’s', () => {
    const agent = agentWith({ node10: oldNode(10).path, node24: fake('24.1.0', '24') });
    const tools = join(mkdtempSync(join(scratch, 'tools-')), 'tools');
    renameSync(join(agent, '..', '..', '..'), tools);
    const { stdout } = spawnSync(join(tools, 'node10', 'bin', 'node'), [join(task, 'main.js')], { encoding: 'utf8' });
    assert.match(stdout, /ET_NODE_VERSION/);
  });

  it('nothing more than a file to load where Node is new enough', () => {
    writeFileSync(join(task, 'step.js'), 'console.log(Object.keys(require.cache).length)');
    const ended = spawnSync(process.execPath, [join(task, 'main.js')], { encoding: 'utf8' });
    assert.equal(ended.stdout, '2\n');
  });
});

/** The head of a program for an IBM mainframe: no machine that runs these tests is one. */
function otherProcessor(): Buffer {
  const head = Buffer.from(readFileSync(process.execPath).subarray(0, 4096));
  head.writeUInt16LE(22, 18);
  return head;
}
