import type { IncomingHttpHeaders } from 'node:http';
import * as https from 'node:https';
import { certificateFault, codeOfNodeError, entryOf, isTransientNodeError } from '../failure/catalogue.ts';
import { errorCode, Failure } from '../failure/failure.ts';
import { duration } from '../text/text.ts';
import { type ConnectionPool, isUntrusted } from './pool.ts';
import { ALL_TRIES_MS, isTransientStatus, readRetryAfter, TRY_MS, waitBeforeNext } from './retry.ts';
import { ProxyFailure, ProxyRefusal } from './tunnel.ts';

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

/** Sends a request, again where that may help, and gives the last answer; throws a Failure where none came. */
export type Send = (post: Post) => Promise<Answer>;

/** The authorities of one service alone, as those of an AKS identity binding. */
export interface OwnAuthorities {
  /** Those of the next try may be others, and vouch for what these do not. */
  readonly mayChange: boolean;
  /** What to do where they do not vouch for the certificate, in place of the advice for the agent's. */
  readonly advice: string;
}

export interface WireSurroundings {
  /** Asked for each try, because an authority's certificate may have changed since the last one. */
  readonly pool: () => ConnectionPool;
  /** The clock that tells the time of day, for what a service says in dates. */
  readonly now: () => number;
  /** The clock that nobody sets, for how long something takes. Milliseconds. */
  readonly elapsed: () => number;
  readonly sleep: (milliseconds: number) => Promise<void>;
  readonly random: () => number;
  readonly log: (line: string) => void;
  /** Told when a request is on its way: the time until its answer is free for other work. */
  readonly onSent?: () => void;
  /** Where authorities other than the agent's vouch for the other side. */
  readonly ownAuthorities?: OwnAuthorities;
  /** The time of one try and of all tries, where it is not the usual one. Milliseconds. */
  readonly tryMs?: () => number;
  readonly allTriesMs?: number;
}

/** An answer larger than this is none of the two services'. Bytes. */
const LARGEST_ANSWER = 1024 * 1024;

/** What a request meets on a connection that the other side has closed. */
const CLOSED: ReadonlySet<string> = new Set(['ECONNRESET', 'EPIPE']);

class AnswerTooLarge extends Error {}

/** The server closed a kept connection at the moment in which the request took it. */
class KeptConnectionClosed extends Error {}

/** One path for both services, so that proxy, certificates, times and tries are decided once. */
export function createWire(surroundings: WireSurroundings): Send {
  const {
    pool,
    now,
    elapsed,
    sleep,
    random,
    log,
    tryMs = () => TRY_MS,
    allTriesMs: usualMs = ALL_TRIES_MS,
    onSent = () => {},
    ownAuthorities,
  } = surroundings;
  return async (post) => {
    const start = elapsed();
    const allTriesMs = post.allTriesMs ?? usualMs;
    let before: Outcome | undefined;
    for (let tries = 1; ; tries++) {
      const firstMs = post.allTriesMs ?? Number.POSITIVE_INFINITY;
      const left = tries === 1 ? firstMs : allTriesMs - (elapsed() - start);
      const last = await once(post, pool(), Math.min(tryMs(), left), now, onSent);
      // A last try that had less time than the others says nothing new by running out of it.
      const outcome = left < tryMs() && isTimeout(last) && before !== undefined ? before : last;
      before = outcome;
      const tookMs = elapsed() - start;
      const askedMs = retryAfter(outcome, now());
      const isLate = ownAuthorities?.mayChange === true && 'error' in outcome && isUntrusted(errorCode(outcome.error));
      const wait =
        isLate || isTransient(outcome, post)
          ? waitBeforeNext({ tries, askedMs, tookMs, allTriesMs, random: random() })
          : undefined;
      if (wait === undefined) {
        if ('error' in outcome) {
          throw describe(outcome.error, post, tries, tookMs, ownAuthorities?.advice);
        }
        return { ...outcome, tries, tookMs };
      }
      log(
        `${post.service} (${post.url.host}): ${brief(outcome)}; trying again in ${seconds(wait)} (try ${tries + 1}).`,
      );
      post.onRetry?.();
      await sleep(wait);
    }
  };
}

type Arrived = Omit<Answer, 'tries' | 'tookMs'>;
type Outcome = Arrived | { readonly error: unknown };

async function once(
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

function isTimeout(outcome: Outcome): boolean {
  return 'error' in outcome && errorCode(outcome.error) === 'ETIMEDOUT';
}

function withCode(code: string): Error {
  return Object.assign(new Error(code), { code });
}

/** The header has whole seconds: a clock is only off by what lies outside of the second that it names. */
function readSkew(header: string | undefined, now: number): number | undefined {
  const date = Date.parse(header ?? '');
  return Number.isNaN(date) ? undefined : Math.max(0, date - now) + Math.min(0, date + 999 - now);
}

function isTransient(outcome: Outcome, post: Post): boolean {
  if ('status' in outcome) {
    return isTransientStatus(outcome.status) || (post.isTransient?.({ ...outcome, tries: 1, tookMs: 0 }) ?? false);
  }
  if (outcome.error instanceof ProxyRefusal) {
    return isTransientStatus(outcome.error.status);
  }
  const causes = causesOf(outcome.error instanceof ProxyFailure ? outcome.error.cause : outcome.error);
  // Of a name's addresses, one that may answer next time is enough.
  return causes.some(({ code }) => isTransientNodeError(code));
}

/** A date in the header is one of the service's clock. */
function retryAfter(outcome: Outcome, now: number): number | undefined {
  if ('status' in outcome) {
    return readRetryAfter(outcome.headers['retry-after'], now + (outcome.skewMs ?? 0));
  }
  return outcome.error instanceof ProxyRefusal ? readRetryAfter(outcome.error.retryAfter, now) : undefined;
}

interface Cause {
  readonly code: string;
  readonly address: string | undefined;
}

/** Node joins the failures of a name's several addresses in an AggregateError whose own message is empty. */
function causesOf(error: unknown): Cause[] {
  if (error instanceof AggregateError) {
    return error.errors.flatMap(causesOf);
  }
  const code = errorCode(error);
  return code === undefined ? [] : [{ code, address: addressOf(error) }];
}

function addressOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('address' in error)) {
    return undefined;
  }
  const port = 'port' in error ? error.port : undefined;
  return typeof error.address === 'string' && typeof port === 'number' ? `${error.address} port ${port}` : undefined;
}

function brief(outcome: Outcome): string {
  if ('status' in outcome) {
    return `HTTP ${outcome.status}`;
  }
  if (outcome.error instanceof ProxyRefusal) {
    return `the proxy answered HTTP ${outcome.error.status}`;
  }
  if (outcome.error instanceof ProxyFailure) {
    return `the proxy failed: ${brief({ error: outcome.error.cause })}`;
  }
  const causes = causesOf(outcome.error).map(({ code, address }) => (address ? `${code} at ${address}` : code));
  return causes.length > 0 ? causes.join(', ') : 'the connection failed';
}

function describe(error: unknown, post: Post, tries: number, tookMs: number, trustAdvice?: string): Failure {
  const effort = tries === 1 ? '' : ` after ${tries} tries in ${duration(tookMs)}`;
  const asked = `${post.service} at ${post.url.host}`;
  if (error instanceof AnswerTooLarge) {
    const code = post.service === 'Entra' ? 'ET_ENTRA_ANSWER' : 'ET_DEVOPS_ANSWER';
    return new Failure(code, `${asked} sent a response of more than ${LARGEST_ANSWER / 1024} KiB.`);
  }
  if (error instanceof ProxyRefusal) {
    return describeProxy(error, post, effort);
  }
  if (error instanceof ProxyFailure) {
    const [cause] = causesOf(error.cause);
    const isKnown = cause?.code.startsWith('HPE_') || codeOfNodeError(cause?.code) !== 'ET_UNEXPECTED';
    const fault = codeOfNodeError(cause?.code) === 'ET_CERTIFICATE' ? ofCertificate(cause?.code) : undefined;
    const code = isKnown ? 'ET_PROXY' : 'ET_UNEXPECTED';
    return new Failure(code, `${asked} could not be reached${effort}: ${brief({ error })}.`, fault?.remedy, {
      ...(fault && { reason: `It is the proxy’s own certificate. ${fault.reason}` }),
    });
  }
  const codes = causesOf(error);
  if (codes.some(({ code }) => code.startsWith('HPE_'))) {
    const code = post.service === 'Entra' ? 'ET_ENTRA_ANSWER' : 'ET_DEVOPS_ANSWER';
    return new Failure(code, `${asked} did not send an HTTP response (${brief({ error })}).`);
  }
  const code = codeOfNodeError(codes[0]?.code);
  const fault = code === 'ET_CERTIFICATE' ? certificateFault(codes[0]?.code) : undefined;
  const advice = code === 'ET_CERTIFICATE' ? trustAdvice : undefined;
  return new Failure(
    code,
    `${asked} could not be reached${effort}: ${brief({ error })}.`,
    fault?.remedy ?? advice,
    fault === undefined ? {} : { reason: fault.reason },
  );
}

function ofCertificate(nodeCode: string | undefined): { reason: string; remedy: string } {
  return certificateFault(nodeCode) ?? entryOf('ET_CERTIFICATE');
}

/** Of the ways in that proxies have, this task knows Basic: that is all that the agent stores a user and a password for. */
function describeProxy({ status, schemes, hadCredentials }: ProxyRefusal, { url }: Post, effort: string): Failure {
  const happened = `The proxy answered HTTP ${status} when asked for a tunnel to ${url.host}${effort}`;
  if (status !== 407) {
    return new Failure('ET_PROXY', `${happened}.`);
  }
  if (schemes !== undefined && !schemes.includes('Basic')) {
    return new Failure(
      'ET_PROXY',
      `${happened}, and accepts only ${schemes.join(' or ')}.`,
      `Let the agent reach ${url.host} without the proxy or without signing in to it, have the proxy take Basic as well, ` +
        'or put a local proxy in between that signs in for the machine (such as Px or Cntlm), and configure the agent with that.',
      { reason: 'The task signs in to a proxy with user and password (Basic) alone.' },
    );
  }
  return new Failure(
    'ET_PROXY',
    `${happened}.`,
    hadCredentials
      ? 'Check the user and the password in the agent’s configuration (config --proxyusername, --proxypassword).'
      : 'Configure the agent with a user and a password for the proxy (config --proxyusername, --proxypassword).',
    {
      reason: hadCredentials
        ? 'The proxy does not take the user and the password of the agent’s configuration.'
        : 'The proxy wants to know who asks, and the agent is configured with no user for it.',
    },
  );
}

function seconds(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(1)} s`;
}
