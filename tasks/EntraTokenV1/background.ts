/**
 * The background process: keeps the ID token in a step's file fresh, and serves tokens on the step's endpoint, until
 * the job ends. It reads its orders from its standard input, prints nothing (it could not mask its output), and holds
 * no stream of the step.
 */
import { closeSync, readFileSync, writeSync } from 'node:fs';
import { keepFresh } from './background/keep-fresh.ts';
import { networkOf, type Orders, type Ready, readOrders, type SourceOrders } from './background/orders.ts';
import type { Status } from './background/status.ts';
import { writeTokenFile, writeWhole } from './background/token-file.ts';
import { removeTokenFile, STATUS_FILE } from './background/token-folder.ts';
import { watchJob } from './background/watch-job.ts';
import { type AnswerQuery, serveAccessTokens } from './endpoint/access-tokens.ts';
import { wrongRequest } from './endpoint/answers.ts';
import { serveIdTokens } from './endpoint/id-tokens.ts';
import { listen } from './endpoint/server.ts';
import { type Exchange, loadExchange } from './exchange/exchange.ts';
import { errorCode, Failure } from './failure/failure.ts';
import { type FreshIdToken, requestIdToken } from './id-token/azure-devops.ts';
import { HeldIdTokens, type IdTokens } from './id-token/held-id-tokens.ts';
import { readIdToken } from './id-token/id-token.ts';
import { bindingPool, readIdentityBinding, throughProxy } from './id-token/identity-binding.ts';
import { readTokenFile } from './id-token/kubernetes.ts';
import { ConnectionPool } from './network/pool.ts';
import { agentTrust } from './network/trust.ts';
import { createWire, type Send, type WireSurroundings } from './network/wire.ts';
import { Secret } from './text/secret.ts';

const clocks = {
  now: Date.now,
  elapsed: () => performance.now(),
  sleep: (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds)),
};

/**
 * Time for all tries of a request to one service for a client of the endpoint: two services fit into the time that a
 * client waits. Milliseconds.
 */
const ALL_TRIES_MS = 20_000;

/** The step masks; this process has no output. */
const mask = (): void => {};

async function main(): Promise<void> {
  const orders = readOrders(readFileSync(0, 'utf8'));
  closeSync(0);
  const source = openSource(orders);
  const status = new StatusFile(orders);
  status.write();
  process.on('SIGTERM', () => {
    // The last status, for the post-job stage that sends the signal.
    status.write();
    process.exit(0);
  });
  const port = await startEndpoint(orders, source, () => status.count());
  isServing = port !== undefined;
  // Reports that the orders arrived completely, and closes the last stream that is shared with the step.
  ready(port === undefined ? {} : { port });
  watchJob(orders, clocks.elapsed, () => status.write());
  if (orders.file !== undefined && source.renew !== undefined) {
    keepFresh(orders.file, {
      ask: source.renew,
      write: (token) => writeTokenFile(orders.folder, token),
      remove: () => removeTokenFile(orders.folder),
      clocks,
      after: (milliseconds, act) => {
        const timer = setTimeout(act, milliseconds);
        return () => clearTimeout(timer);
      },
      random: Math.random,
      report: (renewed, failing) => status.report(renewed, failing),
      // The port is kept until the job ends, so that no other process can take it.
      onEnd: () => port === undefined && process.exit(0),
    });
  }
}

function ready(word: Ready): void {
  writeSync(1, `${JSON.stringify(word)}\n`);
  closeSync(1);
}

/** The source of ID tokens, and how requests are sent to Entra. */
interface BackgroundSource {
  readonly idTokens: IdTokens;
  readonly sendToEntra: Send;
  /** Asks for a token for the file, once; undefined where there is none to ask for. */
  readonly renew: ((tryMs: number) => Promise<FreshIdToken>) | undefined;
}

function openSource({ source, network: given }: Orders): BackgroundSource {
  const network = networkOf(given);
  const trust = agentTrust(network);
  const surroundings = { ...clocks, random: Math.random, log: () => {} };
  /** Two requests are minutes apart: no connection is kept between them, so no request uses a stale one. */
  const sendBy =
    (times: Pick<WireSurroundings, 'tryMs' | 'allTriesMs'>): Send =>
    async (post) => {
      const pool = new ConnectionPool({ network, trust, skipCertificateValidation: network.skipCertificateValidation });
      try {
        return await createWire({ ...surroundings, ...times, pool: () => pool })(post);
      } finally {
        pool.destroy();
      }
    };
  const send = sendBy({ allTriesMs: ALL_TRIES_MS });
  switch (source.kind) {
    case 'azureDevOps': {
      const request = { ...source, jobToken: Secret.maskedByAgent(source.jobToken) };
      const idTokens = new HeldIdTokens(() => requestIdToken(request, send, mask), clocks);
      // Tries follow each other in keepFresh, for as long as the job lives.
      const renew = async (tryMs: number): Promise<FreshIdToken> => {
        const fresh = await requestIdToken(request, sendBy({ allTriesMs: 0, tryMs: () => tryMs }), mask);
        idTokens.hold(fresh);
        return fresh;
      };
      return { idTokens, sendToEntra: send, renew };
    }
    case 'lateBound':
      return { idTokens: lateBound(source.token), sendToEntra: send, renew: undefined };
    case 'kubernetes':
      return openKubernetes(source, send, surroundings);
  }
}

/** The one token that came with the connection serves for as long as it lives. */
function lateBound(token: string): IdTokens {
  const ask = (): Promise<never> =>
    Promise.reject(
      new Failure(
        'ET_JOB_TOKEN_MISSING',
        'The ID token of the connection is at its end, and the job has no token to ask Azure DevOps for another.',
      ),
    );
  const idTokens = new HeldIdTokens(ask, clocks);
  const idToken = readIdToken(token, mask);
  if (idToken !== undefined) {
    idTokens.hold({ idToken, skewMs: undefined });
  }
  return idTokens;
}

function openKubernetes(
  { path, binding: variables }: Extract<SourceOrders, { kind: 'kubernetes' }>,
  send: Send,
  surroundings: Omit<WireSurroundings, 'pool'>,
): BackgroundSource {
  const binding = readIdentityBinding(variables);
  const toExchange = (): ReturnType<typeof readTokenFile> => readTokenFile({ path, ...clocks, mask });
  const toHandOut = async (): ReturnType<IdTokens['toHandOut']> => {
    const idToken = await toExchange();
    return { idToken, leftMs: idToken.expiresAt - clocks.now() };
  };
  let sendToEntra = send;
  if (binding !== undefined) {
    const toProxy = createWire({ ...surroundings, pool: bindingPool(binding), allTriesMs: ALL_TRIES_MS });
    sendToEntra = (post) => toProxy({ ...post, url: throughProxy(binding, post.url) });
  }
  return { idTokens: { toExchange, toHandOut }, sendToEntra, renew: undefined };
}

/** Starts the endpoint if the step asked for one, and returns its port. */
async function startEndpoint(
  { endpoint }: Orders,
  { idTokens, sendToEntra }: BackgroundSource,
  onGiven: () => void,
): Promise<number | undefined> {
  if (endpoint === undefined) {
    return undefined;
  }
  const { clientId, accessTokens, idTokens: handedOut } = endpoint;
  const notServed: AnswerQuery = () => Promise.resolve(wrongRequest('The step serves no such tokens.'));
  let loading: Promise<Exchange> | undefined;
  const exchange: Exchange = async (scope, correlationId) => {
    if (accessTokens === undefined) {
      throw new TypeError('no access tokens');
    }
    // MSAL is loaded only when the first token is requested, to save memory.
    loading ??= loadExchange().then((createExchange) =>
      createExchange({ ...accessTokens, clientId, idToken: idTokens.toExchange, send: sendToEntra, mask }),
    );
    return twice(await loading, scope, correlationId);
  };
  try {
    return await listen({
      secrets: {
        ...(accessTokens === undefined ? {} : { accessTokens: accessTokens.secret }),
        ...(handedOut === undefined ? {} : { idTokens: handedOut.secret }),
      },
      answer: {
        accessTokens:
          accessTokens === undefined
            ? notServed
            : serveAccessTokens({ clientId, offers: accessTokens.resources, exchange, clocks }),
        idTokens: handedOut === undefined ? notServed : serveIdTokens(idTokens.toHandOut, handedOut.audience),
      },
      onAnswer: (status) => status === 200 && onGiven(),
    });
  } catch (error) {
    ready({ cannotListen: errorCode(error) ?? 'no error code' });
    process.exit(1);
  }
}

/** An ID token that was valid at the first of several tries may have expired at the last. Milliseconds. */
const SEVERAL_TRIES_MS = 2000;

/** Repeats the exchange with a current ID token if the first one expired during it. */
async function twice(exchange: Exchange, scope: string, correlationId?: string): ReturnType<Exchange> {
  const start = clocks.elapsed();
  try {
    return await exchange(scope, correlationId);
  } catch (error) {
    const isLate = clocks.elapsed() - start > SEVERAL_TRIES_MS;
    if (isLate && error instanceof Failure && error.code === 'ET_ASSERTION_TIME') {
      return exchange(scope, correlationId);
    }
    throw error;
  }
}

/** The status for the post-job stage, written when it changes. */
class StatusFile {
  readonly #folder: string;
  #status: Status;
  #written = '';

  constructor({ folder, file, endpoint }: Orders) {
    this.#folder = folder;
    this.#status = {
      pid: process.pid,
      ...(file === undefined ? {} : { file: { renewed: 0 } }),
      ...(endpoint === undefined ? {} : { endpoint: { given: 0 } }),
    };
  }

  report(renewed: number, failing: string | undefined): void {
    this.#status = { ...this.#status, file: { renewed, ...(failing === undefined ? {} : { failing }) } };
    this.write();
  }

  /** Counts one more issued token; the count is written at the next check. */
  count(): void {
    this.#status = { ...this.#status, endpoint: { given: (this.#status.endpoint?.given ?? 0) + 1 } };
  }

  write(): void {
    const text = JSON.stringify(this.#status);
    if (text === this.#written) {
      return;
    }
    try {
      writeWhole(this.#folder, STATUS_FILE, text);
      this.#written = text;
    } catch {
      // The folder is gone or full: the first ends the process at the next check, the second shows in the token file.
    }
  }
}

let isServing = false;
// An unexpected error in one request must not free the port, which another process could take.
process.on('uncaughtException', () => isServing || process.exit(1));
void main();
