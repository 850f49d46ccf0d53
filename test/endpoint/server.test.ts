import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { networkInterfaces } from 'node:os';
import { after, before, describe, test } from 'node:test';
import { type Cloud, startCloud } from '../cloud/cloud.ts';
import { refreshersOf, useOf } from '../later-steps/processes.ts';
import { notOnWindows, onWindows } from '../on-windows.ts';
import { hold, sendRaw } from './raw.ts';
import { askAccessToken, askIdToken, get, type ServedJob, serveJob, servingStep } from './served-job.ts';

const timeout = 120_000;

let cloud: Cloud;
let job: ServedJob;

before(async () => {
  cloud = await startCloud();
  job = await serveJob(cloud, servingStep('scopes: arm'));
});
after(async () => {
  await job.release();
  await cloud.close();
});

/** A request line and headers, with the secret where none is given. */
function request(line: string, headers: Record<string, string> = {}): string {
  const all = { Host: `127.0.0.1:${job.port}`, 'X-IDENTITY-HEADER': job.identityHeader, ...headers };
  return `${line}\r\n${Object.entries(all)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('')}\r\n`;
}

const TARGET = '/token?api-version=2019-08-01&resource=https%3A%2F%2Fmanagement.azure.com%2F';

describe('the server of the token endpoint', { timeout }, () => {
  test('listens on 127.0.0.1 alone', async () => {
    const others = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
    for (const { address } of [...others, { address: '::1' }].filter((one) => one.address !== '127.0.0.1')) {
      const reached = await new Promise((resolve) => {
        const socket = connect({ port: job.port, host: address });
        socket.on('connect', () => {
          socket.destroy();
          resolve(true);
        });
        socket.on('error', () => resolve(false));
      });
      assert.equal(reached, false, address);
    }
  });

  test('has secrets of 32 random bytes, and hands none of them to a process', () => {
    for (const secret of [job.identityHeader, job.idTokenRequestToken]) {
      assert.match(secret, /^[A-Za-z0-9_-]{43}$/);
      const [background] = refreshersOf(job.lookupId);
      assert.ok(background);
      assert.ok(![...background.arguments, ...background.environment].some((text) => text.includes(secret)));
    }
  });

  test('answers what it is asked, also in HTTP/1.0 and on one connection after the other', async () => {
    for (const line of [`GET ${TARGET} HTTP/1.1`, `GET ${TARGET} HTTP/1.0`]) {
      const { status, text } = await sendRaw(job.port, request(line));
      assert.equal(status, 200);
      assert.match(text, /\r\nConnection: close\r\n/i);
      assert.match(text, /\r\nCache-Control: no-store\r\n/i);
      assert.doesNotMatch(text, /\r\n(?:Access-Control-|Location|Set-Cookie|Server|X-Powered-By)/i);
    }
  });

  for (const { title, text, status } of [
    { title: 'no header at all', text: () => `GET ${TARGET} HTTP/1.1\r\n\r\n`, status: 401 },
    {
      title: 'no host',
      text: () => `GET ${TARGET} HTTP/1.1\r\nX-IDENTITY-HEADER: ${job.identityHeader}\r\n\r\n`,
      status: 400,
    },
    {
      title: 'two hosts',
      text: () => request(`GET ${TARGET} HTTP/1.1`).replace('\r\n\r\n', '\r\nHost: evil.example\r\n\r\n'),
      status: 400,
    },
    {
      title: 'two secrets, of which the first is right',
      text: () => request(`GET ${TARGET} HTTP/1.1`).replace('\r\n\r\n', '\r\nX-Identity-Header: x\r\n\r\n'),
      status: 401,
    },
    { title: 'the address of a proxy', text: () => request(`GET http://127.0.0.1:1${TARGET} HTTP/1.1`), status: 400 },
    { title: 'a body', text: () => `${request(`GET ${TARGET} HTTP/1.1`, { 'Content-Length': '3' })}abc`, status: 400 },
    {
      title: 'a body that is promised and does not come',
      text: () => request(`GET ${TARGET} HTTP/1.1`, { 'Content-Length': '3000' }),
      status: 400,
    },
    {
      title: 'a body in chunks',
      text: () => `${request(`GET ${TARGET} HTTP/1.1`, { 'Transfer-Encoding': 'chunked' })}0\r\n\r\n`,
      status: 400,
    },
    {
      title: 'two lengths',
      text: () =>
        `${request(`GET ${TARGET} HTTP/1.1`, { 'Content-Length': '3', 'Transfer-Encoding': 'chunked' })}0\r\n\r\n`,
      status: 400,
    },
    { title: 'POST', text: () => request(`POST ${TARGET} HTTP/1.1`, { 'Content-Length': '0' }), status: 405 },
    { title: 'HEAD', text: () => request(`HEAD ${TARGET} HTTP/1.1`), status: 405 },
    { title: 'OPTIONS', text: () => request(`OPTIONS ${TARGET} HTTP/1.1`), status: 405 },
    {
      title: 'what a browser asks first',
      text: () =>
        `OPTIONS ${TARGET} HTTP/1.1\r\nHost: 127.0.0.1:${job.port}\r\nOrigin: https://evil.example\r\nAccess-Control-Request-Headers: x-identity-header\r\n\r\n`,
      status: 401,
    },
    { title: 'a tunnel', text: () => `CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example\r\n\r\n`, status: 401 },
    {
      title: 'another protocol',
      text: () => request(`GET ${TARGET} HTTP/1.1`, { Connection: 'Upgrade', Upgrade: 'websocket' }),
      status: 200,
    },
    {
      title: 'an announced body',
      text: () => request(`GET ${TARGET} HTTP/1.1`, { Expect: '100-continue', 'Content-Length': '3' }),
      status: 400,
    },
    { title: 'an expectation', text: () => request(`GET ${TARGET} HTTP/1.1`, { Expect: 'wonders' }), status: 200 },
    { title: 'no HTTP', text: () => 'EHLO evil.example\r\n\r\n', status: 400 },
    { title: 'TLS', text: () => '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00\x00\x00', status: 400 },
    { title: 'HTTP/2', text: () => 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', status: 400 },
    { title: 'bare line ends', text: () => request(`GET ${TARGET} HTTP/1.1`).replaceAll('\r\n', '\n'), status: 400 },
    {
      title: 'a header that goes on in the next line',
      text: () => request(`GET ${TARGET} HTTP/1.1`, { 'X-More': 'a\r\n b' }),
      status: 400,
    },
    { title: 'a NUL in a header', text: () => request(`GET ${TARGET} HTTP/1.1`, { 'X-More': 'a\0b' }), status: 400 },
    {
      title: 'more than 8 KB of headers',
      text: () => request(`GET ${TARGET} HTTP/1.1`, { 'X-More': 'a'.repeat(9000) }),
      status: 431,
    },
    {
      title: 'an address of more than 8 KB',
      text: () => request(`GET ${TARGET}${'a'.repeat(9000)} HTTP/1.1`),
      status: 431,
    },
  ]) {
    test(`answers ${status} to ${title}, and closes`, async () => {
      const answer = await sendRaw(job.port, text());
      assert.equal(answer.status, status, answer.text);
      assert.ok(!answer.text.includes(job.identityHeader));
      assert.match(answer.text, /\r\nCache-Control: no-store\r\n/i);
    });
  }

  test('answers the second of two requests on one connection by closing it', async () => {
    const one = request(`GET ${TARGET} HTTP/1.1`);
    const { text } = await sendRaw(job.port, `${one}${one}`);
    assert.equal(text.match(/HTTP\/1\.1 /g)?.length, 1);
  });

  test('closes a connection on which nothing comes, or no end, or one byte after the other', async () => {
    const beginnings = ['', 'GET', request(`GET ${TARGET} HTTP/1.1`).slice(0, -2)];
    const closing = beginnings.map((text) => sendRaw(job.port, text));
    const dripping = new Promise<void>((resolve) => {
      const socket = hold(job.port, 'GET ');
      const timer = setInterval(() => socket.write('/'), 200);
      socket.on('close', () => {
        clearInterval(timer);
        resolve();
      });
    });
    for (const { status } of await Promise.all(closing)) assert.ok([undefined, 408].includes(status), `${status}`);
    await dripping;
  });

  test('gives a token to each of a thousand requests side by side, while others hold connections and say nothing', async () => {
    const silent = Array.from({ length: 1500 }, () => hold(job.port));
    const asking = Array.from({ length: 1000 }, (_, index) =>
      index % 2 === 0 ? askAccessToken(job) : askIdToken(job),
    );
    const statuses = new Set((await Promise.all(asking)).map(({ status }) => status));
    assert.deepEqual([...statuses], [200]);
    for (const socket of silent) socket.destroy();
  });

  test('serves two thousand requests in less than 64 MiB', {
    skip: notOnWindows('what Wine needs for itself is not the task’s'),
  }, async () => {
    const ask = async (count: number): Promise<void> => {
      for (let times = 0; times < count; times++) {
        const { status } = await (times % 10 === 0
          ? get(job.identityEndpoint)
          : times % 10 === 1
            ? askAccessToken(job, 'https://evil.example')
            : askAccessToken(job));
        assert.ok([200, 400, 401].includes(status));
      }
    };
    await Promise.all(Array.from({ length: 8 }, () => ask(250)));
    const [background] = refreshersOf(job.lookupId);
    const { rssKiB } = useOf(background?.pid ?? 0);
    assert.ok(rssKiB < 64 * 1024, `${rssKiB} KiB`);
  });

  test('shows no token in any answer but those that were asked for', async () => {
    const tokens = [cloud.job.jobToken];
    const given = await askAccessToken(job);
    tokens.push(String((await askIdToken(job)).body['value']));
    for (const token of tokens) {
      const [, , signature = token] = token.split('.');
      assert.ok(!JSON.stringify(given).includes(signature));
    }
    assert.ok(onWindows || refreshersOf(job.lookupId)[0]?.environment[0]?.startsWith('VSTS_PROCESS_LOOKUP_ID='));
  });
});
