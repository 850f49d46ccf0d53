import { type AddressInfo, createServer, type Socket } from 'node:net';
import { unforeseen } from '../failure/failure.ts';
import type { AnswerQuery } from './access-tokens.ts';
import { ADDRESS, type Kind } from './address.ts';
import { type EndpointAnswer, errorAnswer, failureAnswer, wrongRequest } from './answers.ts';
import { type Asked, judge, type Secrets } from './gate.ts';
import { type Head, readHead } from './request-head.ts';

/** A client has this long from the connection to the end of its request. Milliseconds. */
const REQUEST_MS = 5000;

/** Clients of the Azure SDK for Go time out after a minute. Milliseconds. */
const ANSWER_MS = 44_000;

/** A client has this long to read the response before the connection is closed. Milliseconds. */
const LINGER_MS = 2000;

/**
 * The most connections that are open at once; beyond it, the one that has waited longest without a request is closed.
 */
const MOST_CONNECTIONS = 1200;

export interface EndpointOptions {
  readonly secrets: Secrets;
  readonly answer: Readonly<Record<Kind, AnswerQuery>>;
  /** Told the status of each answer to a request with the right secret. */
  readonly onAnswer: (status: number) => void;
}

/**
 * Listens on a port of its own, on the loopback interface alone, until the process ends. Rejects with Node's error
 * where the process may not listen.
 *
 * It parses HTTP itself: one GET without a body for each connection. Node's own server keeps nine kilobytes for each
 * connection, which a thousand concurrent clients multiply, and accepts much that no client sends.
 */
export function listen(options: EndpointOptions): Promise<number> {
  const connections = new Connections();
  // A client may close its side after the request, and still wait for the response.
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    connections.add(socket);
    void serve(socket, connections, host(), options).catch(() => socket.destroy());
  });
  // What `listen` with a port makes of it (Node: net.Server.address).
  const port = (): number => (server.address() as AddressInfo).port;
  const host = (): string => `${ADDRESS}:${port()}`;
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, ADDRESS, () => {
      server.removeListener('error', reject);
      // A later error (no file descriptor for a connection) is temporary.
      server.on('error', () => {});
      resolve(port());
    });
  });
}

async function serve(socket: Socket, connections: Connections, host: string, options: EndpointOptions): Promise<void> {
  const head = await receiveHead(socket);
  connections.hasAsked(socket);
  if (head === 'closed') {
    socket.destroy();
    return;
  }
  const answer = typeof head === 'string' ? malformed[head] : await answerTo(head, host, options);
  send(socket, answer, typeof head === 'object' && head.method === 'HEAD');
}

type Received = Exclude<Head, 'incomplete'> | 'too slow' | 'closed';

/** Reads until the head is complete or refused. Anything that a client sends after it is ignored. */
function receiveHead(socket: Socket): Promise<Received> {
  return new Promise((resolve) => {
    let text = '';
    const timer = setTimeout(() => settle('too slow'), REQUEST_MS);
    const settle = (received: Received): void => {
      clearTimeout(timer);
      socket.removeAllListeners('data').removeAllListeners('end').resume();
      resolve(received);
    };
    socket.on('error', () => settle('closed'));
    socket.once('close', () => settle('closed'));
    socket.on('end', () => settle('closed'));
    socket.setEncoding('latin1').on('data', (piece: string) => {
      text += piece;
      const head = readHead(text);
      if (head !== 'incomplete') {
        settle(head);
      }
    });
  });
}

const malformed: Readonly<Record<Extract<Received, string>, EndpointAnswer>> = {
  'too slow': errorAnswer(408, 'invalid_request', 'The request did not come to its end in time.'),
  'too large': errorAnswer(431, 'invalid_request', 'The request has more than 8 KB of headers.'),
  wrong: wrongRequest('The request is not in HTTP/1.1.'),
  closed: wrongRequest('The request did not come to its end.'),
};

async function answerTo(
  asked: Asked,
  host: string,
  { secrets, answer, onAnswer }: EndpointOptions,
): Promise<EndpointAnswer> {
  const judged = judge(asked, host, secrets);
  if ('refusal' in judged) {
    return judged.refusal;
  }
  const given = await inTime(
    answer[judged.kind](judged.query).catch((error: unknown) => failureAnswer(unforeseen(error))),
  );
  onAnswer(given.status);
  return given;
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

const REASONS: Readonly<Record<number, string>> = {
  200: 'OK',
  400: 'Bad Request',
  401: 'Unauthorized',
  405: 'Method Not Allowed',
  408: 'Request Timeout',
  431: 'Request Header Fields Too Large',
  500: 'Internal Server Error',
  503: 'Service Unavailable',
};

/**
 * Sends the only response of a connection and closes it: no connection is idle, so no client uses one that has just
 * been closed.
 */
function send(socket: Socket, { status, body, headers }: EndpointAnswer, isHead: boolean): void {
  const text = JSON.stringify(body);
  const lines = {
    Date: new Date().toUTCString(),
    'Content-Type': 'application/json',
    'Content-Length': Buffer.byteLength(text),
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff',
    Connection: 'close',
    ...headers,
  };
  const head = Object.entries(lines).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.end(`HTTP/1.1 ${status} ${REASONS[status] ?? ''}\r\n${head.join('')}\r\n${isHead ? '' : text}`, 'utf8');
  // Closing it at once could lose the response for a client that is still sending.
  const cut = setTimeout(() => socket.destroy(), LINGER_MS);
  socket.once('close', () => clearTimeout(cut));
}

/** Connections without a request must not block others. */
class Connections {
  readonly #silent = new Set<Socket>();
  #open = 0;

  add(socket: Socket): void {
    this.#open++;
    this.#silent.add(socket);
    socket.once('close', () => {
      this.#open--;
      this.#silent.delete(socket);
    });
    if (this.#open > MOST_CONNECTIONS) {
      const [longest = socket] = this.#silent;
      longest.destroy();
    }
  }

  /** The connection has sent its request. */
  hasAsked(socket: Socket): void {
    this.#silent.delete(socket);
  }
}
