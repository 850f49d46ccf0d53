import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import type net from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type tls from 'node:tls';
import { createAuthority } from '../cloud/certificates.ts';

/** Servers that nobody asked for, and what arrived there. */
export interface Strangers {
  /** An https server of the host `evil.example`, whose certificate the machine trusts. */
  readonly host: string;
  /** Where that host is, for a proxy that resolves names: `host:port` to `address:port`. */
  readonly resolve: Record<string, string>;
  /** Of the machine: the authority that signed the certificate of that server. */
  readonly trustedCaFile: string;
  /** A proxy that ends TLS itself, with certificates for every name by an authority that nobody trusts. */
  readonly interceptor: string;
  /** The authority of the interceptor, as a printing step would have it in the checkout. */
  readonly interceptorCa: string;
  /** Each request that arrived at either, with its headers and body as text. */
  readonly arrived: string[];
  /** `Proxy-Authorization` as the interceptor was sent it. */
  readonly proxyCredentials: string[];
  /** The targets of CONNECT that the interceptor was asked for. */
  readonly connects: string[];
  close(): Promise<void>;
}

const realNames = [
  'dev.azure.com',
  '*.dev.azure.com',
  '*.visualstudio.com',
  'login.microsoftonline.com',
  'login.windows.net',
  'localhost',
  '127.0.0.1',
];

/** Starts them on ports of their own. */
export async function startStrangers(): Promise<Strangers> {
  const folder = mkdtempSync(join(tmpdir(), 'strangers-'));
  const host = 'evil.example';
  const arrived: string[] = [];
  const proxyCredentials: string[] = [];
  const connects: string[] = [];
  const record: http.RequestListener = (request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const { method, url, headers } = request;
      arrived.push(`${method} ${url} ${JSON.stringify(headers)} ${Buffer.concat(chunks).toString()}`);
      response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
    });
  };
  const trusted = await createAuthority('Trusted by the machine');
  const trustedCaFile = join(folder, 'trusted.pem');
  writeFileSync(trustedCaFile, trusted.pem);
  const server = https.createServer(
    await trusted.issue({ name: host, hosts: [host, `*.${host}`, 'localhost', '127.0.0.1'] }),
    record,
  );
  const untrusted = await createAuthority('Of the interceptor');
  const inner = https.createServer(await untrusted.issue({ name: 'interceptor', hosts: [host, ...realNames] }), record);
  const proxy = http.createServer(record);
  const sockets = new Set<net.Socket>();
  for (const one of [server, inner, proxy]) {
    one.on('connection', (socket) => sockets.add(socket));
    one.on('tlsClientError', () => {});
  }
  proxy.on('connect', (request, client: net.Socket, head) => {
    const credentials = request.headers['proxy-authorization'];
    if (credentials !== undefined) proxyCredentials.push(credentials);
    connects.push(request.url ?? '');
    client.on('error', () => client.destroy());
    client.write('HTTP/1.1 200 Connection established\r\n\r\n');
    client.unshift(head);
    inner.emit('connection', client);
  });
  const ports = await Promise.all([server, proxy].map(listen));
  const [port = 0, proxyPort = 0] = ports;
  return {
    host,
    resolve: { [`${host}:443`]: `127.0.0.1:${port}`, [`login.${host}:443`]: `127.0.0.1:${port}` },
    trustedCaFile,
    interceptor: `http://127.0.0.1:${proxyPort}`,
    interceptorCa: untrusted.pem,
    arrived,
    proxyCredentials,
    connects,
    async close() {
      for (const socket of sockets) socket.destroy();
      await Promise.all([server, proxy].map((one) => new Promise((resolve) => one.close(resolve))));
      rmSync(folder, { recursive: true });
    },
  };
}

function listen(server: http.Server | tls.Server): Promise<number> {
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      resolve(port);
    });
  });
}
