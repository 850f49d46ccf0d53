import http, { type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import https from 'node:https';
import net, { type AddressInfo, type Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import type { KeyedCertificate } from './certificates.ts';
import {
  type AnswerFault,
  type BodyFault,
  type ConnectionFault,
  type Fault,
  type FaultCounter,
  isConnectionFault,
  type RequestFault,
  type ServiceName,
  type WrongCertificate,
} from './faults.ts';

/** A request as a service sees it, the body read to its end. */
export interface ServiceRequest {
  method: string;
  /** Path and query as they were sent. */
  path: string;
  url: URL;
  host: string;
  headers: IncomingHttpHeaders;
  body: Buffer;
  bodyText: string;
  /** The fields of a form body. */
  form?: Record<string, string>;
  /** The server name of the TLS handshake, where one was sent. */
  serverName?: string;
}

export interface RecordedRequest {
  service: ServiceName;
  method: string;
  path: string;
  host: string;
  headers: IncomingHttpHeaders;
  form?: Record<string, string>;
  bodyText: string;
  /** What was answered; 0 while, or because, nothing was. */
  status: number;
  /** When the request had been read, in milliseconds of this machine's clock. */
  time: number;
}

export interface Answer {
  status: number;
  statusText?: string;
  headers: Record<string, string | string[]>;
  body: string | Buffer;
}

/** Answers one request. Knows nothing of connections, faults and delays. */
export type Handler = (request: ServiceRequest) => Answer | Promise<Answer>;

/** What the listeners of a cloud share. The tests change it while they run. */
export interface Traffic {
  requests: RecordedRequest[];
  connectionsOpened: number;
  faults: Fault[];
  counter: FaultCounter;
  latencyMs: number;
  /** The services' clock, in milliseconds. */
  now(): number;
  /** The answer for a request beyond the limit, or undefined. */
  throttled(service: ServiceName): Answer | undefined;
}

export interface ListenerOptions {
  service: ServiceName;
  traffic: Traffic;
  handler: Handler;
  certificate: KeyedCertificate;
  wrongCertificate(which: WrongCertificate): Promise<KeyedCertificate>;
  /** Authorities one of which must have signed the client's certificate; default: none is asked for. */
  clientAuthorities?: string;
  /** Refuse a TLS handshake for any other server name, and one without a name. */
  requiredServerName?: string;
  /** Told the server name of each handshake, accepted or not. */
  onServerName?: (name: string | undefined) => void;
}

export interface Listener {
  port: number;
  /** Stop listening and drop every connection, until the function that it gives is called: an outage. */
  pause(): Promise<() => Promise<void>>;
  /** Another certificate for the connections to come; those that are open end. */
  replaceCertificate(certificate: KeyedCertificate): void;
  close(): Promise<void>;
}

export function json(status: number, value: unknown, headers: Answer['headers'] = {}): Answer {
  return {
    status,
    headers: { 'content-type': 'application/json; charset=utf-8', ...headers },
    body: JSON.stringify(value),
  };
}

/** Starts one service over TLS on a port of its own on 127.0.0.1. */
export async function listen(options: ListenerOptions): Promise<Listener> {
  const { service, traffic } = options;
  const sockets = new Set<Socket>();
  const onRequest = (request: IncomingMessage, response: ServerResponse) => {
    serve(options, request, response).catch((error: unknown) => {
      // A client that went away, or a fault of the cloud itself, which must not look like one that was asked for.
      if (!response.headersSent) response.writeHead(500, { 'content-type': 'text/plain' });
      response.end(`local cloud: ${String(error)}`);
    });
  };
  const clientCheck =
    options.clientAuthorities === undefined
      ? {}
      : { requestCert: true, rejectUnauthorized: true, ca: options.clientAuthorities };
  const tlsServer = https.createServer(
    { ...options.certificate, ...clientCheck, ...serverNameCheck(options) },
    onRequest,
  );
  if (options.requiredServerName !== undefined) {
    tlsServer.on('secureConnection', (socket) => {
      if (socket.servername) return;
      options.onServerName?.(undefined);
      socket.destroy();
    });
  }
  const plainServer = http.createServer(onRequest);
  // A client that hangs up in the middle of a handshake is no event for a test.
  tlsServer.on('tlsClientError', () => undefined);
  tlsServer.on('clientError', (_error, socket) => socket.destroy());

  const front = net.createServer({ noDelay: true }, (socket) => {
    traffic.connectionsOpened += 1;
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    const fault = traffic.counter.next(traffic.faults, { service })?.do;
    if (fault === undefined || !isConnectionFault(fault)) tlsServer.emit('connection', socket);
    else spoilConnection(fault, socket).catch(() => socket.destroy());
  });

  async function spoilConnection(fault: ConnectionFault, socket: Socket): Promise<void> {
    switch (fault.kind) {
      case 'closeConnection':
        socket.destroy();
        return;
      case 'resetConnection':
        socket.resetAndDestroy();
        return;
      case 'silentConnection':
        socket.resume();
        return;
      case 'plainHttp':
        plainServer.emit('connection', socket);
        return;
      case 'certificate': {
        const spoilt = https.createServer(await options.wrongCertificate(fault.which), onRequest);
        spoilt.on('tlsClientError', () => undefined);
        spoilt.emit('connection', socket);
      }
    }
  }

  const open = (port: number) =>
    new Promise<void>((resolve, reject) => {
      front.once('error', reject);
      front.listen(port, '127.0.0.1', () => {
        front.off('error', reject);
        resolve();
      });
    });
  const shut = () =>
    new Promise<void>((resolve) => {
      front.close(() => resolve());
      for (const socket of sockets) socket.destroy();
    });

  await open(0);
  const { port } = front.address() as AddressInfo;
  return {
    port,
    async pause() {
      await shut();
      const release = await holdPort(port);
      let resumed: Promise<void> | undefined;
      return () => {
        resumed ??= open(port).then(release);
        return resumed;
      };
    },
    replaceCertificate(certificate) {
      tlsServer.setSecureContext(certificate);
      for (const socket of sockets) socket.destroy();
    },
    close: shut,
  };
}

/**
 * Keeps the system from giving a port to another server while nobody listens at it, by a connection that begins there.
 * The port can be listened at all the same: both sockets allow it (SO_REUSEADDR), and the system chooses none such.
 */
async function holdPort(port: number): Promise<() => void> {
  const host = '127.0.0.1';
  // An outage need not end, and does not keep the process then.
  const peer = net.createServer((accepted) => accepted.on('error', () => {}).unref()).unref();
  await new Promise<void>((resolve) => peer.listen(0, host, resolve));
  const socket = net.connect({ host, port: (peer.address() as AddressInfo).port, localAddress: host, localPort: port });
  await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
  socket.unref();
  return () => {
    socket.destroy();
    peer.close();
  };
}

/** A handshake for another name ends with the alert that TLS has for it. */
function serverNameCheck({ requiredServerName, onServerName }: ListenerOptions): https.ServerOptions {
  if (requiredServerName === undefined) return {};
  return {
    SNICallback(name, done) {
      onServerName?.(name);
      done(name === requiredServerName ? null : new Error(`no server ${name}`));
    },
  };
}

async function serve(options: ListenerOptions, message: IncomingMessage, response: ServerResponse): Promise<void> {
  const { service, traffic } = options;
  const request = await readRequest(message);
  const recorded: RecordedRequest = {
    service,
    method: request.method,
    path: request.path,
    host: request.host,
    headers: { ...request.headers },
    ...(request.form === undefined ? {} : { form: { ...request.form } }),
    bodyText: request.bodyText,
    status: 0,
    time: Date.now(),
  };
  traffic.requests.push(recorded);
  const fault = traffic.counter.next(traffic.faults, { service, request })?.do;
  if (traffic.latencyMs > 0) await delay(traffic.latencyMs);
  const genuine = async () => traffic.throttled(service) ?? (await options.handler(request));
  const send = (answer: Answer, body?: BodyFault) => {
    recorded.status = answer.status;
    write(response, answer, traffic.now(), body);
  };
  if (fault === undefined || isConnectionFault(fault)) send(await genuine());
  else await spoilAnswer(fault, { request, response, genuine, send, now: traffic.now, recorded });
}

interface Exchange {
  request: ServiceRequest;
  response: ServerResponse;
  recorded: RecordedRequest;
  genuine(): Promise<Answer>;
  send(answer: Answer, body?: BodyFault): void;
  now(): number;
}

async function spoilAnswer(fault: RequestFault, exchange: Exchange): Promise<void> {
  const { request, response, recorded, genuine, send, now } = exchange;
  const socket = response.socket;
  switch (fault.kind) {
    case 'close':
      socket?.destroy();
      return;
    case 'reset':
      resetUnderneath(socket);
      return;
    case 'silence':
      return;
    case 'hold':
      await fault.until();
      if (fault.answer === undefined) send(await genuine());
      else await spoilAnswer(fault.answer, exchange);
      return;
    case 'answer':
      send(answerOf(fault, request, now()), fault.body);
      return;
    case 'alter':
      send(altered(await genuine(), fault), fault.body);
      return;
    case 'raw':
      recorded.status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(fault.text)?.[1] ?? 0);
      if (fault.afterwards === 'drip') drip(response, Buffer.from(fault.text, 'latin1'), (byte) => socket?.write(byte));
      else if (fault.afterwards === 'silence') socket?.write(fault.text, 'latin1');
      else socket?.end(fault.text, 'latin1');
  }
}

function answerOf(fault: AnswerFault, request: ServiceRequest, now: number): Answer {
  const headers: Answer['headers'] = { ...fault.headers };
  if (fault.retryAfter !== undefined) {
    headers['retry-after'] =
      'seconds' in fault.retryAfter
        ? String(fault.retryAfter.seconds)
        : new Date(now + fault.retryAfter.dateIn * 1000).toUTCString();
  }
  let text = fault.text ?? '';
  if (fault.json !== undefined) {
    headers['content-type'] ??= 'application/json; charset=utf-8';
    text = JSON.stringify(fault.json);
  }
  if (fault.echo) text += echoOf(request);
  let body: string | Buffer = text;
  if (fault.encoding !== undefined) {
    headers['content-encoding'] = fault.encoding;
    body = { gzip: gzipSync, deflate: deflateSync, br: brotliCompressSync }[fault.encoding](text);
  }
  const status = fault.status ?? 200;
  return { status, headers, body, ...(fault.statusText === undefined ? {} : { statusText: fault.statusText }) };
}

function altered(genuine: Answer, fault: Extract<RequestFault, { kind: 'alter' }>): Answer {
  const value: unknown = JSON.parse(String(genuine.body));
  const fields: Record<string, unknown> = { ...(value as Record<string, unknown>), ...fault.set };
  for (const name of fault.remove ?? []) delete fields[name];
  return {
    ...genuine,
    status: fault.status ?? genuine.status,
    headers: { ...genuine.headers, ...fault.headers },
    body: JSON.stringify(fields),
  };
}

function echoOf(request: ServiceRequest): string {
  const headers = Object.entries(request.headers).map(([name, value]) => `${name}: ${String(value)}`);
  return [`${request.method} ${request.path}`, ...headers, '', request.bodyText].join('\r\n');
}

function write(response: ServerResponse, answer: Answer, now: number, fault?: BodyFault): void {
  const body = Buffer.from(answer.body);
  const length = fault === 'truncated' ? body.length + 100 : body.length;
  const headers: Answer['headers'] = { ...answer.headers, date: new Date(now).toUTCString() };
  if (fault !== 'endless') headers['content-length'] = String(length);
  if (answer.statusText === undefined) response.writeHead(answer.status, headers);
  else response.writeHead(answer.status, answer.statusText, headers);
  const half = body.subarray(0, Math.floor(body.length / 2));
  switch (fault) {
    case undefined:
      response.end(body);
      return;
    case 'truncated':
      response.write(body, () => response.socket?.end());
      return;
    case 'silentBefore':
      response.flushHeaders();
      return;
    case 'silentWithin':
      response.write(half);
      return;
    case 'reset':
      response.write(half, () => resetUnderneath(response.socket));
      return;
    case 'drip':
      response.flushHeaders();
      drip(response, body, (byte) => response.write(byte));
      return;
    case 'endless':
      response.write(body);
      pour(response);
  }
}

/** Sends a byte a second until there are no more, or nobody listens. */
function drip(response: ServerResponse, bytes: Buffer, send: (byte: Buffer) => void): void {
  if (response.destroyed) return;
  let at = 0;
  const timer = setInterval(() => {
    send(bytes.subarray(at, at + 1));
    at += 1;
    if (at >= bytes.length) {
      clearInterval(timer);
      response.end();
    }
  }, 1000);
  timer.unref();
  response.once('close', () => clearInterval(timer));
}

/** Sends for as long as the other side reads. */
function pour(response: ServerResponse): void {
  // These have no body (RFC 9110): Node would take every write for done, and never stop.
  if (response.statusCode === 204 || response.statusCode === 304) {
    response.end();
    return;
  }
  const chunk = Buffer.alloc(64 * 1024, 'x');
  const fill = () => {
    while (!response.destroyed && response.write(chunk));
  };
  response.on('drain', fill);
  fill();
}

/** RST instead of an orderly end. Over TLS the socket below must be the one that is reset. */
function resetUnderneath(socket: Socket | null): void {
  const below = (socket as (TLSSocket & { _parent?: Socket }) | null)?._parent ?? socket;
  below?.resetAndDestroy();
}

async function readRequest(message: IncomingMessage): Promise<ServiceRequest> {
  const chunks: Buffer[] = [];
  for await (const chunk of message) chunks.push(chunk as Buffer);
  const body = Buffer.concat(chunks);
  const bodyText = body.toString('utf8');
  const host = message.headers.host ?? '';
  const path = message.url ?? '/';
  const isForm = /^application\/x-www-form-urlencoded\b/i.test(message.headers['content-type'] ?? '');
  const serverName = (message.socket as TLSSocket).servername;
  return {
    method: message.method ?? 'GET',
    path,
    url: new URL(path.startsWith('/') ? `https://${host}${path}` : path),
    host,
    headers: message.headers,
    body,
    bodyText,
    ...(isForm ? { form: Object.fromEntries(new URLSearchParams(bodyText)) } : {}),
    ...(typeof serverName === 'string' && serverName !== '' ? { serverName } : {}),
  };
}

/** Waits without keeping the process alive. */
function delay(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds).unref());
}
