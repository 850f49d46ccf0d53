import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import { after, before, beforeEach, describe, it } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { type ClientAnswer, send } from './client.ts';
import { type Cloud, startCloud } from './cloud.ts';
import {
  answers,
  type BodyFault,
  entraError,
  type Fault,
  hostileText,
  oidcTokenAnswers,
  tokenAnswers,
} from './faults.ts';
import { askOidcToken, askToken, tokenForm } from './tokens.ts';

let cloud: Cloud;
before(async () => {
  cloud = await startCloud();
});
after(() => cloud.close());
beforeEach(() => {
  cloud.faults = [];
  cloud.requests = [];
});

const ask = (options: { tls?: object } = {}) =>
  send(`${cloud.job.oidcRequestUri}?api-version=7.1`, {
    method: 'POST',
    ca: cloud.ca.pem,
    headers: { authorization: `Bearer ${cloud.job.jobToken}` },
    ...options,
  });
const statuses = async (count: number): Promise<number[]> => {
  const seen: number[] = [];
  for (let i = 0; i < count; i += 1) seen.push((await ask()).status);
  return seen;
};
const codeOf = (error: unknown) => (error as NodeJS.ErrnoException).code;

interface Seen {
  bytes: number;
  headers: boolean;
  ended: boolean;
}

/** What a client has seen when `enough` says so, or the answer ended, or a time is over that is too long to wait. */
function watch(enough: (seen: Seen) => boolean, milliseconds: number): Promise<Seen> {
  const { port } = new URL(cloud.devOpsUrl);
  const seen = { bytes: 0, headers: false, ended: false };
  return new Promise((resolve) => {
    const asked = https.request({ host: 'localhost', port, path: '/', method: 'POST', ca: cloud.ca.pem, agent: false });
    const finish = () => {
      clearTimeout(timer);
      clearInterval(looks);
      asked.destroy();
      resolve(seen);
    };
    const look = () => {
      if (enough(seen)) finish();
    };
    const timer = setTimeout(finish, milliseconds);
    const looks = setInterval(look, 20);
    asked.on('error', finish);
    asked.on('response', (response) => {
      seen.headers = true;
      look();
      response.on('data', (chunk: Buffer) => {
        seen.bytes += chunk.length;
        look();
      });
      response.on('error', finish);
      response.on('end', () => {
        seen.ended = true;
        finish();
      });
    });
    asked.end();
  });
}

function startServer(): Promise<net.Server> {
  const server = net.createServer();
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
}

/** Far more than any of these needs, however busy the machine is. */
const longest = 60_000;

/** Enough for a test of silence: a time in which nothing more came after something had happened. */
function silenceAfter(hasHappened: (seen: Seen) => boolean): (seen: Seen) => boolean {
  let since: number | undefined;
  return (seen) => {
    if (hasHappened(seen)) since ??= performance.now();
    return since !== undefined && performance.now() - since > 200;
  };
}

describe('when a fault strikes', () => {
  const cases: [when: Fault['when'], expected: number[]][] = [
    [undefined, [503, 503, 503, 503]],
    ['every', [503, 503, 503, 503]],
    [{ nth: 2 }, [200, 503, 200, 200]],
    [{ nth: [1, 3] }, [503, 200, 503, 200]],
    [{ first: 2 }, [503, 503, 200, 200]],
    [{ after: 3 }, [200, 200, 200, 503]],
  ];
  for (const [when, expected] of cases) {
    it(`(${JSON.stringify(when ?? 'unsaid')}) these are the answers: ${expected}`, async () => {
      cloud.faults = [{ ...(when === undefined ? {} : { when }), do: answers.unavailable }];
      assert.deepEqual(await statuses(4), expected);
      assert.deepEqual(
        cloud.requests.map((request) => request.status),
        expected,
      );
    });
  }

  it('only what it names is struck: service, method, path', async () => {
    const elsewhere: Fault[] = [
      { service: 'entra', do: answers.unavailable },
      { service: ['entra', 'api'], do: answers.unavailable },
      { method: 'GET', do: answers.unavailable },
      { path: 'serviceConnectionId', do: answers.unavailable },
      { path: /oauth2/, do: answers.unavailable },
    ];
    cloud.faults = elsewhere;
    assert.equal((await ask()).status, 200);
    cloud.faults = [{ service: 'devops', method: 'POST', path: /oidctoken\?/, do: answers.unavailable }];
    assert.equal((await ask()).status, 503);
  });

  it('the first that is due wins, and all that match count', async () => {
    cloud.faults = [
      { when: { nth: 1 }, do: answers.tooManyRequests(1) },
      { when: { nth: 2 }, do: answers.unavailable },
    ];
    assert.deepEqual(await statuses(3), [429, 503, 200]);
  });
});

describe('a connection', () => {
  const cases: [name: string, fault: Fault['do'], codes: string[]][] = [
    ['closed before a byte', { kind: 'closeConnection' }, ['ECONNRESET']],
    ['reset before a byte', { kind: 'resetConnection' }, ['ECONNRESET']],
    ['that speaks no TLS', { kind: 'plainHttp' }, ['EPROTO', 'ERR_SSL_WRONG_VERSION_NUMBER']],
    ['with a self-signed certificate', { kind: 'certificate', which: 'selfSigned' }, ['DEPTH_ZERO_SELF_SIGNED_CERT']],
    [
      'with a certificate of another authority',
      { kind: 'certificate', which: 'otherAuthority' },
      ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY'],
    ],
    [
      'with a certificate of another name',
      { kind: 'certificate', which: 'otherName' },
      ['ERR_TLS_CERT_ALTNAME_INVALID'],
    ],
    ['with an expired certificate', { kind: 'certificate', which: 'expired' }, ['CERT_HAS_EXPIRED']],
  ];
  for (const [name, fault, codes] of cases) {
    it(`${name} gives ${codes[0]}, and the next one works`, async () => {
      const opened = cloud.connectionsOpened;
      cloud.faults = [{ service: 'devops', when: { first: 1 }, do: fault }];
      await assert.rejects(ask(), (error) => codes.includes(String(codeOf(error))));
      assert.equal((await ask()).status, 200);
      assert.equal(cloud.connectionsOpened, opened + 2);
      assert.equal(cloud.requests.length, 1);
    });
  }

  it('that is silent never finishes its handshake', async () => {
    cloud.faults = [{ do: { kind: 'silentConnection' } }];
    const opened = cloud.connectionsOpened;
    const isConnected = () => cloud.connectionsOpened > opened;
    assert.deepEqual(await watch(silenceAfter(isConnected), longest), { bytes: 0, headers: false, ended: false });
    assert.equal(cloud.requests.length, 0);
  });

  it('is refused while a service is out, and taken at the same port after', async () => {
    const end = await cloud.outage('devops');
    await assert.rejects(ask(), (error) => codeOf(error) === 'ECONNREFUSED' || error instanceof AggregateError);
    // Nobody is given the port meanwhile who only wants one.
    const others = await Promise.all(Array.from({ length: 20 }, () => startServer()));
    await end();
    for (const other of others) other.close();
    assert.equal((await ask()).status, 200);
  });
});

describe('after the request', () => {
  const broken: [name: string, fault: Fault['do'], status: number][] = [
    ['closed', { kind: 'close' }, 0],
    ['reset', { kind: 'reset' }, 0],
    ['truncated', { kind: 'alter', body: 'truncated' }, 200],
    ['reset within the body', { kind: 'alter', body: 'reset' }, 200],
    ['no HTTP', answers.notHttp, 0],
    ['huge headers', answers.hugeHeaders, 200],
  ];
  for (const [name, fault, status] of broken) {
    it(`(${name}) the client has no answer, and the request is recorded`, async () => {
      cloud.faults = [{ when: { first: 1 }, do: fault }];
      await assert.rejects(ask());
      assert.deepEqual(
        cloud.requests.map((request) => request.status),
        [status],
      );
      assert.equal((await ask()).status, 200);
    });
  }

  for (const [name, fault] of [
    ['silence', { kind: 'silence' }],
    ['a drip of headers', answers.headersDrip],
  ] satisfies [string, Fault['do']][]) {
    it(`(${name}) the client waits for headers in vain`, async () => {
      cloud.faults = [{ do: fault }];
      const isAsked = () => cloud.requests.length > 0;
      assert.deepEqual(await watch(silenceAfter(isAsked), longest), { bytes: 0, headers: false, ended: false });
      assert.equal(cloud.requests.length, 1);
    });
  }

  for (const [name, body] of [
    ['silence after the headers', 'silentBefore'],
    ['silence within the body', 'silentWithin'],
    ['a byte a second', 'drip'],
  ] satisfies [string, BodyFault][]) {
    it(`(${name}) the client waits for the end of the body in vain`, async () => {
      cloud.faults = [{ do: { ...answers.echo, body } }];
      const hasBegun = (seen: Seen) => (body === 'silentBefore' ? seen.headers : seen.bytes > 0);
      const seen = await watch(silenceAfter(hasBegun), longest);
      assert.ok(hasBegun(seen));
      assert.equal(seen.ended, false);
    });
  }

  it('(a byte a second) the first byte comes alone', async () => {
    cloud.faults = [{ do: { ...answers.echo, body: 'drip' } }];
    assert.equal((await watch((seen) => seen.bytes > 0, longest)).bytes, 1);
  });

  it('(no end) the body comes for as long as it is read', async () => {
    cloud.faults = [{ do: { ...answers.echo, body: 'endless' } }];
    assert.ok((await watch((seen) => seen.bytes > 1_000_000, longest)).bytes > 1_000_000);
  });

  it('(late) the genuine answer comes', async () => {
    const order: string[] = [];
    const until = async (): Promise<void> => {
      await new Promise(setImmediate);
      order.push('what was waited for');
    };
    for (const [fault, status] of [
      [{ kind: 'hold', until }, 200],
      [{ kind: 'hold', until, answer: answers.badGateway }, 502],
    ] as const) {
      order.length = 0;
      cloud.faults = [{ do: fault }];
      assert.equal((await ask()).status, status);
      order.push('the answer');
      assert.deepEqual(order, ['what was waited for', 'the answer']);
    }
  });
});

describe('instead of the answer', () => {
  const cases: [name: string, fault: Fault['do'], check: (answer: ClientAnswer) => void][] = [
    ['429', answers.tooManyRequests(7), (a) => assert.deepEqual([a.status, a.headers['retry-after']], [429, '7'])],
    [
      '429 with a date',
      answers.tooManyRequestsUntil(90),
      (a) => {
        const wait = Date.parse(String(a.headers['retry-after'])) - Date.parse(String(a.headers.date));
        assert.ok(wait >= 89_000 && wait <= 91_000, String(wait));
      },
    ],
    ['408', answers.requestTimeout, (a) => assert.equal(a.status, 408)],
    ['500', answers.internalError, (a) => assert.equal(a.status, 500)],
    ['502', answers.badGateway, (a) => assert.equal(a.status, 502)],
    ['503 as HTML', answers.unavailable, (a) => assert.match(String(a.headers['content-type']), /html/)],
    ['203', answers.signInPage, (a) => assert.equal(a.status, 203)],
    ['302', answers.signInRedirect, (a) => assert.ok(a.headers.location)],
    ['an empty 200', answers.empty, (a) => assert.deepEqual([a.status, a.text], [200, ''])],
    ['null', answers.null, (a) => assert.equal(a.json(), null)],
    ['no JSON', answers.notJson, (a) => assert.throws(() => a.json())],
    ['no oidcToken', oidcTokenAnswers.noOidcToken, (a) => assert.deepEqual(a.json(), {})],
    ['no JWT', oidcTokenAnswers.notAJwt, (a) => assert.equal(a.json()['oidcToken'], 'not-a-jwt')],
    [
      'a plan that is not visible yet',
      oidcTokenAnswers.planNotVisible,
      (a) => assert.equal(a.json()['typeKey'], 'TaskOrchestrationPlanSecurityException'),
    ],
    [
      'an echo',
      answers.echo,
      (a) => assert.ok(a.text.includes(`authorization: Bearer ${cloud.job.jobToken}`) && a.text.startsWith('POST /')),
    ],
    ['commands in the body', answers.hostileBody, (a) => assert.equal(a.text, hostileText)],
    ['commands in the status line', answers.hostileStatusLine, (a) => assert.match(a.statusText, /^##vso\[/)],
    ['commands in headers', answers.hostileHeaders, (a) => assert.match(String(a.headers['x-vss-e2eid']), /^##vso\[/)],
    [
      'an error of a policy',
      entraError(53003, 'Access has been blocked by Conditional Access policies.', 'access_denied', 400),
      (a) => assert.deepEqual(a.json()['error_codes'], [53003]),
    ],
  ];
  for (const [name, fault, check] of cases) {
    it(`(${name}) comes what was said`, async () => {
      cloud.faults = [{ do: fault }];
      check(await ask());
    });
  }

  it('(gzip) the body is compressed', async () => {
    cloud.faults = [{ do: { kind: 'answer', json: { oidcToken: 'x' }, encoding: 'gzip' } }];
    const { port } = new URL(cloud.devOpsUrl);
    const body = await new Promise<Buffer>((resolve, reject) => {
      const asked = https.get({ host: 'localhost', port, path: '/', ca: cloud.ca.pem, agent: false }, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () => resolve(Buffer.concat(chunks)));
      });
      asked.on('error', reject);
    });
    assert.equal(gunzipSync(body).toString(), '{"oidcToken":"x"}');
  });

  for (const [name, fault] of Object.entries(tokenAnswers)) {
    it(`(${name}) the token endpoint's answer differs in that alone`, async () => {
      const form = tokenForm(cloud, await cloud.issueIdToken({ connection: 'prod' }));
      cloud.faults = [{ service: 'entra', do: fault }];
      const changed = (await askToken(cloud, form)).json();
      const { set = {}, remove = [] }: { set?: object; remove?: string[] } = fault;
      for (const [key, value] of Object.entries(set)) assert.deepEqual(changed[key], value);
      for (const key of remove) assert.ok(!(key in changed));
      const untouched = ['token_type', 'expires_in', 'access_token'].filter((k) => !(k in set) && !remove.includes(k));
      for (const key of untouched) assert.ok(key in changed);
    });
  }
});

describe('a throttle', () => {
  it('lets a burst through and then tells when to come back', async () => {
    cloud.throttle = { perSecond: 0.001, burst: 2, retryAfterSeconds: 9 };
    const seen = [await ask(), await ask(), await ask()];
    const other = await askToken(cloud, tokenForm(cloud, await cloud.issueIdToken({ connection: 'prod' })));
    cloud.throttle = undefined;
    assert.deepEqual(
      seen.map(({ status, headers }) => [status, headers['retry-after']]),
      [
        [200, undefined],
        [200, undefined],
        [429, '9'],
      ],
    );
    assert.equal(other.status, 200, 'each service has its own');
  });
});

describe('the clock of the services', () => {
  for (const skew of [300, -300]) {
    it(`${skew} seconds off is seen in Date and in both tokens, and is the one they are judged by`, async () => {
      cloud.clockSkewSeconds = skew;
      const answer = await askOidcToken(cloud);
      const assertion = String(answer.json()['oidcToken']);
      const exchanged = await askToken(cloud, tokenForm(cloud, assertion));
      cloud.clockSkewSeconds = 0;
      const ahead = (Date.parse(String(answer.headers.date)) - Date.now()) / 1000;
      assert.ok(Math.abs(ahead - skew) < 30, String(ahead));
      assert.equal(exchanged.status, 200, exchanged.text);
      const ofToday = await askToken(cloud, tokenForm(cloud, assertion));
      assert.equal(ofToday.status, skew > 0 ? 401 : 200, 'from the future for a right clock, or still alive');
    });
  }
});

describe('a cloud that wants a client certificate', () => {
  it('serves those who have one of its authority, and nobody else', async (context) => {
    const strict = await startCloud({ requireClientCertificate: true, latencyMs: 1 });
    context.after(() => strict.close());
    const { certFile, keyFile, passphrase } = strict.clientCertificate;
    const key = readFileSync(keyFile, 'utf8');
    assert.match(key, /^-----BEGIN ENCRYPTED PRIVATE KEY-----/);
    const own = { cert: readFileSync(certFile, 'utf8'), key, passphrase };
    const get = (tls: object) => send(`${strict.apiUrl}secrets/greeting`, { ca: strict.ca.pem, tls });
    assert.equal((await get(own)).status, 401);
    await assert.rejects(get({}));
    await assert.rejects(get({ ...own, passphrase: 'wrong' }));
    assert.equal(strict.requests.length, 1);
  });
});

it('a request to a port that speaks TLS, without it, gets nothing', async () => {
  const { port } = new URL(cloud.devOpsUrl);
  await assert.rejects(
    new Promise((resolve, reject) => {
      http.get({ host: '127.0.0.1', port, agent: false }, resolve).on('error', reject);
    }),
  );
});
