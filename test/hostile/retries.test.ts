import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { type Fault, startCloud } from '../cloud/cloud.ts';
import { answers } from '../cloud/faults.ts';
import { everySecond } from '../every-second.ts';
import { Clouds, type Ended, faultsOf, runStep } from './run-step.ts';

const clouds = new Clouds();
after(() => clouds.close());

/** The seconds that the log announces before each next try. */
const waits = ({ retries }: Ended): number[] =>
  retries.map((line) => Number(/trying again in ([\d.]+) s \(try \d+\)\.$/.exec(line)?.[1] ?? Number.NaN));

const services = ['devops', 'entra'] as const;

describe('Retry-After', { concurrency: 4 }, () => {
  const honoured: [name: string, fault: Fault['do'], seconds: number, latest: number][] = [
    ['in seconds', answers.tooManyRequests(4), 4, 5],
    ['of another transient status', { kind: 'answer', status: 503, retryAfter: { seconds: 2 } }, 2, 2.5],
    ['as a date', answers.tooManyRequestsUntil(4), 1, 5],
    ['of no time at all', { kind: 'answer', status: 503, retryAfter: { seconds: 0 } }, 0, 0.5],
    ['that is no time', { kind: 'answer', status: 429, headers: { 'retry-after': 'soon' } }, 0, 0.5],
    ['as a date that has passed', answers.tooManyRequestsUntil(-60), 0, 0.5],
    ['that is a negative number', { kind: 'answer', status: 429, headers: { 'retry-after': '-5' } }, 0, 0.5],
  ];
  for (const [index, [name, fault, earliest, latest]] of everySecond(honoured).entries()) {
    const service = services[index % 2] ?? 'devops';
    it(`${name} is waited for (${service})`, () =>
      clouds.lend(async (cloud) => {
        const ended = await runStep(cloud, { faults: [{ service, do: fault, when: { first: 1 } }] });
        assert.deepEqual(faultsOf(ended), []);
        assert.equal(ended.result, 'Succeeded');
        const [wait = Number.NaN, ...more] = waits(ended);
        assert.deepEqual(more, []);
        assert.ok(wait >= earliest && wait <= latest + 0.05, `${wait} s`);
      }));
  }

  const tooLong: [name: string, fault: Fault['do']][] = [
    ['in seconds', answers.tooManyRequests(3600)],
    ['in more seconds than a number holds', { kind: 'answer', status: 429, headers: { 'retry-after': '9'.repeat(9) } }],
    ['as a date', answers.tooManyRequestsUntil(3600)],
    [
      'as a date in the next century',
      { kind: 'answer', status: 429, headers: { 'retry-after': 'Fri, 01 Jan 2100 00:00:00 GMT' } },
    ],
  ];
  for (const [index, [name, fault]] of everySecond(tooLong).entries()) {
    const service = services[index % 2] ?? 'devops';
    it(`${name}, beyond the end of the budget, is not begun (${service})`, () =>
      clouds.lend(async (cloud) => {
        const ended = await runStep(cloud, { faults: [{ service, do: fault }] });
        assert.deepEqual(faultsOf(ended), []);
        assert.equal(ended.code, service === 'devops' ? 'ET_DEVOPS_THROTTLED' : 'ET_ENTRA_THROTTLED');
        assert.equal(ended.requests[service], 1);
        assert.deepEqual(ended.retries, []);
      }));
  }
});

describe('tries', { concurrency: 4 }, () => {
  it('of both services are counted apart, and each is announced in one line', () =>
    clouds.lend(async (cloud) => {
      const twice = { when: { first: 2 } };
      const ended = await runStep(cloud, {
        faults: [
          { service: 'devops', do: answers.unavailable, ...twice },
          { service: 'entra', do: { kind: 'reset' }, ...twice },
        ],
      });
      assert.deepEqual(faultsOf(ended), []);
      assert.deepEqual(
        ended.retries.map((line) => line.replace(/localhost:\d+/, 'host').replace(/in [\d.]+ s/, 'in N s')),
        [
          'Azure DevOps (host): HTTP 503; trying again in N s (try 2).',
          'Azure DevOps (host): HTTP 503; trying again in N s (try 3).',
          'Entra (host): ECONNRESET; trying again in N s (try 2).',
          'Entra (host): ECONNRESET; trying again in N s (try 3).',
        ],
      );
      assert.deepEqual(ended.requests, { devops: 3, entra: 3 });
    }));

  it('end with the first answer that is final', () =>
    clouds.lend(async (cloud) => {
      const ended = await runStep(cloud, {
        faults: [
          { service: 'devops', do: answers.unavailable, when: { first: 1 } },
          { service: 'devops', do: answers.forbidden },
        ],
      });
      assert.equal(ended.code, 'ET_DEVOPS_FORBIDDEN');
      assert.equal(ended.requests.devops, 2);
    }));

  it('send the same request again, with the same token and connection', () =>
    clouds.lend(async (cloud) => {
      await runStep(cloud, {
        faults: [
          { service: 'devops', do: answers.badGateway, when: { first: 1 } },
          { service: 'entra', do: answers.badGateway, when: { first: 1 } },
        ],
      });
      for (const service of services) {
        const [first, second] = cloud.requests.filter((request) => request.service === service);
        assert.ok(first && second);
        for (const field of ['method', 'path', 'bodyText'] as const) assert.equal(second[field], first[field]);
        assert.equal(second.headers.authorization, first.headers.authorization);
      }
    }));

  it('of one resource do not hold up, or repeat, those of another', () =>
    clouds.lend(async (cloud) => {
      const ended = await runStep(cloud, {
        inputs: { scopes: 'kv = keyVault\narm\ngraph = graph' },
        faults: [{ service: 'entra', do: answers.unavailable, when: { nth: 2 } }],
      });
      assert.deepEqual(faultsOf(ended), []);
      assert.equal(ended.result, 'Succeeded');
      assert.deepEqual(ended.requests, { devops: 1, entra: 4 });
    }));

  it('of which one is throttled, for all resources at once, end within the budget', async (context) => {
    const cloud = await startCloud();
    context.after(() => cloud.close());
    cloud.throttle = { perSecond: 2, burst: 1, retryAfterSeconds: 1 };
    const ended = await runStep(cloud, { inputs: { scopes: 'kv = keyVault\narm\ngraph = graph' } });
    assert.deepEqual(faultsOf(ended), []);
    assert.equal(ended.result, 'Succeeded');
  });
});

describe('credentials', { concurrency: 3 }, () => {
  const redirects = services.flatMap((service) =>
    [301, 302, 303, 307, 308].map((status) => [status, service] as const),
  );
  for (const [status, service] of everySecond(redirects)) {
    it(`do not follow a redirect (${service}, ${status})`, () =>
      clouds.lend(async (cloud) => {
        const elsewhere = `${cloud.apiUrl}${cloud.job.organization}/elsewhere`;
        const ended = await runStep(cloud, {
          faults: [{ service, do: { kind: 'answer', status, headers: { location: elsewhere } } }],
        });
        assert.deepEqual(faultsOf(ended), []);
        assert.equal(ended.result, 'Failed');
        assert.deepEqual(
          cloud.requests.filter((request) => request.service === 'api'),
          [],
        );
        assert.equal(ended.requests[service], 1);
      }));
  }

  const types: [type: unknown, used: boolean][] = [
    ['Bearer', true],
    ['bearer', true],
    ['pop', false],
    ['Bearer, pop', false],
    ['', false],
    [null, false],
    [['Bearer'], false],
  ];
  for (const [type, used] of everySecond(types)) {
    it(`${used ? 'come' : 'do not come'} of an answer of the type ${JSON.stringify(type)}`, () =>
      clouds.lend(async (cloud) => {
        const ended = await runStep(cloud, {
          faults: [{ service: 'entra', do: { kind: 'alter', set: { token_type: type } } }],
        });
        assert.deepEqual(faultsOf(ended), []);
        assert.equal(ended.result, used ? 'Succeeded' : 'Failed');
        assert.equal(ended.job.outputs['entra.accessToken'] !== undefined, used);
        assert.equal(ended.requests.entra, 1);
      }));
  }
});
