import './build-constants.ts';
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import https from 'node:https';
import net, { type AddressInfo, type Socket } from 'node:net';
import { before, test } from 'node:test';
import * as tls from 'node:tls';
import { ConnectionPool } from '../../tasks/EntraTokenV1/network/pool.ts';
import { createWire, type Send } from '../../tasks/EntraTokenV1/network/wire.ts';
import { type Authority, createAuthority, type KeyedCertificate } from '../cloud/certificates.ts';

const timeout = 60_000;
let authority: Authority;
let certificate: KeyedCertificate;
before(async () => {
  authority = await createAuthority('Wire');
  certificate = await authority.issue({ name: 'localhost', hosts: ['localhost'] });
});

/** What a server does with a request: its number on its connection and the number of its connection, from 1. */
type Conduct = (seen: { request: number; connection: number }, response: ServerResponse) => void;

interface Served {
  readonly connections: Socket[];
  /** The same without TLS. */
  readonly raw: Socket[];
  readonly url: URL;
  readonly pool: ConnectionPool;
  readonly send: Send;
  /** What was announced. */
  readonly log: string[];
}

/**
 * A server that never closes a connection by itself, and a wire to it whose waits take no time.
 * @param isStrict the first connection needs a client certificate, which nobody has
 */
async function serve(conduct: Conduct, use: (served: Served) => Promise<void>, isStrict = false): Promise<void> {
  const connections: Socket[] = [];
  const raw: Socket[] = [];
  const requests = new Map<Socket, number>();
  const server = https.createServer(certificate, (message: IncomingMessage, response: ServerResponse) => {
    const { socket } = message;
    const request = (requests.get(socket) ?? 0) + 1;
    requests.set(socket, request);
    message.resume().once('end', () => conduct({ request, connection: connections.indexOf(socket) + 1 }, response));
  });
  server.keepAliveTimeout = 0;
  const strict = tls.createServer({ ...certificate, requestCert: true }).on('tlsClientError', () => {});
  const front = net.createServer((socket) => {
    raw.push(socket);
    (isStrict && raw.length === 1 ? strict : server).emit('connection', socket);
  });
  server.on('secureConnection', (socket) => {
    connections.push(socket);
    socket.on('error', () => {});
  });
  front.listen(0, '127.0.0.1');
  await once(front, 'listening');
  const { port } = front.address() as AddressInfo;
  const pool = new ConnectionPool({
    network: undefined,
    trust: { context: tls.createSecureContext({ ca: authority.pem }), wider: undefined },
  });
  const log: string[] = [];
  const surroundings = {
    now: Date.now,
    elapsed: () => performance.now(),
    sleep: () => Promise.resolve(),
    random: () => 0,
  };
  const send = createWire({ ...surroundings, pool: () => pool, log: (line) => log.push(line) });
  try {
    await use({ connections, raw, url: new URL(`https://localhost:${port}/`), pool, send, log });
  } finally {
    pool.destroy();
    for (const socket of raw) socket.destroy();
    front.close();
  }
}

const post = (url: URL) => ({ url, headers: {}, body: 'x', service: 'Entra' }) as const;
const answer = (response: ServerResponse): void => void response.end('{}');
const close = ({ socket }: ServerResponse): void => void socket?.destroy();

test(
  'a request that meets the end of a kept connection is sent again at once, and is still the first try',
  { timeout },
  () =>
    serve(
      ({ request, connection }, response) => (request === 1 || connection > 2 ? answer(response) : close(response)),
      async ({ send, url, log, connections }) => {
        // Two connections are kept; both are closed as soon as a request takes them.
        await Promise.all([send(post(url)), send(post(url))]);
        const { status, tries } = await send(post(url));
        assert.deepEqual(
          { status, tries, log, connections: connections.length },
          { status: 200, tries: 1, log: [], connections: 3 },
        );
      },
    ),
);

test('the end of a connection that is new is a failed try, which is announced', { timeout }, () =>
  serve(
    ({ connection }, response) => (connection === 1 ? close(response) : answer(response)),
    async ({ send, url, log }) => {
      const { tries } = await send(post(url));
      assert.equal(tries, 2);
      assert.match(log.join('\n'), /^Entra \(localhost:\d+\): ECONNRESET; trying again in 0\.0 s \(try 2\)\.$/);
    },
  ),
);

test('the end of a kept connection after the answer has begun is a failed try', { timeout }, () =>
  serve(
    ({ request, connection }, response) => {
      if (request === 1 || connection > 1) answer(response);
      else response.writeHead(200, { 'content-length': 100 }).write('half', () => close(response));
    },
    async ({ send, url, log }) => {
      await send(post(url));
      const { tries } = await send(post(url));
      assert.equal(tries, 2);
      assert.equal(log.length, 1);
    },
  ),
);

test('a kept connection is closed before the server does it, where the server says when', { timeout }, () =>
  serve(
    (_, response) => response.setHeader('Keep-Alive', 'timeout=2').end('{}'),
    async ({ send, url, connections }) => {
      await send(post(url));
      const [connection] = connections;
      assert.ok(connection);
      // This server would keep it for ever.
      if (!connection.destroyed) await once(connection, 'close');
    },
  ),
);

for (const [how, end] of [
  ['closed', (socket: Socket) => socket.destroy()],
  ['reset', (socket: Socket) => socket.resetAndDestroy()],
] as const) {
  test(`a connection that was opened beforehand and has been ${how} since is not used`, { timeout }, () =>
    serve(
      (_, response) => answer(response),
      async ({ send, url, log, pool, raw, connections }) => {
        pool.warm(url);
        while (connections.length === 0) await new Promise(setImmediate);
        const [socket] = raw;
        assert.ok(socket);
        end(socket);
        await once(socket, 'close');
        // The other side is in this process too: it learns of the end in the next turn of the event loop.
        await new Promise(setImmediate);
        const { tries } = await send(post(url));
        assert.deepEqual({ tries, log, connections: connections.length }, { tries: 1, log: [], connections: 2 });
      },
    ),
  );
}

test('a connection that was opened beforehand and was refused after its handshake is not used', { timeout }, () =>
  serve(
    (_, response) => answer(response),
    async ({ send, url, log, pool, raw }) => {
      // In TLS 1.3 the server learns only then that the client has no certificate, and sends an alert.
      pool.warm(url);
      while (raw.length === 0) await new Promise(setImmediate);
      const [socket] = raw;
      assert.ok(socket);
      await once(socket, 'close');
      const { tries } = await send(post(url));
      assert.deepEqual({ tries, log, connections: raw.length }, { tries: 1, log: [], connections: 2 });
    },
    true,
  ),
);
