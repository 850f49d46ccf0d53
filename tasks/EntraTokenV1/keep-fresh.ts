/**
 * The background process: keeps the ID token in a step's file fresh until the job ends. It gets its orders over its
 * standard input, prints nothing (it could not mask what it prints), and holds no stream of the step.
 */
import { closeSync, readFileSync, statSync, writeSync } from 'node:fs';
import { isRunning, type JobMark } from './background/processes.ts';
import type { NetworkOrders, RefresherOrders } from './background/refresher.ts';
import { nextRenewal, nextTry } from './background/renewal.ts';
import { removeTokenFile, writeTokenFile, writeWhole } from './background/token-file.ts';
import { removeTokenFolder, STATUS_FILE } from './background/token-folder.ts';
import type { Code } from './failure/catalogue.ts';
import { Failure } from './failure/failure.ts';
import { requestIdToken } from './id-token/azure-devops.ts';
import type { IdToken } from './id-token/id-token.ts';
import { ConnectionPool } from './network/pool.ts';
import { TRY_MS } from './network/retry.ts';
import type { Network } from './network/settings.ts';
import { agentTrust } from './network/trust.ts';
import { createWire } from './network/wire.ts';
import { isRecord } from './text/json.ts';
import { Secret } from './text/secret.ts';

/** How often the folder and the job's processes are looked at. Milliseconds. */
const LOOK_MS = 500;

/** In this time after the step, what only wrapped it in a container has ended too. Milliseconds. */
const WITH_STEP_MS = 5000;

/** The longest time that a timer can hold (Node: timers). Milliseconds. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** A refusal may be a hiccup once; said this often in a row, and still after the token's end, it is for good. */
const REFUSALS = 3;

const SHORTEST_TRY_MS = 500;

const refusals: ReadonlySet<Code> = new Set<Code>([
  'ET_DEVOPS_UNAUTHORIZED',
  'ET_DEVOPS_FORBIDDEN',
  'ET_DEVOPS_CONNECTION_REFUSED',
  'ET_DEVOPS_REFUSED',
]);

function main(): void {
  const orders = readOrders();
  writeStatus(orders.folder, 0, undefined);
  // Says that the orders arrived whole, and lets go of the last stream that is shared with the step.
  writeSync(1, '.');
  closeSync(1);
  watchJob(orders);
  keepFresh(orders);
}

/** Renews the token for as long as the process lives. */
function keepFresh(orders: RefresherOrders): void {
  const jobToken = Secret.maskedByAgent(orders.jobToken);
  const network = networkOf(orders.network);
  const trust = agentTrust(network);
  let pool = newPool();
  let current = { expiresAt: orders.expiresAt, lifeMs: orders.lifeMs };
  let renewed = 0;
  let failures = 0;
  let refused = 0;

  function newPool(): ConnectionPool {
    return new ConnectionPool({ network, trust, skipCertificateValidation: network.skipCertificateValidation });
  }

  const send = createWire({
    pool: () => pool,
    now: Date.now,
    sleep: () => Promise.resolve(),
    random: Math.random,
    log: () => {},
    // Tries follow each other here, not in the wire: they go on for as long as the job lives.
    allTriesMs: 0,
    tryMs,
  });

  async function renew(): Promise<void> {
    try {
      const { address, serviceConnectionId } = orders;
      const { idToken, skewMs } = await requestIdToken({ address, jobToken, serviceConnectionId }, send, () => {});
      const expiresAt = expiryByOurClock(idToken, skewMs ?? 0);
      if (expiresAt <= Date.now()) {
        throw new Failure('ET_DEVOPS_ANSWER', 'Azure DevOps answered with an ID token that has expired.');
      }
      writeTokenFile(orders.folder, idToken.token);
      current = { expiresAt, lifeMs: expiresAt - Date.now() };
      renewed++;
      failures = 0;
      refused = 0;
      writeStatus(orders.folder, renewed, undefined);
      later(nextRenewal(current.lifeMs));
    } catch (error) {
      const code = error instanceof Failure ? error.code : 'ET_UNEXPECTED';
      failures++;
      refused = refusals.has(code) ? refused + 1 : 0;
      writeStatus(orders.folder, renewed, code);
      if (refused >= REFUSALS && untilRemoval() === 0) {
        removeTokenFile(orders.folder);
        process.exit(0);
      }
      // A connection that failed is not used again.
      pool.destroy();
      pool = newPool();
      later(nextTry(failures, current.expiresAt - Date.now(), current.lifeMs, Math.random()));
    }
  }

  /** One of several that fit into what is left of the token; after its end, as long as there was room for at first. */
  function tryMs(): number {
    const leftMs = current.expiresAt - Date.now();
    const share = leftMs > 0 ? Math.min(current.lifeMs / 8, leftMs / 4) : current.lifeMs / 8;
    return Math.max(SHORTEST_TRY_MS, Math.min(TRY_MS, share));
  }

  function later(milliseconds: number): void {
    setTimeout(() => void renew(), milliseconds);
    // No reader may find an expired token: in an outage that outlasts it, the file is gone until the next one comes.
    clearTimeout(expiry);
    expiry = setTimeout(() => removeTokenFile(orders.folder), untilRemoval());
  }

  /** A little before the token's end, because a timer fires late and clocks have whole seconds. */
  function untilRemoval(): number {
    const left = current.expiresAt - Date.now() - Math.min(2000, current.lifeMs / 10);
    return Math.max(0, Math.min(left, LONGEST_TIMER_MS));
  }

  let expiry: NodeJS.Timeout | undefined;
  later(nextRenewal(current.lifeMs));
}

/** A clock of the service's by which even a fresh token has expired is not believed. */
function expiryByOurClock({ expiresAt }: IdToken, skewMs: number): number {
  return expiresAt - skewMs > Date.now() ? expiresAt - skewMs : expiresAt;
}

/** Leaves word for the post-job stage. */
function writeStatus(folder: string, renewed: number, failing: Code | undefined): void {
  try {
    writeWhole(folder, STATUS_FILE, JSON.stringify({ pid: process.pid, renewed, failing }));
  } catch {
    // The folder is gone or full: the first ends the process at the next look, the second shows in the token file.
  }
}

/** Ends the process with its folder, and with the agent; a folder whose job is over goes with it. */
function watchJob({ folder, step, job }: RefresherOrders): void {
  let stepEndedAt: number | undefined;
  const look = (): void => {
    if (!isThere(folder)) {
      process.exit(0);
    }
    if (step !== undefined && stepEndedAt === undefined && !isRunning(step)) {
      stepEndedAt = Date.now();
    }
    if (!isRunning(job.agent)) {
      if (endedWithStep(job, stepEndedAt)) {
        // Not the agent, but what started the step in a job container; the end of the container ends this process too.
        watchFolder(folder);
        return;
      }
      removeTokenFolder(folder);
      process.exit(0);
    }
    setTimeout(look, LOOK_MS);
  };
  look();
}

function endedWithStep({ isTopmost }: JobMark, stepEndedAt: number | undefined): boolean {
  return isTopmost && stepEndedAt !== undefined && Date.now() - stepEndedAt <= WITH_STEP_MS;
}

function watchFolder(folder: string): void {
  setInterval(() => {
    if (!isThere(folder)) {
      process.exit(0);
    }
  }, LOOK_MS);
}

function isThere(folder: string): boolean {
  try {
    return statSync(folder).isDirectory();
  } catch {
    return false;
  }
}

function networkOf({ proxy, clientCertificate: client, ...plain }: NetworkOrders): Network {
  const secret = (value: string | undefined): Secret | undefined =>
    value === undefined ? undefined : Secret.maskedByAgent(value);
  return {
    ...plain,
    proxy: proxy && { url: proxy.url, username: proxy.username, password: secret(proxy.password) },
    clientCertificate: client && {
      certificate: client.certificate,
      key: Secret.maskedByAgent(client.key),
      passphrase: secret(client.passphrase),
    },
  };
}

/** The step writes its orders whole and closes the pipe; anything else means that it was killed. */
function readOrders(): RefresherOrders {
  const orders: unknown = JSON.parse(readFileSync(0, 'utf8'));
  closeSync(0);
  if (!isRecord(orders) || typeof orders['folder'] !== 'string') {
    throw new TypeError('no orders');
  }
  // Written by this very version of the task, in refresher.ts.
  return orders as unknown as RefresherOrders;
}

process.on('uncaughtException', () => process.exit(1));
process.on('SIGTERM', () => process.exit(0));
main();
