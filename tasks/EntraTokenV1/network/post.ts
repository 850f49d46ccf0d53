import type { IncomingHttpHeaders } from 'node:http';
import * as https from 'node:https';
import { errorCode } from '../failure/failure.ts';
import type { ConnectionPool } from './pool.ts';

/** A request to one of the two services. Everything that we send is a POST. */
export interface Post {
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** What the log calls the one that is asked. */
  readonly service: 'Azure DevOps' | 'Entra';
  /** Answers that are worth another try although their status does not say so. */
  readonly isTransient?: (answer: Answer) => boolean;
  /** The time of all tries where it is less than usual, the first one included. Milliseconds. */
  readonly allTriesMs?: number;
  /** Told before the wait for another try. */
  readonly onRetry?: () => void;
}

/** A complete answer, whatever its status. */
export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  /** How far the service's clock is ahead of ours, in milliseconds, where the answer has a `Date`. */
  readonly skewMs: number | undefined;
  /** How many tries it took, counted from 1, and how long, in milliseconds. */
  readonly tries: number;
  readonly tookMs: number;
}

/** An answer, before it is known how many tries it took. */
export type Arrived = Omit<Answer, 'tries' | 'tookMs'>;
/** What one try ended in. */
export type Outcome = Arrived | { readonly error: unknown };

/** An answer larger than this is none of the two services'. Bytes. */
export const LARGEST_ANSWER = 1024 * 1024;

/** What a request meets on a connection that the other side has closed. */
const CLOSED: ReadonlySet<string> = new Set(['ECONNRESET', 'EPIPE']);

export class AnswerTooLarge extends Error {}

/** The server closed a kept connection at the moment in which the request took it. */
class KeptConnectionClosed extends Error {}

/** Sends a request once, on a new connection where a kept one turns out to be closed. Never throws. */
export async function sendOnce(
  post: Post,
  pool: ConnectionPool,
  timeoutMs: number,
  now: () => number,
  onSent: () => void,
): Promise<Outcome> {
  const start = now();
  for (;;) {
    try {
      return await exchangeMessages(post, pool, timeoutMs - (now() - start), now, onSent);
    } catch (error) {
      // Nothing was answered and nobody is at fault: Node documents it as the case to send again at once
      // (http: request.reusedSocket). Each time there is a kept connection less, and no new one counts as kept.
      if (!(error instanceof KeptConnectionClosed)) {
        return { error };
      }
    }
  }
}

function exchangeMessages(
  post: Post,
  pool: ConnectionPool,
  timeoutMs: number,
  now: () => number,
  onSent: () => void,
): Promise<Arrived> {
  return new Promise((resolve, reject) => {
    const request = https.request(post.url, {
      method: 'POST',
      agent: pool,
      headers: { ...post.headers, 'Content-Length': Buffer.byteLength(post.body) },
    });
    // One timer over everything: a server that sends a byte a second would never trip an idle timeout.
    const timer = setTimeout(() => {
      settle(() => reject(withCode('ETIMEDOUT')));
      request.destroy();
    }, timeoutMs);
    const settle = (act: () => void): void => {
      clearTimeout(timer);
      act();
    };
    let isAnswered = false;
    request.on('error', (error) => {
      const isClosed = request.reusedSocket && !isAnswered && CLOSED.has(errorCode(error) ?? '');
      settle(() => reject(isClosed ? new KeptConnectionClosed() : error));
    });
    // A request that is destroyed without a socket ends in neither an answer nor an error.
    request.once('close', () => settle(() => reject(withCode('ECONNRESET'))));
    request.once('finish', onSent);
    // Neither service changes the protocol: that is an answer as well, and a final one.
    request.once('upgrade', (response, socket) => {
      socket.destroy();
      const { statusCode = 101, headers } = response;
      settle(() => resolve({ status: statusCode, headers, body: '', skewMs: undefined }));
    });
    request.once('response', (response) => {
      isAnswered = true;
      const chunks: Buffer[] = [];
      let size = 0;
      response.on('data', (chunk: Buffer) => {
        size += chunk.length;
        chunks.push(chunk);
        if (size > LARGEST_ANSWER) {
          request.destroy(new AnswerTooLarge());
          settle(() => reject(new AnswerTooLarge()));
        }
      });
      response.on('error', (error) => settle(() => reject(error)));
      response.once('end', () => {
        settle(() =>
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            // Some proxies put a byte order mark before what they pass on.
            body: Buffer.concat(chunks)
              .toString('utf8')
              .replace(/^\uFEFF/, ''),
            skewMs: readSkew(response.headers.date, now()),
          }),
        );
      });
    });
    request.end(post.body);
  });
}

function withCode(code: string): Error {
  return Object.assign(new Error(code), { code });
}

/** The header has whole seconds: a clock is only off by what lies outside of the second that it names. */
function readSkew(header: string | undefined, now: number): number | undefined {
  const date = Date.parse(header ?? '');
  return Number.isNaN(date) ? undefined : Math.max(0, date - now) + Math.min(0, date + 999 - now);
}
