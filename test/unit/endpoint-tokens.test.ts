import './build-constants.ts';
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type AccessTokenOptions, serveAccessTokens } from '../../tasks/EntraTokenV1/endpoint/access-tokens.ts';
import type { EndpointAnswer } from '../../tasks/EntraTokenV1/endpoint/answers.ts';
import { serveIdTokens } from '../../tasks/EntraTokenV1/endpoint/id-tokens.ts';
import type { AccessToken } from '../../tasks/EntraTokenV1/exchange/exchange.ts';
import { type Code, codes } from '../../tasks/EntraTokenV1/failure/catalogue.ts';
import { Failure } from '../../tasks/EntraTokenV1/failure/failure.ts';
import { HeldIdTokens } from '../../tasks/EntraTokenV1/id-token/held-id-tokens.ts';
import { china, publicCloud, usGovernment } from '../../tasks/EntraTokenV1/request/clouds.ts';
import { resourceNames } from '../../tasks/EntraTokenV1/request/resource-names.ts';
import { Secret } from '../../tasks/EntraTokenV1/text/secret.ts';
import { VirtualTime } from './virtual-time.ts';

const MINUTE = 60_000;
const CLIENT = '0a7d4c52-93be-4f18-8c6e-d5b1f2e3a947';
const ARM = 'https://management.azure.com/.default';
const outage = new Failure('ET_CONNECTION', 'The service could not be asked.');
const refusal = new Failure('ET_SUBJECT_MISMATCH', 'Entra answered AADSTS700213.');

interface Facts {
  scopes?: string[];
  lifeMs?: number;
  refreshMs?: number;
}

/** Access tokens on time of the test's own, from an Entra that does what it is told. */
function serve({ scopes = [ARM], lifeMs = 60 * MINUTE, refreshMs }: Facts = {}) {
  const time = new VirtualTime();
  const entra = {
    asked: [] as string[],
    /** What is said instead of giving a token. */
    failure: undefined as Failure | undefined,
    /** How long an exchange takes. */
    tookMs: 0,
    unknown: [] as string[],
  };
  const exchange: AccessTokenOptions['exchange'] = async (scope) => {
    entra.asked.push(scope);
    const number = entra.asked.length;
    if (entra.tookMs > 0) await time.sleep(entra.tookMs);
    if (entra.unknown.includes(scope)) throw new Failure('ET_RESOURCE_UNKNOWN', 'Entra answered AADSTS500011.');
    if (entra.failure !== undefined) throw entra.failure;
    const token: AccessToken = {
      token: Secret.maskedByAgent(`token ${number} for ${scope}`),
      tokenType: 'Bearer',
      expiresAt: time.now() + lifeMs,
      refreshAt: refreshMs === undefined ? undefined : time.now() + refreshMs,
    };
    return token;
  };
  const offers = scopes.map((scope) => ({ scope, names: resourceNames(scope, publicCloud) }));
  const answer = serveAccessTokens({ clientId: CLIENT, offers, exchange, clocks: time });
  const ask = (resource = 'https://management.azure.com', more: Record<string, string> = {}): Promise<EndpointAnswer> =>
    answer(new URLSearchParams({ 'api-version': '2019-08-01', resource, ...more }));
  const tokenOf = async (more?: Record<string, string>): Promise<string> => {
    const asking = ask(undefined, more);
    await time.pass(0);
    return String((await asking).body['access_token']);
  };
  return { time, entra, answer, ask, tokenOf };
}

describe('an access token of the endpoint', () => {
  it('comes from one exchange, for everyone who asks while it is made and after it', async () => {
    const { time, entra, ask } = serve();
    entra.tookMs = 1000;
    const asking = Array.from({ length: 1000 }, () => ask());
    await time.pass(1000);
    const answers = await Promise.all(asking);
    assert.ok(answers.every(({ status }) => status === 200));
    assert.equal((await ask()).status, 200);
    assert.deepEqual(entra.asked, [ARM]);
  });

  it('says how long it lives, in texts, the number of seconds before the time', async () => {
    const { time, ask } = serve();
    await ask();
    await time.pass(10 * MINUTE);
    const { body } = await ask();
    assert.deepEqual(body, {
      access_token: `token 1 for ${ARM}`,
      client_id: CLIENT,
      expires_in: '3000',
      expires_on: String((time.now() + 50 * MINUTE) / 1000),
      resource: 'https://management.azure.com',
      token_type: 'Bearer',
    });
    assert.ok(Object.keys(body).indexOf('expires_in') < Object.keys(body).indexOf('expires_on'));
  });

  it('has six minutes to live, at every moment in which it is handed out', async () => {
    const { time, ask, entra } = serve();
    for (let minute = 0; minute < 300; minute++) {
      const { status, body } = await ask();
      assert.equal(status, 200);
      assert.ok(Number(body['expires_in']) >= 360, `${body['expires_in']} s in minute ${minute}`);
      await time.pass(MINUTE);
    }
    assert.ok(entra.asked.length <= 7, `${entra.asked.length} exchanges in five hours`);
  });

  it('is refreshed when Entra advises to', async () => {
    const { time, tokenOf } = serve({ lifeMs: 24 * 60 * MINUTE, refreshMs: 12 * 60 * MINUTE });
    assert.match(await tokenOf(), /^token 1 /);
    await time.pass(12 * 60 * MINUTE - 1000);
    assert.match(await tokenOf(), /^token 1 /);
    await time.pass(1000);
    assert.match(await tokenOf(), /^token 2 /);
  });

  it('is handed out while a refresh is slow or fails, and the refresh is not repeated for each request', async () => {
    const { time, entra, tokenOf, ask } = serve({ refreshMs: 30 * MINUTE });
    await tokenOf();
    await time.pass(31 * MINUTE);
    entra.failure = outage;
    assert.match(await tokenOf(), /^token 1 /);
    assert.match(await tokenOf(), /^token 1 /);
    assert.equal(entra.asked.length, 2);
    await time.pass(MINUTE);
    entra.failure = undefined;
    entra.tookMs = 5000;
    const slow = ask();
    await time.pass(2000);
    assert.match(String((await slow).body['access_token']), /^token 1 /, 'nobody waits longer for what need not be');
    await time.pass(3000);
    entra.tookMs = 0;
    assert.match(await tokenOf(), /^token 3 /);
  });

  it('that lives for a minute in all is handed out in the first half of it, and in an outage as long as it lives', async () => {
    const { time, entra, tokenOf, ask } = serve({ lifeMs: MINUTE });
    assert.match(await tokenOf(), /^token 1 /);
    await time.pass(29_000);
    assert.match(await tokenOf(), /^token [12] /);
    await time.pass(15_000);
    assert.match(await tokenOf(), /^token [23] /);
    entra.failure = outage;
    let last = 200;
    for (let second = 0; second < 70; second++) {
      const { status, body } = await ask();
      assert.ok(status === 503 || Number(body['expires_in']) >= 7, `${body['expires_in']}`);
      last = status;
      await time.pass(1000);
    }
    assert.equal(last, 503);
  });

  it('with less than six minutes of an hour left is not handed out in an outage either', async () => {
    const { time, entra, tokenOf, ask } = serve();
    await tokenOf();
    entra.failure = outage;
    await time.pass(53 * MINUTE);
    assert.equal((await ask()).status, 200);
    await time.pass(2 * MINUTE);
    const { status, headers, body } = await ask();
    assert.equal(status, 503);
    assert.equal(headers?.['Retry-After'], '5');
    assert.match(String(body['message']), /^ET_CONNECTION: /);
  });

  it('is not handed out after the machine slept through its end, nor after the clock was set back', async () => {
    const slept = serve();
    await slept.tokenOf();
    await slept.time.sleepMachine(2 * 60 * MINUTE);
    assert.match(await slept.tokenOf(), /^token 2 /);
    const setBack = serve();
    await setBack.tokenOf();
    setBack.time.wallOffset -= 5 * 60 * MINUTE;
    await setBack.time.pass(55 * MINUTE);
    assert.match(await setBack.tokenOf(), /^token 2 /);
  });

  it('is asked for anew where the client says that the one it has was refused', async () => {
    const { tokenOf } = serve();
    assert.match(await tokenOf(), /^token 1 /);
    assert.match(await tokenOf({ token_sha256_to_refresh: 'a'.repeat(64) }), /^token 2 /);
    assert.match(await tokenOf(), /^token 2 /);
  });

  it('that was refused is refused to everyone for seconds, and then asked for again', async () => {
    const { time, entra, ask } = serve();
    entra.failure = refusal;
    for (let times = 0; times < 3; times++) {
      const { status, headers, body } = await ask();
      assert.deepEqual([status, headers], [400, undefined]);
      assert.match(String(body['message']), /^ET_SUBJECT_MISMATCH: Entra answered AADSTS700213\./);
    }
    assert.equal(entra.asked.length, 1);
    await time.pass(6000);
    entra.failure = undefined;
    assert.equal((await ask()).status, 200);
  });

  it('is asked for again at once after an outage', async () => {
    const { entra, ask } = serve();
    entra.failure = outage;
    assert.equal((await ask()).status, 503);
    entra.failure = undefined;
    assert.equal((await ask()).status, 200);
  });
});

describe('an error of the endpoint', () => {
  it('has what every client reads, and Entra’s number for the request', async () => {
    const { entra, ask } = serve();
    entra.failure = refusal;
    const { body } = await ask();
    assert.deepEqual(Object.keys(body).sort(), [
      'correlationId',
      'error',
      'error_description',
      'message',
      'statusCode',
    ]);
    assert.equal(body['statusCode'], 400);
    assert.equal(body['error_description'], body['message']);
    assert.match(String(body['correlationId']), /^[0-9a-f-]{36}$/);
  });

  const statuses = new Map<Code, number>();
  it('is 400, 500 or 503 for every code, and 503 tells when to ask again', async () => {
    for (const code of codes) {
      const { entra, ask } = serve();
      entra.failure = new Failure(code, 'x');
      const { status, headers } = await ask();
      assert.ok([400, 500, 503].includes(status), code);
      assert.equal(headers?.['Retry-After'], status === 503 ? '5' : undefined, code);
      statuses.set(code, status);
    }
    assert.equal(statuses.get('ET_DEVOPS_UNAUTHORIZED'), 400);
    assert.equal(statuses.get('ET_ENTRA_THROTTLED'), 503);
    assert.equal(statuses.get('ET_UNEXPECTED'), 500);
  });
});

describe('a request for an access token', () => {
  for (const { title, query, says } of [
    { title: 'without a version', query: { 'api-version': '' }, says: /api-version/ },
    { title: 'of an older version', query: { 'api-version': '2017-09-01' }, says: /2019-08-01/ },
    { title: 'without a resource', query: { resource: '' }, says: /resource/ },
    { title: 'with a blank resource', query: { resource: ' ' }, says: /resource/ },
    { title: 'for another identity', query: { client_id: '11111111-1111-1111-1111-111111111111' }, says: /client_id/ },
    { title: 'by a resource ID', query: { mi_res_id: '/subscriptions/x' }, says: /mi_res_id/ },
    { title: 'by an older resource ID', query: { msi_res_id: '/subscriptions/x' }, says: /msi_res_id/ },
    { title: 'by an object ID', query: { object_id: CLIENT }, says: /object_id/ },
    { title: 'by a principal ID', query: { principal_id: CLIENT }, says: /principal_id/ },
    { title: 'for a resource that is not the step’s', query: { resource: 'https://vault.azure.net' }, says: /vault/ },
    {
      title: 'for a resource that only begins so',
      query: { resource: 'https://management.azure.com.evil' },
      says: /evil/,
    },
    { title: 'for a command', query: { resource: '##vso[task.x]\r\ny' }, says: /# #vso\[task\.x\] {2}y/ },
  ] as { title: string; query: Record<string, string>; says: RegExp }[]) {
    it(`${title} is 400 and says so`, async () => {
      const { ask, entra } = serve();
      const { status, body } = await ask(query['resource'], query);
      assert.equal(status, 400);
      assert.match(String(body['message']), says);
      assert.deepEqual(entra.asked, []);
    });
  }

  it('with a parameter twice is 400', async () => {
    const { answer } = serve();
    const query = new URLSearchParams({ 'api-version': '2019-08-01', resource: ARM });
    query.append('resource', ARM);
    assert.equal((await answer(query)).status, 400);
  });

  for (const more of [
    { client_id: CLIENT },
    { client_id: CLIENT.toUpperCase() },
    { client_id: '' },
    { xms_cc: 'CP1' },
    { foo: 'x' },
  ]) {
    it(`with ${JSON.stringify(more)} is answered`, async () => {
      const { ask } = serve();
      assert.equal((await ask(undefined, more as Record<string, string>)).status, 200);
    });
  }
});

describe('a resource', () => {
  for (const { asked, scope } of [
    { asked: 'https://management.azure.com', scope: ARM },
    { asked: 'https://management.azure.com/', scope: 'https://management.azure.com//.default' },
    { asked: 'https://management.azure.com/.default', scope: ARM },
    { asked: 'https://management.azure.com//.default', scope: 'https://management.azure.com//.default' },
    { asked: 'HTTPS://Management.Azure.com', scope: ARM },
    { asked: 'https://management.core.windows.net/', scope: 'https://management.core.windows.net//.default' },
    { asked: 'https://management.core.windows.net', scope: 'https://management.core.windows.net/.default' },
    { asked: '797f4846-ba00-4fd7-ba43-dac1f8f63013', scope: '797f4846-ba00-4fd7-ba43-dac1f8f63013/.default' },
  ]) {
    it(`${asked} is Azure Resource Manager’s, and Entra is asked for ${scope}`, async () => {
      const { ask, entra } = serve();
      const { status, body } = await ask(asked);
      assert.equal(status, 200);
      assert.equal(body['resource'], asked);
      assert.deepEqual(entra.asked, [scope]);
    });
  }

  it('by a name that this Entra does not know is asked for under the step’s own', async () => {
    const { ask, entra } = serve();
    entra.unknown = ['https://management.core.windows.net//.default'];
    const { status, body } = await ask('https://management.core.windows.net/');
    assert.equal(status, 200);
    assert.equal(body['access_token'], `token 2 for ${ARM}`);
  });

  it('that was written out has the names of its preset', () => {
    assert.deepEqual(resourceNames('https://management.azure.com//.default', publicCloud), [
      'https://management.azure.com/',
      'https://management.azure.com',
      'https://management.core.windows.net',
      '797f4846-ba00-4fd7-ba43-dac1f8f63013',
      'api://797f4846-ba00-4fd7-ba43-dac1f8f63013',
    ]);
  });

  for (const [cloud, name, isNamed] of [
    [usGovernment, 'https://management.core.usgovcloudapi.net', true],
    [china, 'https://management.core.chinacloudapi.cn', true],
    [usGovernment, 'https://management.core.windows.net', false],
    [china, 'https://management.azure.com', false],
  ] as const) {
    it(`Azure Resource Manager of ${cloud.title} is ${isNamed ? '' : 'not '}${name}`, () => {
      const { arm } = cloud.resources;
      assert.equal(resourceNames(`${arm}/.default`, cloud).includes(name), isNamed);
    });
  }

  it('of one’s own has its own names alone', () => {
    assert.deepEqual(resourceNames('api://orders/.default', publicCloud), ['api://orders']);
    assert.deepEqual(resourceNames('https://Contoso.example/Orders/.default', publicCloud), [
      'https://Contoso.example/Orders',
    ]);
    const id = '5b1f2e3a-9470-4a7d-8c52-93be4f188c6e';
    assert.deepEqual(resourceNames(`${id}/.default`, publicCloud), [id, `api://${id}`]);
    assert.deepEqual(resourceNames(`api://${id}/.default`, publicCloud), [`api://${id}`, id]);
  });
});

describe('an ID token of the endpoint', () => {
  const AUDIENCE = 'api://AzureADTokenExchange';

  function serveIds(lifeMs = 10 * MINUTE) {
    const time = new VirtualTime();
    const devOps = { asked: 0, failure: undefined as Failure | undefined };
    const ask = () => {
      devOps.asked++;
      if (devOps.failure !== undefined) return Promise.reject(devOps.failure);
      const idToken = {
        token: Secret.maskedByAgent(`token ${devOps.asked}`),
        issuer: 'i',
        subject: 's',
        audiences: [AUDIENCE],
        expiresAt: time.now() + lifeMs,
        issuedAt: time.now(),
      };
      return Promise.resolve({ idToken, skewMs: 0 });
    };
    const held = new HeldIdTokens(ask, time);
    const answer = serveIdTokens(held.toHandOut, AUDIENCE);
    return { time, devOps, held, get: (query = '') => answer(new URLSearchParams(query)) };
  }

  it('comes for the audience of the exchange, or for none that is named', async () => {
    const { get } = serveIds();
    assert.deepEqual(await get('api-version=2.0'), { status: 200, body: { value: 'token 1' } });
    assert.equal((await get(`audience=${AUDIENCE}`)).status, 200);
  });

  it('for another audience is 400 and says so', async () => {
    const { get, devOps } = serveIds();
    for (const query of [
      'audience=sts.amazonaws.com',
      `audience=${AUDIENCE}&audience=x`,
      'audience=',
      `audience=${AUDIENCE}/`,
    ]) {
      const { status, body } = await get(query);
      assert.equal(status, 400, query);
      assert.match(String(body['message']), /api:\/\/AzureADTokenExchange/);
    }
    assert.equal(devOps.asked, 0);
  });

  it('has half of its life before it, and in an outage an eighth', async () => {
    const { time, get, devOps } = serveIds();
    await get();
    await time.pass(5 * MINUTE);
    assert.equal((await get()).body['value'], 'token 1');
    await time.pass(1);
    assert.equal((await get()).body['value'], 'token 2');
    devOps.failure = outage;
    await time.pass(8 * MINUTE);
    assert.equal((await get()).body['value'], 'token 2');
    await time.pass(MINUTE);
    assert.equal((await get()).status, 503);
  });

  it('that has expired when it comes is not handed out', async () => {
    const { get } = serveIds(-1000);
    assert.equal((await get()).status, 503);
  });

  it('is the one for exchanges too, while it has a minute', async () => {
    const { time, held, devOps } = serveIds();
    await held.toExchange();
    await time.pass(9 * MINUTE);
    await held.toExchange();
    assert.equal(devOps.asked, 1);
    await time.pass(1);
    await held.toExchange();
    assert.equal(devOps.asked, 2);
  });

  it('is asked for once, however many wait for it', async () => {
    const { held, devOps } = serveIds();
    await Promise.all(Array.from({ length: 100 }, () => held.toExchange()));
    assert.equal(devOps.asked, 1);
  });
});
