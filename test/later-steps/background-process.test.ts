import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { STATUS_FILE } from '../../tasks/EntraTokenV1/background/token-folder.ts';
import type { JobOptions, JobResult, StepResult } from '../agent/job.ts';
import { type Cloud, type CloudOptions, type Fault, startCloud } from '../cloud/cloud.ts';
import { notOnWindows, onWindows, pathHere } from '../on-windows.ts';
import { agentNodes } from './agent-nodes.ts';
import { exportingStep, type HeldJob, holdJob, useJob } from './held-job.ts';
import { hasProc, PATIENCE_MS, processesOf, refreshersOf, type SeenProcess, seen, useOf, within } from './processes.ts';
import { type Enough, expiryOf, isEnough, pollTokens, type Reads, readFast } from './reads.ts';

/** A test that waits for ever says nothing; this is far more than any of them needs. */
const timeout = 300_000;

/** Lives of this length leave a busy machine seconds for what has to be in time. */
const LIFE_SECONDS = 20;

/** What this process was started with, and hands on to all that it starts. */
const inherited = new Set(streamsOf(process.pid));

let calm: Cloud;

before(async () => {
  calm = await startCloud({ idTokenLifetimeSeconds: LIFE_SECONDS });
});
after(() => calm.close());

interface Used {
  readonly job: HeldJob;
  /** The one background process of the job. */
  readonly refresher: SeenProcess;
}

/** Uses a held job with its one background process, lets it end, and gives its result. */
async function withJob(
  cloud: Cloud,
  use: (used: Used) => Promise<void>,
  options?: Partial<JobOptions>,
): Promise<JobResult> {
  return useJob(await holdJob(cloud, exportingStep, options), async (job) => {
    const [refresher, ...others] = refreshersOf(job.lookupId);
    assert.ok(refresher !== undefined && others.length === 0, 'there is one background process');
    await use({ job, refresher });
  });
}

const isGone = (pid: number): boolean => seen(pid) === undefined;

function postJobOf(result: JobResult): StepResult {
  const post = result.steps.find(({ stage }) => stage === 'post');
  assert.ok(post);
  return post;
}

/** The one line that post-job said of the token file. */
function summaryOf(result: JobResult): string {
  const [said, ...more] = postJobOf(result)
    .rawOutput.stdout.split('\n')
    .filter((line) => line !== '');
  assert.deepEqual(more, []);
  return said ?? '';
}

// They wait for clocks and do next to nothing meanwhile.
describe('the background process', { concurrency: 10, timeout }, () => {
  for (const { version, path, skip } of agentNodes) {
    test(`on Node ${version} no reader ever finds a missing, partial or expired token, and it costs next to nothing`, {
      skip,
    }, async () => {
      // One of them reads as fast as it can; two would leave this machine's processors nothing to renew with.
      const fast = version === 24;
      const use = async ({ job, refresher }: Used): Promise<void> => {
        const enough = { tokens: 4, reads: fast ? 20_000 : 500 };
        const found = fast ? await readFast(job.tokenFile, PATIENCE_MS / 1000, enough) : await readSlowly(job, enough);
        assert.deepEqual({ ...found, reads: 0, tokens: 0 }, nothingWrong);
        assert.ok(found.reads >= enough.reads, `${found.reads} reads`);
        assert.ok(found.tokens >= enough.tokens, `${found.tokens} tokens`);
        const { rssKiB, ticks } = useOf(refresher.pid);
        // What Wine needs for itself is not the task's.
        assert.ok(rssKiB < 60 * 1024 || onWindows, `${rssKiB} KiB`);
        // The start, and half a dozen renewals with a TLS connection each; a hundred ticks are a second.
        assert.ok(ticks < 150 || onWindows, `${ticks} ticks`);
      };
      const result = await withJob(calm, use, { node: { node20: path, node24: path } });
      assert.match(summaryOf(result), /renewed \d+ times.*working/);
    });
  }

  test('costs no processor time while it waits', async () => {
    await withCloud({}, async (cloud) => {
      await withJob(cloud, async ({ refresher }) => {
        await untilIdle(refresher);
        const before = useOf(refresher.pid).ticks;
        await sleep(5000);
        const used = useOf(refresher.pid).ticks - before;
        assert.ok(used <= 10, `${used} hundredths of a second in five seconds`);
      });
    });
  });

  test('carries nothing secret, holds no stream of the step, and no folder of the job', {
    skip: notOnWindows('Linux does not see what Windows gave to a process') || (!hasProc() && 'Linux alone has /proc'),
  }, async () => {
    const tokens = [calm.job.jobToken];
    const shown: string[] = [];
    const result = await withJob(calm, async ({ job, refresher }) => {
      const names = refresher.environment.map((entry) => entry.slice(0, entry.indexOf('=')));
      assert.deepEqual(names, ['VSTS_PROCESS_LOOKUP_ID'], 'nothing of inputs, variables or connections');
      assert.equal(readlinkSync(`/proc/${refresher.pid}/cwd`), '/');
      assert.deepEqual(
        streamsOf(refresher.pid).filter((stream) => streamsOf(process.pid).includes(stream) && !inherited.has(stream)),
        [],
        'the agent waits for no stream that it holds',
      );
      const first = readFileSync(job.tokenFile, 'utf8');
      assert.ok(await within(PATIENCE_MS, () => readFileSync(job.tokenFile, 'utf8') !== first));
      tokens.push(first, readFileSync(job.tokenFile, 'utf8'));
      const processes = processesOf(job.lookupId);
      assert.ok(processes.length >= 2, 'the background process and the later step');
      for (const { arguments: given, environment } of processes) shown.push(...given, ...environment);
    });
    tokens.push(result.outputs['entra.accessToken']?.value ?? '');
    assert.equal(new Set(tokens).size, 4);
    for (const token of tokens) {
      // The signature alone would do for a thief who has seen the rest.
      const [, , signature] = token.split('.');
      assert.ok(signature !== undefined && signature !== '');
      assert.deepEqual(
        shown.filter((text) => text.includes(signature)).map((text) => `${text.slice(0, 40)}…`),
        [],
      );
    }
  });

  test('does not load task-lib, which would spoil the inputs of whatever step is running', async () => {
    await withJob(calm, ({ refresher }) => {
      const script = pathHere(refresher.arguments.at(-1) ?? '');
      const usesTaskLib = (path: string): boolean =>
        /_vsts_task_lib_loaded|azure-pipelines-task-lib/.test(readFileSync(path, 'utf8'));
      assert.ok(usesTaskLib(join(dirname(script), 'step.js')), 'the step itself does');
      assert.ok(!usesTaskLib(script));
      return Promise.resolve();
    });
  });

  test('ends when its folder is gone', async () => {
    await withJob(calm, async ({ job, refresher }) => {
      rmSync(dirname(job.tokenFile), { recursive: true });
      assert.ok(await within(PATIENCE_MS, () => isGone(refresher.pid)));
      assert.ok(!existsSync(dirname(job.tokenFile)), 'and does not make it again');
    });
  });

  test('killed, it leaves nothing that others can read, and post-job says that renewal had ended', async () => {
    const result = await withJob(calm, async ({ job, refresher }) => {
      process.kill(refresher.pid, 'SIGKILL');
      assert.ok(await within(PATIENCE_MS, () => isGone(refresher.pid)));
      const folder = dirname(job.tokenFile);
      if (!onWindows) {
        assert.equal(statSync(folder).mode & 0o777, 0o700);
        for (const name of readdirSync(folder)) assert.equal(statSync(join(folder, name)).mode & 0o777, 0o600, name);
      }
    });
    assert.doesNotMatch(summaryOf(result), /working/);
  });

  test('ends when the job token is refused for good, and leaves no token to expire in the file', async () => {
    await withCloud({ idTokenLifetimeSeconds: LIFE_SECONDS }, async (cloud) => {
      const result = await withJob(cloud, async ({ job, refresher }) => {
        const poll = pollTokens(job.tokenFile);
        const end = expiryIn(job);
        cloud.devOps.jobFinished = true;
        assert.ok(await within(PATIENCE_MS, () => isGone(refresher.pid)));
        await until(end + 1000);
        const { expired, worstMs } = poll.stop();
        assert.deepEqual({ expired, worstMs }, { expired: 0, worstMs: 0 });
      });
      assert.match(summaryOf(result), /failing.*ET_DEVOPS_UNAUTHORIZED/);
    });
  });

  test('refused while the token lives, it asks again, and renews as soon as it may', async () => {
    await withCloud({ idTokenLifetimeSeconds: LIFE_SECONDS }, async (cloud) => {
      const result = await withJob(cloud, async ({ job }) => {
        const poll = pollTokens(job.tokenFile);
        const first = readFileSync(job.tokenFile, 'utf8');
        const end = await fault(cloud, { kind: 'answer', status: 401, json: {} });
        const refused = (): number => cloud.requests.filter(({ status }) => status === 401).length;
        assert.ok(await within(PATIENCE_MS, () => refused() >= 4));
        await end();
        assert.ok(await within(PATIENCE_MS, () => readFileSync(job.tokenFile, 'utf8') !== first));
        assert.deepEqual({ ...poll.stop(), reads: 0, tokens: 0 }, nothingWrong);
      });
      assert.match(summaryOf(result), /working/);
    });
  });

  test('an answer that has expired already does not take the place of a token that lives', async () => {
    await withCloud({ idTokenLifetimeSeconds: LIFE_SECONDS }, async (cloud) => {
      const result = await withJob(cloud, async ({ job }) => {
        const poll = pollTokens(job.tokenFile);
        const first = readFileSync(job.tokenFile, 'utf8');
        const past = Math.floor(Date.now() / 1000) - 60;
        const expired = await cloud.issueIdToken({ connection: 'prod', claims: { exp: past, iat: past - 600 } });
        const end = await fault(cloud, { kind: 'answer', json: { oidcToken: expired } });
        const before = cloud.requests.length;
        assert.ok(await within(PATIENCE_MS, () => cloud.requests.length >= before + 2));
        await end();
        assert.ok(await within(PATIENCE_MS, () => readFileSync(job.tokenFile, 'utf8') !== first));
        assert.deepEqual({ ...poll.stop(), reads: 0, tokens: 0 }, nothingWrong);
      });
      assert.match(summaryOf(result), /working/);
    });
  });

  test('one refusal between two answers is a hiccup', async () => {
    await withCloud({ idTokenLifetimeSeconds: LIFE_SECONDS }, async (cloud) => {
      const result = await withJob(cloud, async ({ job }) => {
        const poll = pollTokens(job.tokenFile);
        const first = readFileSync(job.tokenFile, 'utf8');
        const refusal = { kind: 'answer', status: 401, json: {} } as const;
        cloud.faults = [{ service: 'devops', path: 'oidctoken', when: { first: 1 }, do: refusal }];
        assert.ok(await within(PATIENCE_MS, () => readFileSync(job.tokenFile, 'utf8') !== first));
        assert.deepEqual({ ...poll.stop(), reads: 0, tokens: 0 }, nothingWrong);
      });
      assert.match(summaryOf(result), /working/);
    });
  });

  const outages: Record<string, (cloud: Cloud) => Promise<() => Promise<void>>> = {
    'nothing listens': (cloud) => cloud.outage('devops'),
    'every answer is 503': (cloud) => fault(cloud, { kind: 'answer', status: 503, text: 'down' }),
    'every request is met with silence': (cloud) => fault(cloud, { kind: 'silence' }),
  };
  for (const [how, begin] of Object.entries(outages)) {
    test(`an outage of half the token's life goes unnoticed: ${how}`, async () => {
      await withCloud({ idTokenLifetimeSeconds: LIFE_SECONDS }, async (cloud) => {
        const result = await withJob(cloud, async ({ job }) => {
          const poll = pollTokens(job.tokenFile);
          const first = readFileSync(job.tokenFile, 'utf8');
          const expiresAt = expiryIn(job);
          const end = await begin(cloud);
          await until(expiresAt - (LIFE_SECONDS * 1000) / 2);
          assert.equal(readFileSync(job.tokenFile, 'utf8'), first, 'a renewal was due, and did not succeed');
          await end();
          await until(expiresAt + 500);
          assert.deepEqual({ ...poll.stop(), reads: 0, tokens: 0 }, nothingWrong);
          assert.ok(poll.reads.tokens >= 2);
        });
        assert.match(summaryOf(result), /working/);
      });
    });
  }

  test('an outage longer than the token: no file rather than an expired one, and then a fresh one', async () => {
    await withCloud({ idTokenLifetimeSeconds: LIFE_SECONDS }, async (cloud) => {
      const result = await withJob(cloud, async ({ job }) => {
        const poll = pollTokens(job.tokenFile);
        const expiresAt = expiryIn(job);
        const end = await cloud.outage('devops');
        await until(expiresAt + 2000);
        assert.ok(!existsSync(job.tokenFile));
        await end();
        assert.ok(await within(PATIENCE_MS, () => existsSync(job.tokenFile)), 'it heals');
        const { expired, partial, worstMs } = poll.stop();
        assert.deepEqual({ expired, partial, worstMs }, { expired: 0, partial: 0, worstMs: 0 });
      });
      assert.match(summaryOf(result), /working/);
    });
  });

  test('says at the end of the job that renewal was failing, and fails no job for it', async () => {
    await withCloud({ idTokenLifetimeSeconds: 5 }, async (cloud) => {
      const result = await withJob(cloud, async ({ job }) => {
        await cloud.outage('devops');
        const status = join(dirname(job.tokenFile), STATUS_FILE);
        assert.ok(await within(PATIENCE_MS, () => readFileSync(status, 'utf8').includes('ET_CONNECTION')));
      });
      assert.match(summaryOf(result), /failing.*ET_CONNECTION/);
    });
  });
});

/** The pipes and terminals that a process has open. */
function streamsOf(pid: number): string[] {
  if (!hasProc()) return [];
  return readdirSync(`/proc/${pid}/fd`).flatMap((descriptor) => {
    try {
      const target = readlinkSync(`/proc/${pid}/fd/${descriptor}`);
      return /^(pipe|\/dev\/(pts|tty))/.test(target) ? [target] : [];
    } catch {
      // Closed while it was looked at.
      return [];
    }
  });
}

const nothingWrong: Reads = { reads: 0, missing: 0, partial: 0, expired: 0, worstMs: 0, tokens: 0 };

async function withCloud(options: CloudOptions, use: (cloud: Cloud) => Promise<void>): Promise<void> {
  const cloud = await startCloud(options);
  try {
    await use(cloud);
  } finally {
    await cloud.close();
  }
}

/** Has every request for an ID token go wrong until the function that it gives is called. */
function fault(cloud: Cloud, how: Fault['do']): Promise<() => Promise<void>> {
  cloud.faults = [{ service: 'devops', path: 'oidctoken', do: how }];
  return Promise.resolve(async () => {
    cloud.faults = [];
  });
}

async function readSlowly(job: HeldJob, enough: Enough): Promise<Reads> {
  const poll = pollTokens(job.tokenFile);
  await within(PATIENCE_MS, () => isEnough(poll.reads, enough));
  return poll.stop();
}

/** When the token in the file expires, by the clock. */
function expiryIn(job: HeldJob): number {
  return expiryOf(readFileSync(job.tokenFile, 'utf8')) ?? 0;
}

const until = (time: number): Promise<void> => sleep(Math.max(0, time - Date.now()));

/** Waits until a process has done what it had to do at its start. */
async function untilIdle({ pid }: SeenProcess): Promise<void> {
  for (let before = -1, now = useOf(pid).ticks; now !== before; now = useOf(pid).ticks) {
    before = now;
    await sleep(1000);
  }
}
