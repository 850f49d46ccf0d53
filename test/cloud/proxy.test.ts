import assert from 'node:assert/strict';
import http from 'node:http';
import https from 'node:https';
import type { Socket } from 'node:net';
import { after, afterEach, before, it } from 'node:test';
import { connect as tlsConnect } from 'node:tls';
import { type Cloud, startCloud } from './cloud.ts';
import { type HttpProxy, type ProxyBehaviour, startProxy } from './proxy.ts';

let cloud: Cloud;
let proxy: HttpProxy;
before(async () => {
  cloud = await startCloud();
  proxy = await startProxy({ username: 'agent', password: 'pa:ss wörd', resolve: cloud.hosts });
});
after(() => Promise.all([cloud.close(), proxy.close()]));
afterEach(() => {
  proxy.behaviour = 'normal';
  proxy.connects = [];
});

const basic = (user: string) => `Basic ${Buffer.from(user).toString('base64')}`;
const right = basic('agent:pa:ss wörd');

/**
 * Opens a tunnel. Resolves with the proxy's status and the socket; rejects where there is no answer in time: far more
 * than it needs, but for those that never answer.
 */
function tunnel(target: string, authorization?: string, waitMs = 60_000): Promise<{ status: number; socket: Socket }> {
  return new Promise((resolve, reject) => {
    const request = http.request({
      host: '127.0.0.1',
      port: proxy.port,
      method: 'CONNECT',
      path: target,
      agent: false,
      headers: authorization === undefined ? {} : { 'proxy-authorization': authorization },
    });
    request.on('connect', (response, socket) => {
      clearTimeout(timer);
      resolve({ status: response.statusCode ?? 0, socket });
    });
    request.on('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    const timer = setTimeout(() => request.destroy(new Error('no answer')), waitMs);
    request.end();
  });
}

function statusThrough(socket: Socket, host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const secure = tlsConnect({ socket, servername: host, ca: cloud.ca.pem });
    const request = https.request(
      { createConnection: () => secure, headers: { host }, path: '/secrets/greeting' },
      (response) => {
        response.resume();
        response.on('end', () => {
          secure.destroy();
          resolve(response.statusCode ?? 0);
        });
      },
    );
    request.on('error', reject);
    request.end();
  });
}

it('the real names lead to the local services, with a certificate for them', async () => {
  const names: [host: string, status: number][] = [
    ['dev.azure.com', 302],
    ['contoso.visualstudio.com', 302],
    ['login.microsoftonline.com', 404],
    ['login.microsoftonline.us', 404],
    ['login.partner.microsoftonline.cn', 404],
    ['login.chinacloudapi.cn', 404],
    ['contoso.vault.azure.net', 401],
  ];
  for (const [host, status] of names) {
    const { socket } = await tunnel(`${host}:443`, right);
    assert.equal(await statusThrough(socket, host), status, host);
    assert.equal(cloud.requests.at(-1)?.host, host);
  }
  assert.equal(proxy.connects.length, names.length);
});

it('a name that it was not told does not exist, and loopback needs no telling', async () => {
  const { port } = new URL(cloud.apiUrl);
  assert.equal((await tunnel('example.com:443', right)).status, 502);
  const { status, socket } = await tunnel(`localhost:${port}`, right);
  assert.deepEqual([status, await statusThrough(socket, 'localhost')], [200, 401]);
});

it('the password is asked for, and is not kept', async () => {
  const attempts: [authorization: string | undefined, status: number][] = [
    [undefined, 407],
    [basic('agent:wrong'), 407],
    [basic('other:pa:ss wörd'), 407],
    [right, 200],
  ];
  for (const [authorization, status] of attempts) {
    const answer = await tunnel('dev.azure.com:443', authorization);
    answer.socket.destroy();
    assert.equal(answer.status, status);
  }
  assert.deepEqual(
    proxy.connects.map(({ username, authorized, status }) => [username, authorized, status]),
    [
      [undefined, false, 407],
      ['agent', false, 407],
      ['other', false, 407],
      ['agent', true, 200],
    ],
  );
  assert.ok(!JSON.stringify(proxy.connects).includes('wörd'));
});

const answered: [behaviour: ProxyBehaviour, status: number][] = [
  ['refuse', 403],
  ['unavailable', 503],
  ['silentTunnel', 200],
];
for (const [behaviour, status] of answered) {
  it(`(${behaviour}) CONNECT gets ${status}`, async () => {
    proxy.behaviour = behaviour;
    const answer = await tunnel('dev.azure.com:443', right);
    answer.socket.destroy();
    assert.equal(answer.status, status);
    assert.equal(cloud.requests.filter((request) => request.status === 0).length, 0);
  });
}

for (const behaviour of ['silent', 'close', 'reset', 'garbage', 'drip'] as const) {
  it(`(${behaviour}) CONNECT gets no answer`, async () => {
    proxy.behaviour = behaviour;
    await assert.rejects(tunnel('dev.azure.com:443', right, 200));
    while (proxy.connects.length === 0) await new Promise(setImmediate);
    assert.equal(proxy.connects.length, 1);
  });
}

it('a request that is no CONNECT is refused', async () => {
  const status = await new Promise((resolve, reject) => {
    http
      .get(`${proxy.url}/`, { agent: false }, (response) => {
        response.resume();
        resolve(response.statusCode);
      })
      .on('error', reject);
  });
  assert.equal(status, 405);
});
