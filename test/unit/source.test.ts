import './build-constants.ts';
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { loadExchange } from '../../tasks/EntraTokenV1/exchange/exchange.ts';
import type { Code } from '../../tasks/EntraTokenV1/failure/catalogue.ts';
import { Failure } from '../../tasks/EntraTokenV1/failure/failure.ts';
import { readIdToken } from '../../tasks/EntraTokenV1/id-token/id-token.ts';
import type { Answer, Post } from '../../tasks/EntraTokenV1/network/post.ts';
import { readRequest } from '../../tasks/EntraTokenV1/request/request.ts';
import { openSource, type SourceSurroundings } from '../../tasks/EntraTokenV1/source/source.ts';
import { signJwt } from '../cloud/keys.ts';
import { kubernetes } from '../cloud/kubernetes.ts';
import { fakeAgent } from './fake-agent.ts';

let folder: string;
let podFile: string;
before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'unit-source-'));
  podFile = join(folder, 'token');
  writeFileSync(podFile, await kubernetes(Date.now).issueToken());
});
after(() => rmSync(folder, { recursive: true }));

const start = Date.now();
let now = start;
const idToken = (lifeMs: number): Promise<string> =>
  signJwt('devops', { iss: 'i', sub: 's', aud: 'a', exp: Math.floor((now + lifeMs) / 1000), jti: Math.random() });

const answer = (status: number, body: string, headers: Answer['headers'] = {}, tries = 1): Answer => ({
  status,
  headers,
  body,
  skewMs: undefined,
  tries,
  tookMs: 1,
});

type Reply = Answer | Failure | (() => Promise<Answer>);

/** A source before services that answer as they are told, one reply a request; the last one stays. */
function open(
  replies: readonly Reply[],
  {
    lateBound = '',
    environment = {},
    inputs = {},
  }: { lateBound?: string; environment?: Record<string, string>; inputs?: Record<string, string> } = {},
) {
  const posts: Post[] = [];
  const warnings: string[] = [];
  const logged: string[] = [];
  const surroundings: SourceSurroundings = {
    send: async (post) => {
      const reply = replies[Math.min(posts.push(post), replies.length) - 1];
      if (reply === undefined || reply instanceof Failure) throw reply ?? new Error('nothing was to be asked');
      return typeof reply === 'function' ? reply() : reply;
    },
    pool: () => assert.fail('all requests go over the fake wire'),
    now: () => now,
    elapsed: () => now,
    sleep: () => Promise.resolve(),
    random: () => 0,
    log: (line) => logged.push(line),
    mask: () => {},
    warn: (message) => warnings.push(message),
  };
  const { agent } = fakeAgent({
    inputs: { connectedServiceNameARM: 'rm', ...inputs },
    environment,
    variables: { 'System.TeamProjectId': 'p', 'System.PlanId': 'l', 'System.JobId': 'j' },
    connections: {
      rm: { parameters: { serviceprincipalid: 'c', tenantid: 't', idToken: lateBound } },
      SYSTEMVSSCONNECTION: {
        scheme: 'OAuth',
        url: 'https://dev.azure.com/contoso/',
        parameters: { AccessToken: 'job' },
      },
    },
  });
  return { source: openSource(readRequest(agent), surroundings), posts, warnings, logged };
}

const fresh =
  (lifeMs: number): Reply =>
  async () =>
    answer(200, JSON.stringify({ oidcToken: await idToken(lifeMs) }));
const exception = (typeKey: string): string => JSON.stringify({ typeKey, message: 'x' });

for (const { title, reply, code, fallsBack } of [
  { title: 'no endpoint', reply: answer(404, '<html>'), code: 'ET_DEVOPS_NO_ENDPOINT', fallsBack: true },
  { title: 'no such method', reply: answer(405, ''), code: 'ET_DEVOPS_NO_ENDPOINT', fallsBack: true },
  { title: '500 to the end', reply: answer(500, '', {}, 7), code: 'ET_DEVOPS_UNAVAILABLE', fallsBack: true },
  { title: '599', reply: answer(599, ''), code: 'ET_DEVOPS_UNAVAILABLE', fallsBack: true },
  ...(['ET_NAME_NOT_FOUND', 'ET_CONNECTION', 'ET_TIMEOUT', 'ET_PROXY'] satisfies Code[]).map((network) => ({
    title: `${network} to the end`,
    reply: new Failure(network, 'x'),
    code: network,
    fallsBack: true,
  })),
  { title: '401', reply: answer(401, ''), code: 'ET_DEVOPS_UNAUTHORIZED', fallsBack: false },
  { title: '203', reply: answer(203, '<html>'), code: 'ET_DEVOPS_UNAUTHORIZED', fallsBack: false },
  { title: '302', reply: answer(302, ''), code: 'ET_DEVOPS_UNAUTHORIZED', fallsBack: false },
  { title: '403', reply: answer(403, ''), code: 'ET_DEVOPS_FORBIDDEN', fallsBack: false },
  { title: '429 to the end', reply: answer(429, ''), code: 'ET_DEVOPS_THROTTLED', fallsBack: false },
  {
    title: '400 with an exception',
    reply: answer(400, exception('VssInvalidPreviewVersionException')),
    code: 'ET_DEVOPS_REFUSED',
    fallsBack: false,
  },
  // A 404 from the endpoint itself: there is one.
  {
    title: 'no such plan',
    reply: answer(404, exception('TaskOrchestrationPlanNotFoundException')),
    code: 'ET_DEVOPS_REFUSED',
    fallsBack: false,
  },
  {
    title: 'no such connection',
    reply: answer(
      404,
      JSON.stringify({
        typeKey: 'ServiceEndpointNotFoundException',
        message: 'No service connection found with identifier x.',
      }),
    ),
    code: 'ET_DEVOPS_CONNECTION_REFUSED',
    fallsBack: false,
  },
  {
    title: 'a connection that the stage does not name',
    reply: answer(
      400,
      JSON.stringify({
        count: 1,
        value: 'There is no explicit reference to service connection x from current stage Y.',
      }),
    ),
    code: 'ET_DEVOPS_CONNECTION_REFUSED',
    fallsBack: false,
  },
  ...[
    '{"message":"Service connection X was not found."}',
    '{"count":1,"value":"The service endpoint X could not be found."}',
    '{"Message":"No service connection found with identifier X"}',
    '<html>The service connection X does not exist.</html>',
  ].map((body) => ({
    title: `no such connection, as ${body}`,
    reply: answer(404, body),
    code: 'ET_DEVOPS_CONNECTION_REFUSED',
    fallsBack: false,
  })),
  {
    title: 'no such route',
    reply: answer(404, '{"message":"The controller for path \'/x/oidctoken?serviceConnectionId=y\' was not found."}'),
    code: 'ET_DEVOPS_NO_ENDPOINT',
    fallsBack: true,
  },
  { title: 'an empty answer', reply: answer(200, ''), code: 'ET_DEVOPS_ANSWER', fallsBack: false },
  { title: 'a page', reply: answer(200, '<html>'), code: 'ET_DEVOPS_ANSWER', fallsBack: false },
  { title: 'no JWT', reply: answer(200, '{"oidcToken":"x"}'), code: 'ET_DEVOPS_ANSWER', fallsBack: false },
  { title: 'a number', reply: answer(200, '{"oidcToken":42}'), code: 'ET_DEVOPS_ANSWER', fallsBack: false },
  { title: 'an empty token', reply: answer(200, '{"oidcToken":""}'), code: 'ET_DEVOPS_ANSWER', fallsBack: false },
  { title: 'a list', reply: answer(200, '[]'), code: 'ET_DEVOPS_ANSWER', fallsBack: false },
  {
    title: 'an error that nobody foresaw',
    reply: new Failure('ET_UNEXPECTED', 'x'),
    code: 'ET_UNEXPECTED',
    fallsBack: false,
  },
  // Who cannot prove to be Azure DevOps is not to be taken for one that is away.
  { title: 'a wrong certificate', reply: new Failure('ET_CERTIFICATE', 'x'), code: 'ET_CERTIFICATE', fallsBack: false },
]) {
  test(`Azure DevOps answers ${title}: Kubernetes ${fallsBack ? 'stands in' : 'does not stand in'}`, async () => {
    now = Date.now();
    const without = open([reply]);
    await assert.rejects(without.source, { code });
    const { source, warnings, posts } = open([reply], { environment: { AZURE_FEDERATED_TOKEN_FILE: podFile } });
    if (!fallsBack) {
      await assert.rejects(source, { code });
      assert.deepEqual(warnings, []);
      return;
    }
    assert.equal((await source).kind, 'kubernetes');
    assert.equal((await source).renewal, undefined, 'the kubelet renews it');
    assert.equal(posts.length, 1);
    assert.equal(warnings.length, 1);
    assert.ok(warnings[0]?.startsWith(`${code}: `));
  });
}

test('one ID token serves all exchanges while it lives, and one new one all that come after', async () => {
  now = start;
  const { source, posts } = open([fresh(600_000), fresh(600_000), fresh(600_000)]);
  const { idToken: give, first } = await source;
  assert.equal(await give(), first);
  now = start + 539_000;
  assert.equal(await give(), first, 'a minute and more to live');
  assert.equal(posts.length, 1);
  now = start + 541_000;
  const [one, two] = await Promise.all([give(), give()]);
  assert.notEqual(one, first);
  assert.equal(one, two);
  assert.equal(posts.length, 2, 'exchanges side by side wait for the same new token');
});

test('an ID token that never lives for a minute is not asked for at each exchange', async () => {
  now = start;
  const { source, posts } = open([fresh(30_000)]);
  const { idToken: give } = await source;
  now = start + 10_000;
  await give();
  assert.equal(posts.length, 1);
  now = start + 25_000;
  await give();
  assert.equal(posts.length, 2);
});

test('an ID token that had expired when it came is sent all the same, for Entra to say what is wrong', async () => {
  now = start;
  const { source, posts } = open([fresh(-60_000)]);
  const { idToken: give, first } = await source;
  assert.equal(await give(), first);
  assert.equal(await give(), first);
  assert.equal(posts.length, 1);
});

for (const { title, lifeMs, requests } of [
  { title: 'a minute', lifeMs: 61_000, requests: 0 },
  { title: 'less', lifeMs: 59_000, requests: 1 },
  { title: 'no time at all', lifeMs: -1000, requests: 1 },
]) {
  test(`a late-bound ID token with ${title} to live needs ${requests} requests; its renewal needs one`, async () => {
    now = start;
    const { source, posts } = open([fresh(600_000)], { lateBound: await idToken(lifeMs) });
    const { idToken: give, renewal } = await source;
    assert.equal(posts.length, requests);
    assert.ok(renewal);
    await give();
    assert.equal(posts.length, requests);
    now = start + 600_000;
    await give();
    assert.equal(posts.length, requests + 1);
  });
}

for (const { title, lifeMs, reply, requests } of [
  { title: 'time enough', lifeMs: 301_000, reply: fresh(600_000), requests: 0 },
  { title: 'less than half of its time', lifeMs: 299_000, reply: fresh(600_000), requests: 1 },
  { title: 'less, while Azure DevOps cannot be asked', lifeMs: 61_000, reply: answer(503, ''), requests: 1 },
]) {
  test(`a late-bound ID token that later steps get has ${title}: ${requests} requests`, async () => {
    now = start;
    const inputs = { exportIdToken: 'true', kubernetesFallback: 'false' };
    const { source, posts } = open([reply], { lateBound: await idToken(lifeMs), inputs });
    const { first } = await source;
    assert.equal(posts.length, requests);
    assert.equal(first.expiresAt > start + 300_000, requests === 0 || lifeMs > 100_000);
  });
}

test('where the pod’s token stands ready, Azure DevOps has fifteen seconds in all, and the log says so once', async () => {
  now = start;
  const reply = (): Promise<Answer> => {
    now += 4000;
    return Promise.resolve(answer(400, '{"typeKey":"VssInvalidPreviewVersionException"}'));
  };
  const ready = open([reply, fresh(600_000)], { environment: { AZURE_FEDERATED_TOKEN_FILE: podFile } });
  await ready.source;
  assert.deepEqual(
    ready.posts.map(({ allTriesMs }) => allTriesMs),
    [15_000, 11_000],
  );
  for (const { onRetry } of [...ready.posts, ...ready.posts]) onRetry?.();
  assert.deepEqual(ready.logged, [
    'A Kubernetes token file exists: it is used if Azure DevOps does not respond within 15 s.',
  ]);
  const alone = open([fresh(600_000)], { environment: { AZURE_FEDERATED_TOKEN_FILE: '/nowhere' } });
  await alone.source;
  assert.equal(alone.posts[0]?.allTriesMs, undefined);
});

test('a renewal that fails tells why, and the next exchange asks again', async () => {
  now = start;
  const { source, posts } = open([fresh(600_000), answer(403, ''), fresh(600_000)]);
  const { idToken: give } = await source;
  now = start + 600_000;
  await assert.rejects(give(), { code: 'ET_DEVOPS_FORBIDDEN' });
  await give();
  assert.equal(posts.length, 3);
});

/** An exchange with an Entra that gives one answer. */
async function exchange(reply: Answer, claims?: string) {
  const createExchange = await loadExchange();
  return createExchange({
    authority: 'https://login.local',
    tenantId: 'tenant',
    clientId: 'client',
    claims,
    enableCae: false,
    idToken: async () => readIdToken(await idToken(600_000), () => {}) ?? assert.fail('no ID token'),
    send: () => Promise.resolve(reply),
    mask: () => {},
  });
}
const token = { token_type: 'Bearer', access_token: 'header.payload.signature', expires_in: 3600 };

for (const { title, change, expiresIn, refreshIn } of [
  { title: 'as Entra gives it', change: {}, expiresIn: 3600, refreshIn: undefined },
  { title: 'in another case', change: { token_type: 'bearer' }, expiresIn: 3600, refreshIn: undefined },
  { title: 'with digits as text', change: { expires_in: '120', refresh_in: '60' }, expiresIn: 120, refreshIn: 60 },
  {
    title: 'with a time to refresh that is no number',
    change: { refresh_in: 'soon' },
    expiresIn: 3600,
    refreshIn: undefined,
  },
  {
    title: 'with a time to refresh after its end',
    change: { refresh_in: 7200 },
    expiresIn: 3600,
    refreshIn: undefined,
  },
]) {
  test(`a token answer ${title} is taken`, async () => {
    const before = Date.now();
    const give = await exchange(answer(200, JSON.stringify({ ...token, ...change })));
    const given = await give('https://x/.default');
    const after = Date.now();
    // MSAL counts in whole seconds.
    const isIn = (seconds: number, instant = 0): boolean =>
      instant >= before + (seconds - 1) * 1000 && instant <= after + (seconds + 1) * 1000;
    assert.equal(given.token.reveal(), token.access_token);
    assert.ok(isIn(expiresIn, given.expiresAt), `${given.expiresAt}`);
    if (refreshIn === undefined) assert.equal(given.refreshAt, undefined);
    else assert.ok(isIn(refreshIn, given.refreshAt), `${given.refreshAt}`);
  });
}

for (const { title, body, status = 200, code } of [
  { title: 'no JSON', body: '<html>', code: 'ET_ENTRA_ANSWER' },
  { title: 'nothing', body: '', code: 'ET_ENTRA_ANSWER' },
  { title: 'null', body: 'null', code: 'ET_ENTRA_ANSWER' },
  { title: 'a list', body: '[]', code: 'ET_ENTRA_ANSWER' },
  { title: 'no token', body: JSON.stringify({ ...token, access_token: undefined }), code: 'ET_ENTRA_ANSWER' },
  { title: 'null for a token', body: JSON.stringify({ ...token, access_token: null }), code: 'ET_ENTRA_ANSWER' },
  { title: 'an empty token', body: JSON.stringify({ ...token, access_token: '' }), code: 'ET_ENTRA_ANSWER' },
  // Masked, it would blot out words of the log.
  {
    title: 'a word for a token',
    body: JSON.stringify({ ...token, access_token: 'Finishing' }),
    code: 'ET_ENTRA_ANSWER',
  },
  {
    title: 'a token of two lines',
    body: JSON.stringify({ ...token, access_token: 'header.payload\nsignature' }),
    code: 'ET_ENTRA_ANSWER',
  },
  // The agent would expand it in the next step.
  {
    title: 'a token that is a macro',
    body: JSON.stringify({ ...token, access_token: '$(a.secret.of.the.job)' }),
    code: 'ET_ENTRA_ANSWER',
  },
  {
    title: 'a token that only its holder may use',
    body: JSON.stringify({ ...token, token_type: 'pop' }),
    code: 'ET_ENTRA_ANSWER',
  },
  { title: 'no type', body: JSON.stringify({ ...token, token_type: undefined }), code: 'ET_ENTRA_ANSWER' },
  { title: 'no lifetime', body: JSON.stringify({ ...token, expires_in: undefined }), code: 'ET_ENTRA_ANSWER' },
  { title: 'a lifetime that is over', body: JSON.stringify({ ...token, expires_in: -1 }), code: 'ET_ENTRA_ANSWER' },
  { title: 'a lifetime without end', body: JSON.stringify({ ...token, expires_in: 1e15 }), code: 'ET_ENTRA_ANSWER' },
  { title: 'a redirect', body: '', status: 302, code: 'ET_ENTRA_ANSWER' },
  { title: '429 to the end', body: '{}', status: 429, code: 'ET_ENTRA_THROTTLED' },
  { title: '503 to the end', body: '<html>', status: 503, code: 'ET_ENTRA_UNAVAILABLE' },
  { title: 'an error without a number', body: '{"error":"invalid_client"}', status: 401, code: 'ET_ENTRA_REFUSED' },
  {
    title: 'a number that is new',
    body: '{"error":"x","error_codes":[1234567]}',
    status: 400,
    code: 'ET_ENTRA_REFUSED',
  },
  {
    title: 'a number in the sentence alone',
    body: '{"error":"x","error_description":"AADSTS700016: y"}',
    status: 400,
    code: 'ET_CLIENT_UNKNOWN',
  },
  { title: 'an error page', body: '<html>', status: 400, code: 'ET_ENTRA_ANSWER' },
]) {
  test(`an answer of Entra that is ${title} ends in ${code}, and quotes nothing`, async () => {
    const give = await exchange(answer(status, body));
    await assert.rejects(give('https://x/.default'), (error: Error) => {
      assert.ok(error instanceof Failure, error.message);
      assert.equal(error.code, code);
      assert.ok(!error.line().includes('<html>') && !error.line().includes(': y'));
      return true;
    });
  });
}

for (const [numbers, code] of [
  [[700213], 'ET_SUBJECT_MISMATCH'],
  [[700211], 'ET_ISSUER_MISMATCH'],
  [[700212], 'ET_AUDIENCE_MISMATCH'],
  [[70021, 70025], 'ET_NO_FEDERATED_CREDENTIAL'],
  [[700024], 'ET_ASSERTION_TIME'],
  [[700016], 'ET_CLIENT_UNKNOWN'],
  [[500011], 'ET_RESOURCE_UNKNOWN'],
  [[90002, 900023], 'ET_TENANT_UNKNOWN'],
  [[1002012, 70011], 'ET_SCOPE_INVALID'],
  [[700223, 700238], 'ET_POLICY'],
  [[700222], 'ET_ENTRA_TOKEN_AS_ASSERTION'],
  [[700231], 'ET_DOUBLE_HOP'],
  [[70023], 'ET_ASSERTION_LIFETIME'],
  [[700021, 700023, 50027], 'ET_ASSERTION_WRONG'],
  [[70052], 'ET_MULTITENANT_ISSUER'],
  [[900382], 'ET_CROSS_CLOUD'],
  [[50166, 90061], 'ET_ISSUER_UNREACHABLE'],
  [[53003], 'ET_CONDITIONAL_ACCESS'],
  [[501051], 'ET_ROLE_MISSING'],
  [[7000215, 7000222], 'ET_CLIENT_SECRET'],
] as const) {
  test(`AADSTS ${numbers.join(', ')}: ${code}`, async () => {
    for (const number of numbers) {
      const body = JSON.stringify({ error: 'x', error_codes: [number], error_description: 'AADSTS1: y' });
      const give = await exchange(answer(400, body));
      await assert.rejects(give('https://x/.default'), {
        code,
        message: new RegExp(`AADSTS${number}\\b`),
      });
    }
  });
}
