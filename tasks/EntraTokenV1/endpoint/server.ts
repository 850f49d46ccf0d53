import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { unforeseen } from '../failure/failure.ts';
import type { AnswerQuery } from './access-tokens.ts';
import { ADDRESS, type Kind } from './address.ts';
import { type EndpointAnswer, errorAnswer, failureAnswer } from './answers.ts';
import { judge, type Secrets } from './gate.ts';

/** Line and headers of a request; the longest that a client sends has less than one. Bytes. */
const LARGEST_HEADER = 8 * 1024;

/** A client has this long from the connection to the end of its request. Milliseconds. */
const REQUEST_MS = 5000;

/** How often it is looked whether one took longer. Milliseconds. */
const LOOK_MS = 1000;

/** Clients of the Azure SDKs for Go give up after a minute. Milliseconds. */
const ANSWER_MS = 44_000;

/** So many connections are open at once; above it, one that has not sent a whole request makes room for a new one. */
const MOST_CONNECTIONS = 2000;

export interface EndpointOptions {
  readonly secrets: Secrets;
  readonly answer: Readonly<Record<Kind, AnswerQuery>>;
  /** Told the status of each answer to a request with the right secret. */
  readonly onAnswer: (status: number) => void;
}

/**
 * Listens on a port of its own, on the loopback interface alone, until the process ends. Rejects with Node's error where
 * the process may not listen.
 */
export function listen(options: EndpointOptions): Promise<number> {
  const waiting = new Waiting();
  const server = createServer({
    maxHeaderSize: LARGEST_HEADER,
    headersTimeout: REQUEST_MS,
    requestTimeout: REQUEST_MS,
    connectionsCheckingInterval: LOOK_MS,
    // A request without the secret gets no other answer than 401, also where it lacks the header.
    requireHostHeader: false,
  });
  const onRequest = (request: IncomingMessage, response: ServerResponse): void => {
    waiting.hasAsked(request.socket);
    void respond(request, response, server, options);
  };
  server.on('request', onRequest).on('checkContinue', onRequest).on('checkExpectation', onRequest);
  server.on('connection', (socket) => waiting.add(socket));
  server.on('connect', (_request, socket: Socket) => endRaw(socket, 401, 'Unauthorized'));
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => {
    const isSlow = error.code === 'ERR_HTTP_REQUEST_TIMEOUT';
    const isLarge = error.code === 'HPE_HEADER_OVERFLOW';
    const [status, reason] = isSlow ? SLOW : isLarge ? LARGE : WRONG;
    endRaw(socket, status, reason);
  });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, ADDRESS, () => {
      server.removeListener('error', reject);
      // What goes wrong later (no file descriptor for a connection) is over by itself.
      server.on('error', () => {});
      resolve(portOf(server));
    });
  });
}

const SLOW = [408, 'Request Timeout'] as const;
const LARGE = [431, 'Request Header Fields Too Large'] as const;
const WRONG = [400, 'Bad Request'] as const;

function portOf(server: Server): number {
  // What `listen` with a port makes of it (Node: net.Server.address).
  return (server.address() as AddressInfo).port;
}

async function respond(
  request: IncomingMessage,
  response: ServerResponse,
  server: Server,
  { secrets, answer, onAnswer }: EndpointOptions,
): Promise<void> {
  const { method = '', url: target = '', headersDistinct: headers } = request;
  // What a client sends after its headers is not looked at.
  request.on('error', () => {}).resume();
  response.on('error', () => {});
  const judged = judge({ method, target, headers }, `${ADDRESS}:${portOf(server)}`, secrets);
  if ('refusal' in judged) {
    send(response, judged.refusal);
    return;
  }
  const given = await inTime(
    answer[judged.kind](judged.query).catch((error: unknown) => failureAnswer(unforeseen(error))),
  );
  onAnswer(given.status);
  send(response, given);
}

function inTime(answering: Promise<EndpointAnswer>): Promise<EndpointAnswer> {
  return new Promise((resolve) => {
    const late = errorAnswer(503, 'temporarily_unavailable', 'The services gave no token in time. Ask again.');
    const timer = setTimeout(() => resolve({ ...late, headers: { 'Retry-After': '5' } }), ANSWER_MS);
    void answering.then((answer) => {
      clearTimeout(timer);
      resolve(answer);
    });
  });
}

function send(response: ServerResponse, { status, body, headers }: EndpointAnswer): void {
  const text = JSON.stringify(body);
  response.writeHead(status, {
    'Content-Type': 'application/json',
    'Content-Length': Buffer.byteLength(text),
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff',
    Connection: 'close',
    ...headers,
  });
  response.end(text);
}

/** An answer to what is no request. */
function endRaw(socket: Socket, status: number, reason: string): void {
  if (socket.writable) {
    socket.end(
      `HTTP/1.1 ${status} ${reason}\r\nCache-Control: no-store\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`,
    );
  }
  socket.on('error', () => {});
  setTimeout(() => socket.destroy(), 100).unref();
}

/** Whoever opens connections and asks nothing does not keep others out. */
class Waiting {
  readonly #sockets = new Set<Socket>();
  #open = 0;

  add(socket: Socket): void {
    this.#open++;
    this.#sockets.add(socket);
    socket.once('close', () => {
      this.#open--;
      this.#sockets.delete(socket);
    });
    if (this.#open > MOST_CONNECTIONS) {
      const [longest = socket] = this.#sockets;
      longest.destroy();
    }
  }

  /** The connection has sent its request. */
  hasAsked(socket: Socket): void {
    this.#sockets.delete(socket);
  }
}
