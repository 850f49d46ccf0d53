import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { STATUS_FILE } from '../../tasks/EntraTokenV1/background/token-folder.ts';
import { type JobOptions, type JobResult, runJob, type StepResult } from '../agent/job.ts';
import { LOOKUP_ID } from '../agent/orphans.ts';
import { type Cloud, startCloud } from '../cloud/cloud.ts';
import { whyMissing } from '../missing.ts';
import { notOnWindows } from '../on-windows.ts';
import { jobVariables, rehearsalOptions } from '../rehearsal.ts';
import { type Ending, endStep, printedBy } from './ended-step.ts';
import { exportingStep, holdJob } from './held-job.ts';
import { killAgent, type Moment } from './killed-agent.ts';
import { hasProc, PATIENCE_MS, processesOf, refreshersOf, seen, within } from './processes.ts';

let cloud: Cloud;
let scratch: string;

before(async () => {
  scratch = mkdtempSync(join(tmpdir(), 'later-steps-'));
  cloud = await startCloud();
});
after(async () => {
  await cloud.close();
  rmSync(scratch, { recursive: true, force: true });
});

function stageOf(result: JobResult, stage: 'main' | 'post'): StepResult {
  const step = result.steps.find((one) => one.name === 'entra' && one.stage === stage);
  assert.ok(step);
  return step;
}

/** The reason to leave out what has a Bash script stand where Node does. */
const noScripts = notOnWindows('it starts no scripts as programs');

/** Everything that must be true of a job at its end, however it ended. */
function assertCleanEnd(result: JobResult, lookupId: string): void {
  const post = stageOf(result, 'post');
  assert.equal(post.result, 'Succeeded');
  assert.equal(post.exitCode, 0);
  assert.deepEqual(post.issues, []);
  assert.equal(post.rawOutput.stderr, '');
  assert.deepEqual(result.orphans, [], 'post-job ended the process, the agent had nothing to kill');
  assert.deepEqual(result.leftover, []);
  assert.deepEqual(processesOf(lookupId), []);
}

/** Runs steps to their end; the lookup ID is that of the job's processes. */
async function runSteps(
  steps: string,
  options: Partial<JobOptions> = {},
): Promise<{ result: JobResult; lookupId: string }> {
  let lookupId = '';
  const result = await runJob({
    ...rehearsalOptions(cloud),
    pipeline: `steps:\n${steps}`,
    ...options,
    onProcess: (info) => {
      lookupId ||= info.environment[LOOKUP_ID] ?? '';
      options.onProcess?.(info);
    },
  });
  return { result, lookupId };
}

test('after success, post-job says in one line that the file is gone', async () => {
  const { result, lookupId } = await runSteps(exportingStep);
  assert.equal(result.result, 'Succeeded');
  const printed = printedBy(stageOf(result, 'post'));
  assert.equal(printed.length, 1);
  assert.match(printed[0] ?? '', /token file.*renew.*working/i);
  assertCleanEnd(result, lookupId);
});

test('after the failure of a later step it cleans up as well', async () => {
  const { result, lookupId } = await runSteps(`${exportingStep}\n- bash: exit 3\n`);
  assert.equal(result.result, 'Failed');
  assert.equal(printedBy(stageOf(result, 'post')).length, 1);
  assertCleanEnd(result, lookupId);
});

test('after the cancellation of the job in a later step it cleans up as well', async () => {
  const stop = new AbortController();
  const { result, lookupId } = await runSteps(`${exportingStep}\n- bash: exec sleep 60\n  name: later\n`, {
    cancel: stop.signal,
    onProcess: ({ step }) => {
      if (step === 'later') setImmediate(() => stop.abort());
    },
  });
  assert.equal(result.result, 'Canceled');
  assert.equal(printedBy(stageOf(result, 'post')).length, 1);
  assertCleanEnd(result, lookupId);
});

test('where the main step never ran, post-job finds nothing to do and says nothing', async () => {
  const { result, lookupId } = await runSteps(`${exportingStep.trimEnd()}\n  condition: false\n`);
  assert.equal(stageOf(result, 'main').result, 'Skipped');
  assert.deepEqual(printedBy(stageOf(result, 'post')), []);
  assertCleanEnd(result, lookupId);
});

/** The reason to leave out what needs Linux. */
const noProc = !hasProc() && 'Linux alone has /proc';

/** The Node that runs the step is gone when the step, in its last act, starts another process with it. */
const vanishing = [
  'copy="$(mktemp -d)/node"',
  'ln "$NODE" "$copy" 2>/dev/null || cp "$NODE" "$copy"',
  'exec 9< "$copy"',
  'rm -r "$(dirname "$copy")"',
  'exec /proc/self/fd/9 "$@"',
].join('\n');

test('where the main step failed after it had written the file, nothing is left either', {
  skip: noScripts || noProc,
}, async () => {
  const shim = shellScript(vanishing);
  const { result, lookupId } = await runSteps(exportingStep, throughShim(shim));
  assert.equal(result.result, 'Failed');
  assert.match(result.log.join('\n'), /ET_REFRESHER/);
  // Agents that protect outputs would refuse them to the next attempt (retryCountOnTaskFailure).
  assert.deepEqual(result.outputs, {});
  const exported = Object.keys(result.variables).filter((name) => /^(?:AZURE|AZCOPY|ARM|EntraToken)/i.test(name));
  assert.deepEqual(exported, []);
  assertCleanEnd(result, lookupId);
});

test('a second attempt succeeds on an agent that refuses to set an output twice', {
  skip: noScripts || noProc,
}, async () => {
  const mark = join(scratch, 'first-attempt');
  const shim = shellScript(
    [`if [ -e '${mark}' ]; then exec "$NODE" "$@"; fi`, `touch '${mark}'`, vanishing].join('\n'),
  );
  const options = throughShim(shim);
  const { result, lookupId } = await runSteps(`${exportingStep.trimEnd()}\n  retryCountOnTaskFailure: 1\n`, {
    ...options,
    waits: { retryMs: 1 },
    variables: { ...jobVariables(cloud), 'DistributedTask.Agent.ProtectReadOnlyVariableNames': 'true' },
  });
  const log = result.log.join('\n');
  assert.match(log, /ET_REFRESHER/, 'the first attempt failed after its tokens came');
  assert.equal(stageOf(result, 'main').result, 'Succeeded', log);
  assert.doesNotMatch(log, /Overwriting readonly variable/);
  assertCleanEnd(result, lookupId);
});

/** Has the agent run tasks through a script of ours, as through a Node of the user's own. */
function throughShim(path: string): Partial<JobOptions> {
  return { node: { node20: path, node24: path }, environment: { NODE: process.execPath } };
}

function shellScript(text: string): string {
  const path = join(mkdtempSync(join(scratch, 'shim-')), 'node');
  // Of the shells, Bash alone hands on variables whose names hold dashes, as those of connections do. Where its standard
  // input is a socket, as Node's pipes are, it would read the user's settings first.
  writeFileSync(path, `#!/bin/bash --norc\n${text}\n`);
  chmodSync(path, 0o755);
  return path;
}

for (const hasOrders of [false, true]) {
  const when = hasOrders ? 'when its background process has its orders' : 'when its background process is just there';
  test(`killed half-way, ${when}, main leaves nothing that post-job does not clean up`, async () => {
    const home = mkdtempSync(join(scratch, 'agent-'));
    const temporary = join(home, '_work', '_temp');
    let killed: Promise<void> | undefined;
    let isOver = false;
    const { result, lookupId } = await runSteps(exportingStep, {
      workFolder: join(home, '_work'),
      onProcess: ({ pid, stage, environment }) => {
        isOver = stage === 'post';
        if (isOver) return;
        const mark = environment[LOOKUP_ID] ?? '';
        const isThere = (): boolean => (hasOrders ? hasLeftWord(temporary) : refreshersOf(mark).length > 0);
        killed = within(PATIENCE_MS, () => isOver || isThere()).then(() => {
          // The step may be quicker.
          if (seen(pid) !== undefined) process.kill(pid, 'SIGKILL');
        });
      },
    });
    await killed;
    assert.ok(printedBy(stageOf(result, 'post')).length <= 1);
    // A process that was never given its orders ends by itself once Node has started, before the agent looks or after.
    if (!hasOrders) assert.ok(await within(PATIENCE_MS, () => processesOf(lookupId).length === 0));
    assertCleanEnd(hasOrders ? result : { ...result, orphans: [] }, lookupId);
  });
}

/** True once the background process has left word for post-job beside the token. */
function hasLeftWord(temporary: string): boolean {
  return readdirSync(temporary)
    .filter((name) => name.startsWith('entra-token-'))
    .some((folder) => existsSync(join(temporary, folder, STATUS_FILE)));
}

const endings: readonly (readonly [Ending, readonly number[]])[] = [
  ['SIGINT', [0, 80, 160, 240, 320, 400, 480, 560]],
  ['SIGINT and SIGTERM', [120, 280, 440]],
  ['SIGTERM', [200, 360, 520]],
  ['SIGKILL', [20, 250]],
];
for (const [ending, delays] of endings) {
  const skip = ending === 'SIGTERM' && notOnWindows('nothing there is like it');
  test(`${ending} at any moment ends the step at once, and leaves no process, no file and no stack`, {
    skip,
  }, async () => {
    for (const delayMs of delays) {
      const { tookMs, bareMs } = await endStep(cloud, ending, delayMs);
      // A second is promised; the machine that runs this may be busy with other things.
      assert.ok(tookMs < Math.max(3000, 30 * bareMs), `${delayMs} ms: it took ${tookMs} ms (post-job: ${bareMs} ms)`);
    }
  });
}

test('an agent that is killed takes a step with it that waits for a service', async () => {
  for (const asking of ['devops', 'entra'] as const) {
    await withCloud(async (silent) => {
      assert.deepEqual(await killAgent(silent, { step: 'entra', asking }), ['main.js']);
    });
  }
});

const agentKillings: readonly Moment[] = [
  { step: 'entra', delayMs: 350 },
  ...[0, 100, 800].map((delayMs) => ({ step: 'hold' as const, delayMs })),
];
test('an agent that is killed takes the background process with it, at whatever moment', async () => {
  const [step, ...later] = await Promise.all([
    withCloud((silent) => killAgent(silent, { step: 'entra', asking: 'entra' })),
    ...agentKillings.map((moment) => killAgent(cloud, moment)),
  ]);
  assert.ok(step?.includes('main.js'), String(step));
  assert.ok(later.flat().includes('background.js'), later.join());
});

/** A cloud for one killing: it may fall silent. */
async function withCloud<T>(use: (cloud: Cloud) => Promise<T>): Promise<T> {
  const own = await startCloud();
  try {
    return await use(own);
  } finally {
    await own.close();
  }
}

/** The background process lives on through two seconds in which the step and what wrapped it are gone. */
async function assertSurvives(options: Partial<JobOptions>): Promise<void> {
  const job = await holdJob(cloud, exportingStep, options);
  await sleep(2000);
  const alive = refreshersOf(job.lookupId).length;
  const text = existsSync(job.tokenFile) ? readFileSync(job.tokenFile, 'utf8') : '';
  const result = await job.release();
  assert.equal(alive, 1, result.log.join('\n'));
  assert.notEqual(text, '');
  assert.equal(result.result, 'Succeeded');
  assertCleanEnd(result, job.lookupId);
}

test('a script around Node that ends with the step does not take the background process with it', {
  skip: noScripts,
}, async () => {
  await assertSurvives(throughShim(shellScript('"$NODE" "$@"\nexit $?')));
});

/** Whether this user may make a container of the simplest kind. */
const noContainers =
  noScripts ||
  noProc ||
  whyMissing('unshare') ||
  (spawnSync('unshare', ['--pid', '--fork', '--mount-proc', 'true']).status !== 0 &&
    'this user may not make a process namespace (unshare --pid needs root)');

test('in a container, where nothing is above what starts the step, the background process survives the step', {
  skip: noContainers,
}, async () => {
  const container = spawn('unshare', ['--pid', '--fork', '--mount-proc', '--kill-child', 'sleep', '600'], {
    stdio: 'ignore',
  });
  try {
    const first = (): string => readFileSync(`/proc/${container.pid}/task/${container.pid}/children`, 'utf8').trim();
    assert.ok(await within(PATIENCE_MS, () => first() !== ''));
    const enter = `nsenter --target ${first()} --pid --mount`;
    // Nothing in the container starts the step.
    await assertSurvives(throughShim(shellScript(`exec ${enter} "$NODE" "$@"`)));
    // As the agent's own script in a container: it gets the environment of the step over a stream, so it lacks the mark.
    const invoke = `env -u ${LOOKUP_ID} MARK="$${LOOKUP_ID}" bash -c '${LOOKUP_ID}="$MARK" "$NODE" "$@"; exit $?' bash "$@"`;
    await assertSurvives(throughShim(shellScript(`exec ${enter} ${invoke}`)));
  } finally {
    container.kill('SIGKILL');
  }
});

/**
 * Node as on macOS: with no /proc, in a mount namespace of its own, and a `ps` that needs none and tells the name of a
 * process's program.
 */
function withoutProc(...before: string[]): Partial<JobOptions> {
  const folder = mkdtempSync(join(scratch, 'without-proc-'));
  const [proc, ps] = [join(folder, 'proc'), join(folder, 'ps')];
  mkdirSync(proc);
  writeFileSync(ps, `#!/bin/sh\n[ "$*" = "-o comm= -p $4" ] && echo "/agent/bin/$(cat ${proc}/$4/comm)"\n`, {
    mode: 0o755,
  });
  const script = `mount --bind /proc ${proc} && mount --bind ${ps} /bin/ps && mount -t tmpfs none /proc && exec "$NODE" "$@"`;
  return throughShim(shellScript([...before, `unshare --mount bash -c '${script}' bash "$@"`].join(' ')));
}

const noNamespaces =
  noScripts ||
  noProc ||
  whyMissing('unshare') ||
  (spawnSync('unshare', ['--mount', 'mount', '-t', 'tmpfs', 'none', '/proc']).status !== 0 &&
    'this user may not make a mount namespace (unshare --mount needs root)');

describe('on a system that shows no processes, as macOS', { skip: noNamespaces, concurrency: true }, () => {
  test('post-job ends the background process and removes its folder', async () => {
    const { result, lookupId } = await runSteps(exportingStep, withoutProc('exec'));
    assert.equal(result.result, 'Succeeded', result.log.join('\n'));
    assert.match(printedBy(stageOf(result, 'post'))[0] ?? '', /removed; renewal was working to the end/);
    assertCleanEnd(result, lookupId);
  });

  test('post-job says that the background process had ended where it was killed', async () => {
    const job = await holdJob(cloud, exportingStep, withoutProc('exec'));
    const background = refreshersOf(job.lookupId);
    for (const { pid } of background) process.kill(pid, 'SIGKILL');
    await within(PATIENCE_MS, () => refreshersOf(job.lookupId).length === 0);
    const result = await job.release();
    assert.equal(background.length, 1);
    assert.match(printedBy(stageOf(result, 'post'))[0] ?? '', /had ended before/);
    assertCleanEnd(result, job.lookupId);
  });

  test('the background process survives a script around Node that ends with the step', async () => {
    await assertSurvives(withoutProc('true;'));
  });

  test('an agent that is killed takes the step and the background process with it', async () => {
    const { node } = withoutProc('exec');
    const moments: readonly Moment[] = [
      { step: 'entra', delayMs: 350 },
      { step: 'hold', delayMs: 0 },
      { step: 'hold', delayMs: 300 },
    ];
    const options = { ...(node === undefined ? {} : { node }), environment: { NODE: process.execPath } };
    const running = await Promise.all(moments.map((moment) => killAgent(cloud, moment, options)));
    assert.ok(running.flat().includes('background.js'), running.join());
  });
});
