import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Cloud, type Fault, startCloud } from '../cloud/cloud.ts';
import { type AgentNode, agentNodes } from '../later-steps/agent-nodes.ts';
import { type Ending, endStep } from '../later-steps/ended-step.ts';
import { exportingStep, holdJob } from '../later-steps/held-job.ts';
import { killAgent } from '../later-steps/killed-agent.ts';
import { refreshersOf, useOf } from '../later-steps/processes.ts';
import { expiryOf, pollTokens, readFast } from '../later-steps/reads.ts';
import { type Report, type Section, sideBySide } from './section.ts';

/** What later steps find in the token file, and what is left of it when something ends too early. */
export const tokenFile: Section = {
  name: 'token-file',
  about: 'steps that are cancelled at so many moments; a fifth as many killings of steps and agents; reads; outages',
  size: 100,
  async run(cases, report) {
    await outages(report);
    for (const node of agentNodes) await reads(node, report);
    const cloud = await startCloud();
    try {
      await endings(cloud, cases, report);
      await agents(cloud, Math.ceil(cases / 5), report);
    } finally {
      await cloud.close();
    }
  },
};

/** A minute and more of reading as fast as one can, through a dozen renewals and more. */
async function reads({ version, path, skip }: AgentNode, report: Report): Promise<void> {
  if (skip !== false) return report.note(skip);
  const cloud = await startCloud({ idTokenLifetimeSeconds: 10 });
  await report.attempt(`a reader for seventy seconds, Node ${version}`, async () => {
    const job = await holdJob(cloud, exportingStep, { node: { node20: path, node24: path } });
    try {
      const { reads: count, tokens, ...wrong } = await readFast(job.tokenFile, 70);
      assert.deepEqual(wrong, { missing: 0, partial: 0, expired: 0, worstMs: 0 });
      const pid = refreshersOf(job.lookupId)[0]?.pid ?? 0;
      const { rssKiB, ticks } = useOf(pid);
      report.note(
        `Node ${version}: ${count} reads of ${tokens} tokens; ${(rssKiB / 1024).toFixed(1)} MiB, ${ticks / 100} s`,
      );
      assert.ok(tokens >= 12, `${tokens} tokens`);
      assert.ok(rssKiB < 60 * 1024, `${rssKiB} KiB`);
    } finally {
      await job.release();
    }
  });
  await cloud.close();
}

const LIFE_SECONDS = 160;

/** When in the life of the first token an outage begins that lasts for half of it. A renewal is due at 0.4. */
const BEGINNINGS = [0.05, 0.15, 0.25, 0.39];

const silence: Fault = { service: 'devops', path: 'oidctoken', do: { kind: 'silence' } };
const unavailable: Fault = { service: 'devops', path: 'oidctoken', do: { kind: 'answer', status: 503, text: 'down' } };

async function outages(report: Report): Promise<void> {
  const kinds: Record<string, (cloud: Cloud) => Promise<() => Promise<void>>> = {
    'nothing listens': (cloud) => cloud.outage('devops'),
    '503': async (cloud) => withFault(cloud, unavailable),
    silence: async (cloud) => withFault(cloud, silence),
  };
  const all = Object.entries(kinds).flatMap(([kind, begin]) => BEGINNINGS.map((at) => ({ kind, begin, at })));
  await sideBySide(all, all.length, async ({ kind, begin, at }) => {
    const cloud = await startCloud({ idTokenLifetimeSeconds: LIFE_SECONDS });
    await report.attempt(`an outage of half a life (${kind}) that begins at ${at} of it`, async () => {
      const job = await holdJob(cloud);
      const poll = pollTokens(job.tokenFile);
      try {
        const expiresAt = expiryOf(readFileSync(job.tokenFile, 'utf8')) ?? 0;
        const lifeMs = LIFE_SECONDS * 1000;
        await until(expiresAt - lifeMs * (1 - at));
        const end = await begin(cloud);
        await until(expiresAt - lifeMs * (0.5 - at));
        await end();
        await until(expiresAt + 2000);
        const { reads: count, tokens, ...wrong } = poll.stop();
        assert.deepEqual(wrong, { missing: 0, partial: 0, expired: 0, worstMs: 0 });
        assert.ok(count > 0 && tokens >= 2, `${count} reads of ${tokens} tokens`);
      } finally {
        poll.stop();
        await job.release();
      }
    });
    await cloud.close();
  });
}

const until = (time: number): Promise<void> => sleep(Math.max(0, time - Date.now()));

function withFault(cloud: Cloud, fault: Fault): () => Promise<void> {
  cloud.faults = [fault];
  return async () => {
    cloud.faults = [];
  };
}

/** From before Node has begun to after the step has ended; a step takes about half a second. */
const SPAN_MS = 900;

async function endings(cloud: Cloud, cases: number, report: Report): Promise<void> {
  const every: readonly Ending[] = ['SIGINT', 'SIGINT', 'SIGINT and SIGTERM', 'SIGTERM'];
  const cancels = Array.from({ length: cases }, (_, index) => ({
    ending: every[index % every.length] ?? 'SIGINT',
    delayMs: Math.round((index / cases) * SPAN_MS),
  }));
  const kills = Array.from({ length: Math.ceil(cases / 5) }, (_, index) => ({
    ending: 'SIGKILL' as const,
    delayMs: Math.round(((index * 5) / cases) * SPAN_MS),
  }));
  const ended = { before: 0, withFile: 0, slowest: 0 };
  for (const { ending, delayMs } of [...cancels, ...kills]) {
    await report.attempt(`${ending} after ${delayMs} ms`, async () => {
      const { tookMs, beforeItBegan, hadFile } = await endStep(cloud, ending, delayMs);
      ended.before += beforeItBegan ? 1 : 0;
      ended.withFile += hadFile ? 1 : 0;
      ended.slowest = Math.max(ended.slowest, tookMs);
      assert.ok(tookMs < 1000, `it took ${Math.round(tookMs)} ms`);
    });
  }
  const { before, withFile, slowest } = ended;
  report.note(
    `${before} before the task began, ${withFile} with a file; the slowest ended in ${Math.round(slowest)} ms`,
  );
}

async function agents(cloud: Cloud, count: number, report: Report): Promise<void> {
  const moments = Array.from({ length: count }, (_, index) => {
    const step = index % 2 === 0 ? 'hold' : 'entra';
    return { step, delayMs: Math.round((index / count) * (step === 'hold' ? 400 : SPAN_MS)) } as const;
  });
  for (const moment of moments) {
    await report.attempt(`the agent killed ${moment.delayMs} ms after the start of ${moment.step}`, async () => {
      await killAgent(cloud, moment);
    });
  }
}
