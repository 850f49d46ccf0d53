import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { createSecureContext, TLSSocket } from 'node:tls';
import type { Verify } from './api.ts';
import type { KeyedCertificate } from './certificates.ts';

/** Types of packets and tokens of TDS 7.4 ([MS-TDS] 2.2.3.1.1 and 2.2.7). */
const PRELOGIN = 0x12;
const LOGIN = 0x10;
const FEDERATED_TOKEN = 0x08;
const RESPONSE = 0x04;
const END_OF_MESSAGE = 0x01;

/** A database server that lets those in who bring an access token for Azure SQL, and takes every batch for done. */
export interface SqlServer {
  port: number;
  /** How often somebody was let in. */
  logins: number;
  close(): Promise<void>;
}

/** Starts the server on 127.0.0.1. Connections are encrypted, as Azure SQL demands. */
export async function startSqlServer(
  verify: Verify,
  certificate: KeyedCertificate,
  stsUrl: string,
): Promise<SqlServer> {
  const sockets = new Set<Socket>();
  const listener = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
    converse(socket).catch(() => socket.destroy());
  });
  const server: SqlServer = {
    port: 0,
    logins: 0,
    async close() {
      for (const socket of sockets) socket.destroy();
      listener.close();
      await once(listener, 'close');
    },
  };

  async function converse(socket: Socket): Promise<void> {
    const link = new Link(socket);
    await link.nextMessage();
    socket.write(packet(RESPONSE, prelogin));
    const secure = new TLSSocket(link.handshake(), {
      isServer: true,
      secureContext: createSecureContext({ ...certificate, maxVersion: 'TLSv1.2' }),
    });
    secure.on('error', () => socket.destroy());
    await once(secure, 'secure');
    link.isHandshaking = false;
    for await (const { type, body } of messages(secure)) {
      secure.write(packet(RESPONSE, await answerTo(type, body)));
    }
  }

  async function answerTo(type: number, body: Buffer): Promise<Buffer> {
    if (type === LOGIN) return federationInfo(stsUrl);
    if (type !== FEDERATED_TOKEN) return done;
    const token = body.subarray(8, 8 + body.readUInt32LE(4)).toString('utf16le');
    const { aud } = await verify(token);
    if (aud !== 'https://database.windows.net/' && aud !== 'https://database.windows.net') throw new Error('audience');
    server.logins += 1;
    return Buffer.concat([loginAck, featureAck, done]);
  }

  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  server.port = (listener.address() as AddressInfo).port;
  return server;
}

/** The bytes below TLS: while it shakes hands, each of its records is in packets of TDS. */
class Link {
  isHandshaking = true;
  readonly #socket: Socket;
  #below: Duplex | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  async nextMessage(): Promise<Buffer> {
    const [bytes]: Buffer[] = await once(this.#socket, 'data');
    this.#socket.pause();
    return bytes ?? Buffer.alloc(0);
  }

  handshake(): Duplex {
    const below = new Duplex({
      read: () => this.#socket.resume(),
      write: (chunk: Buffer, _, callback) => {
        this.#socket.write(this.isHandshaking ? packet(PRELOGIN, chunk) : chunk, () => callback());
      },
    });
    this.#below = below;
    let pending = Buffer.alloc(0);
    this.#socket.on('data', (chunk: Buffer) => {
      pending = Buffer.concat([pending, chunk]);
      // What is no packet of a handshake is the first record behind it.
      while (pending.length >= 8 && pending[0] === PRELOGIN && pending.length >= pending.readUInt16BE(2)) {
        const length = pending.readUInt16BE(2);
        this.#below?.push(pending.subarray(8, length));
        pending = pending.subarray(length);
      }
      if (pending.length > 0 && pending[0] !== PRELOGIN) {
        this.#below?.push(pending);
        pending = Buffer.alloc(0);
      }
    });
    this.#socket.on('close', () => this.#below?.push(null));
    return below;
  }
}

/** The messages of a client; each is one packet or more. */
async function* messages(stream: AsyncIterable<Buffer>): AsyncGenerator<{ type: number; body: Buffer }> {
  let pending = Buffer.alloc(0);
  let body = Buffer.alloc(0);
  for await (const chunk of stream) {
    pending = Buffer.concat([pending, chunk]);
    while (pending.length >= 8 && pending.length >= pending.readUInt16BE(2)) {
      const length = pending.readUInt16BE(2);
      body = Buffer.concat([body, pending.subarray(8, length)]);
      const [type = 0, status = 0] = pending;
      pending = pending.subarray(length);
      if ((status & END_OF_MESSAGE) === 0) continue;
      yield { type, body };
      body = Buffer.alloc(0);
    }
  }
}

function packet(type: number, body: Buffer): Buffer {
  const head = Buffer.from([type, END_OF_MESSAGE, 0, 0, 0, 0, 1, 0]);
  head.writeUInt16BE(body.length + head.length, 2);
  return Buffer.concat([head, body]);
}

/** Version 16, encryption required, no MARS, and whether federated authentication is. */
const prelogin = options([
  [0x00, Buffer.from([16, 0, 0, 0, 0, 0])],
  [0x01, Buffer.from([3])],
  [0x04, Buffer.from([0])],
  [0x06, Buffer.from([1])],
]);

function options(given: readonly (readonly [number, Buffer])[]): Buffer {
  let offset = given.length * 5 + 1;
  const heads = given.map(([name, { length }]) => {
    const head = Buffer.from([name, 0, 0, 0, 0]);
    head.writeUInt16BE(offset, 1);
    head.writeUInt16BE(length, 3);
    offset += length;
    return head;
  });
  return Buffer.concat([...heads, Buffer.from([0xff]), ...given.map(([, value]) => value)]);
}

/** FEDAUTHINFO: where to sign in, and the resource. */
function federationInfo(stsUrl: string): Buffer {
  const values = [stsUrl, 'https://database.windows.net/'].map((text) => Buffer.from(text, 'utf16le'));
  let offset = 4 + values.length * 9;
  const heads = values.map(({ length }, index) => {
    const head = Buffer.alloc(9);
    head.writeUInt8(index + 1, 0);
    head.writeUInt32LE(length, 1);
    head.writeUInt32LE(offset, 5);
    offset += length;
    return head;
  });
  const count = Buffer.alloc(4);
  count.writeUInt32LE(values.length);
  const size = Buffer.alloc(4);
  size.writeUInt32LE(offset);
  return Buffer.concat([Buffer.from([0xee]), size, count, ...heads, ...values]);
}

const name = Buffer.from('SQL', 'utf16le');
const acknowledged = Buffer.concat([
  Buffer.from([1, 0x74, 0, 0, 4, name.length / 2]),
  name,
  Buffer.from([16, 0, 0, 0]),
]);
const loginAck = Buffer.concat([Buffer.from([0xad, acknowledged.length, 0]), acknowledged]);
const featureAck = Buffer.from([0xae, 0x02, 0, 0, 0, 0, 0xff]);
const done = Buffer.from([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
