import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import net, { type AddressInfo, type Socket } from 'node:net';

/**
 * `normal`; `silent`: CONNECT is never answered; `refuse`: 403 for every CONNECT; `unavailable`: 503; `close` and
 * `reset`: the connection ends instead of an answer; `garbage`: an answer that is no HTTP; `silentTunnel`: 200, and
 * then not a byte; `drip`: the answer to CONNECT a byte a second.
 */
export type ProxyBehaviour =
  | 'normal'
  | 'silent'
  | 'refuse'
  | 'unavailable'
  | 'close'
  | 'reset'
  | 'garbage'
  | 'silentTunnel'
  | 'drip';

export interface ProxyOptions {
  username?: string;
  password?: string;
  /** Where names are: `host:port` to `address:port`. Loopback names need no entry; others do not exist. */
  resolve: Record<string, string>;
  behaviour?: ProxyBehaviour;
}

/** A CONNECT as the proxy saw it. A password is never kept. */
export interface RecordedConnect {
  target: string;
  /** The user that `Proxy-Authorization` named, where it named one. */
  username?: string;
  authorized: boolean;
  /** What was answered; 0 for nothing. */
  status: number;
  time: number;
}

export interface HttpProxy {
  /** `http://127.0.0.1:PORT`, without user and password. */
  url: string;
  port: number;
  connects: RecordedConnect[];
  behaviour: ProxyBehaviour;
  resolve: Record<string, string>;
  close(): Promise<void>;
}

/** An HTTP proxy that knows CONNECT alone, and only the names it is told: it never leaves this machine. */
export async function startProxy(options: ProxyOptions): Promise<HttpProxy> {
  const sockets = new Set<Socket>();
  const keep = (socket: Socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => socket.destroy());
  };
  const server = http.createServer((_request: IncomingMessage, response: ServerResponse) => {
    response.writeHead(405, { 'content-type': 'text/plain' }).end('CONNECT only\n');
  });
  server.on('connection', keep);
  server.on('connect', (request: IncomingMessage, client: Socket, head: Buffer) => {
    const credentials = credentialsOf(request.headers['proxy-authorization']);
    const wanted = options.username !== undefined;
    const authorized =
      !wanted || (credentials?.username === options.username && credentials?.password === (options.password ?? ''));
    const record: RecordedConnect = {
      target: request.url ?? '',
      ...(credentials === undefined ? {} : { username: credentials.username }),
      authorized,
      status: 0,
      time: Date.now(),
    };
    proxy.connects.push(record);
    const answer = (status: number, text: string, headers: string[] = [], body = '') => {
      record.status = status;
      const lines = [
        `HTTP/1.1 ${status} ${text}`,
        ...headers,
        ...(status === 200 ? [] : [`content-length: ${body.length}`]),
      ];
      return `${lines.join('\r\n')}\r\n\r\n${body}`;
    };
    const refuse = (status: number, text: string, headers: string[] = []) =>
      client.end(answer(status, text, ['connection: close', ...headers], `<html><body>${text}</body></html>`));

    switch (proxy.behaviour) {
      case 'silent':
        client.resume();
        return;
      case 'close':
        client.destroy();
        return;
      case 'reset':
        client.resetAndDestroy();
        return;
      case 'garbage':
        client.end('SSH-2.0-OpenSSH_9.6\r\n');
        return;
      case 'refuse':
        refuse(403, 'Forbidden');
        return;
      case 'unavailable':
        refuse(503, 'Service Unavailable');
        return;
      case 'silentTunnel':
        client.write(answer(200, 'Connection established'));
        client.resume();
        return;
      case 'drip':
        dripTo(client, answer(200, 'Connection established'));
        return;
      case 'normal':
        break;
    }
    if (!authorized) {
      refuse(407, 'Proxy Authentication Required', ['proxy-authenticate: Basic realm="proxy"']);
      return;
    }
    const target = locate(proxy.resolve, record.target);
    if (target === undefined) {
      refuse(502, 'Bad Gateway');
      return;
    }
    const upstream = net.connect(target, () => {
      client.write(answer(200, 'Connection established'));
      upstream.write(head);
      client.pipe(upstream).pipe(client);
    });
    keep(upstream);
    upstream.on('error', () => (record.status === 0 ? refuse(502, 'Bad Gateway') : client.destroy()));
    upstream.on('close', () => client.destroy());
    client.on('close', () => upstream.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const proxy: HttpProxy = {
    url: `http://127.0.0.1:${port}`,
    port,
    connects: [],
    behaviour: options.behaviour ?? 'normal',
    resolve: options.resolve,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
  return proxy;
}

function credentialsOf(header: string | undefined): { username: string; password: string } | undefined {
  const encoded = /^Basic (.+)$/i.exec(header ?? '')?.[1];
  if (encoded === undefined) return undefined;
  const [username = '', ...rest] = Buffer.from(encoded, 'base64').toString('utf8').split(':');
  return { username, password: rest.join(':') };
}

/** Where a name is. Only what the table has, and this machine itself, can be reached. */
function locate(resolve: Record<string, string>, target: string): { host: string; port: number } | undefined {
  const loopback = /^(localhost|127\.0\.0\.1|\[::1\]):\d+$/i;
  const found = resolve[target.toLowerCase()] ?? (loopback.test(target) ? target : undefined);
  if (found === undefined) return undefined;
  return { host: '127.0.0.1', port: Number(found.slice(found.lastIndexOf(':') + 1)) };
}

function dripTo(client: Socket, text: string): void {
  if (client.destroyed) return;
  let at = 0;
  const timer = setInterval(() => {
    client.write(text.slice(at, at + 1));
    at += 1;
    if (at >= text.length) clearInterval(timer);
  }, 1000);
  timer.unref();
  client.on('close', () => clearInterval(timer));
  client.resume();
}
