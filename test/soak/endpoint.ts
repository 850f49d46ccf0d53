import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Cloud, type Fault, startCloud } from '../cloud/cloud.ts';
import {
  askAccessToken,
  askIdToken,
  claimsOf,
  type Got,
  get,
  type ServedJob,
  serveJob,
  servingStep,
} from '../endpoint/served-job.ts';
import { type AgentNode, agentNodes } from '../later-steps/agent-nodes.ts';
import { processesOf, refreshersOf, useOf } from '../later-steps/processes.ts';
import type { Report, Section } from './section.ts';

/** What clients get of a token endpoint in an hour of which each minute lasts five seconds, and what it costs. */
export const endpoint: Section = {
  name: 'endpoint',
  about: 'so many seconds of a job with short-lived tokens and outages; ten thousand requests on each Node',
  size: 300,
  async run(cases, report) {
    await throughOutages(cases, report);
    for (const node of agentNodes) await tenThousand(node, report);
  },
};

/** Ends a job, after which neither a process nor a port is left. */
async function end(job: ServedJob): Promise<void> {
  const { orphans } = await job.release();
  assert.deepEqual(orphans, []);
  assert.deepEqual(processesOf(job.lookupId), []);
  await assert.rejects(get(`http://127.0.0.1:${job.port}/token`));
}

const ID_TOKEN_SECONDS = 10;
const ACCESS_TOKEN_SECONDS = 60;
const CLIENTS = 8;

/** An outage, and the time after it in which everything is to be well again. Seconds. */
const OUTAGE = 12;
const CALM = 24;

const RESOURCES = ['https://management.azure.com/', 'https://management.core.windows.net/', 'https://vault.azure.net'];

async function throughOutages(seconds: number, report: Report): Promise<void> {
  const cloud = await startCloud({
    idTokenLifetimeSeconds: ID_TOKEN_SECONDS,
    accessTokenLifetimeSeconds: ACCESS_TOKEN_SECONDS,
  });
  await report.attempt(`${CLIENTS} clients for ${seconds} s through outages of both services`, async () => {
    const job = await serveJob(
      cloud,
      servingStep('scopes: |', '  arm', '  kv = keyVault', 'exportEnvironment: tokenFile'),
    );
    const seen = { tokens: 0, refused: 0, wrong: new Set<string>(), lastToken: performance.now(), slowest: 0 };
    const stop = performance.now() + seconds * 1000;
    const ask = async (number: number): Promise<void> => {
      for (let times = number; performance.now() < stop; times++) {
        const start = performance.now();
        const resource = RESOURCES[times % RESOURCES.length] ?? '';
        const isId = times % 4 === 3;
        const got = await (isId ? askIdToken(job) : askAccessToken(job, resource));
        seen.slowest = Math.max(seen.slowest, performance.now() - start);
        const fault = faultOf(got, isId ? 'api://AzureADTokenExchange' : resource);
        if (fault !== undefined) seen.wrong.add(fault);
        if (got.status === 200) {
          seen.tokens++;
          seen.lastToken = performance.now();
        } else {
          seen.refused++;
        }
        await sleep(100);
      }
    };
    const outages = async (): Promise<void> => {
      for (let round = 0; performance.now() + (OUTAGE + CALM) * 1000 < stop; round++) {
        const begin = kinds[round % kinds.length];
        const over = await begin?.(cloud, round % 2 === 0 ? 'devops' : 'entra');
        await sleep(OUTAGE * 1000);
        await over?.();
        await sleep(CALM * 1000);
        const without = performance.now() - seen.lastToken;
        if (without > 2000) seen.wrong.add(`no token ${Math.round(without)} ms ago, long after outage ${round}`);
      }
    };
    await Promise.all([outages(), ...Array.from({ length: CLIENTS }, (_, number) => ask(number))]);
    const { rssKiB } = useOf(refreshersOf(job.lookupId)[0]?.pid ?? 0);
    const exchanges = cloud.requests.filter(({ service }) => service === 'entra').length;
    report.note(
      `${seen.tokens} tokens, ${seen.refused} times 503; the slowest answer after ${Math.round(seen.slowest)} ms; ` +
        `${exchanges} requests to Entra; ${(rssKiB / 1024).toFixed(1)} MiB`,
    );
    await end(job);
    assert.deepEqual([...seen.wrong], []);
    assert.ok(seen.tokens > seconds && seen.slowest < 45_000);
    assert.ok(rssKiB < 64 * 1024, `${rssKiB} KiB`);
  });
  await cloud.close();
}

/** What is wrong with an answer: a token that has expired or is for something else, or an error that is none of an outage. */
function faultOf({ status, headers, body }: Got, audience: string): string | undefined {
  if (status === 503) {
    const isWhole = typeof body['message'] === 'string' && body['error_description'] === body['message'];
    return headers['retry-after'] === '5' && isWhole ? undefined : `503: ${JSON.stringify(body)}`;
  }
  if (status !== 200) return `${status}: ${JSON.stringify(body)}`;
  const claims = claimsOf(body['access_token'] ?? body['value']);
  const left = Number(claims['exp']) * 1000 - Date.now();
  if (left < 500) return `a token with ${left} ms left`;
  if (claims['aud'] !== audience) return `a token for ${claims['aud']}, not ${audience}`;
  const on = body['expires_on'];
  // MSAL counts from before its tries, which end within twenty seconds: a token may live longer than is said, never shorter.
  const earlyS = Number(claims['exp']) - Number(on);
  return on === undefined || (earlyS >= -1 && earlyS <= 22) ? undefined : `expires_on is ${earlyS} s early`;
}

type Begin = (cloud: Cloud, service: 'devops' | 'entra') => Promise<() => Promise<void>>;

const withFault =
  (what: Fault['do']): Begin =>
  async (cloud, service) => {
    cloud.faults = [{ service, do: what }];
    return async () => {
      cloud.faults = [];
    };
  };

const kinds: readonly Begin[] = [
  (cloud, service) => cloud.outage(service),
  (cloud, service) => cloud.outage(service),
  withFault({ kind: 'answer', status: 503, text: 'down' }),
  withFault({ kind: 'answer', status: 503, text: 'down' }),
  withFault({ kind: 'silence' }),
  withFault({ kind: 'silence' }),
];

async function tenThousand({ version, path, skip }: AgentNode, report: Report): Promise<void> {
  if (skip !== false) return report.note(skip);
  const cloud = await startCloud();
  await report.attempt(`ten thousand requests, a thousand of them side by side, Node ${version}`, async () => {
    const job = await serveJob(cloud, servingStep('scopes: arm'), { node: { node20: path, node24: path } });
    const all = async (count: number): Promise<void> => {
      for (let times = 0; times < count; times++) assert.equal((await askAccessToken(job)).status, 200);
    };
    await Promise.all(Array.from({ length: 1000 }, () => all(1)));
    await Promise.all(Array.from({ length: CLIENTS }, () => all(9000 / CLIENTS)));
    const { rssKiB, ticks } = useOf(refreshersOf(job.lookupId)[0]?.pid ?? 0);
    report.note(`Node ${version}: ${(rssKiB / 1024).toFixed(1)} MiB, ${ticks / 100} s of processor time`);
    await end(job);
    assert.ok(rssKiB < 64 * 1024, `${rssKiB} KiB`);
  });
  await cloud.close();
}
