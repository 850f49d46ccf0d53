import { type ChildProcess, spawn } from 'node:child_process';
import { parse } from 'node:path';
import { errorCode, Failure } from '../failure/failure.ts';
import type { IdTokenRequest } from '../id-token/azure-devops.ts';
import type { Network } from '../network/settings.ts';
import type { JobMark, ProcessMark } from './processes.ts';

/** What the background process is told, over its standard input alone. Plain JSON; `reveal()` is its only source of secrets. */
export interface RefresherOrders {
  readonly address: string;
  readonly jobToken: string;
  readonly serviceConnectionId: string | undefined;
  readonly folder: string;
  /** When the token in the file expires and how long it lives in all, by our clock. Milliseconds. */
  readonly expiresAt: number;
  readonly lifeMs: number;
  /** The step, and the agent that started it. */
  readonly step: ProcessMark | undefined;
  readonly job: JobMark;
  readonly network: NetworkOrders;
}

/** The network settings with their secrets in the open, for the pipe. */
export interface NetworkOrders {
  readonly proxy:
    | { readonly url: string; readonly username: string | undefined; readonly password: string | undefined }
    | undefined;
  readonly bypass: Network['bypass'];
  readonly authorities: string | undefined;
  readonly extraAuthoritiesFile: string | undefined;
  readonly clientCertificate:
    | { readonly certificate: string; readonly key: string; readonly passphrase: string | undefined }
    | undefined;
  readonly skipCertificateValidation: boolean;
}

/** Time for a loaded machine to start Node. */
const READY_MS = 20_000;

/** What a Node process needs to reach the services as this one does. None of it is secret, none of it an input. */
const CARRIED = [
  'VSTS_PROCESS_LOOKUP_ID',
  'NODE_EXTRA_CA_CERTS',
  'NODE_USE_SYSTEM_CA',
  'SSL_CERT_FILE',
  'SSL_CERT_DIR',
  'LD_LIBRARY_PATH',
  'SystemRoot',
  'windir',
];

/**
 * Starts the background process and waits until it has its orders, so that this process may end at once. The
 * agent's mark (VSTS_PROCESS_LOOKUP_ID) stays on it: at the end of the job the agent kills what still has the mark.
 * @param script the background process's file
 * @param started is told of the child as soon as there is one, so that a cancelled step can end it
 */
export async function startRefresher(
  script: string,
  orders: RefresherOrders,
  environment: (name: string) => string | undefined,
  started: (child: ChildProcess) => void,
): Promise<number> {
  const carried: Record<string, string> = {};
  for (const name of CARRIED) {
    const value = environment(name);
    if (value !== undefined) {
      carried[name] = value;
    }
  }
  // Small spaces for new objects, no threads of V8's and no compiler: code that runs every few minutes for hours would
  // be compiled in the end, for ten megabytes.
  const flags = [
    '--max-semi-space-size=1',
    '--max-old-space-size=64',
    '--v8-pool-size=0',
    '--single-threaded-gc',
    '--jitless',
  ];
  // Whom this process trusts may be chosen there; nothing else of these options is for the child.
  const trust = environment('NODE_OPTIONS')?.match(/--use-(?:openssl|system|bundled)-ca\b/g) ?? [];
  const child = spawn(process.execPath, [...flags, ...trust, script], {
    detached: true,
    windowsHide: true,
    cwd: parse(orders.folder).root,
    env: carried,
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  started(child);
  await readiness(child, JSON.stringify(orders));
  child.unref();
  return child.pid ?? 0;
}

function readiness(child: ChildProcess, orders: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => fail('it did not take its orders in time'), READY_MS);
    const fail = (why: string): void => {
      clearTimeout(timer);
      child.kill('SIGKILL');
      reject(new Failure('ET_REFRESHER', `The process that keeps the token file fresh did not start: ${why}.`));
    };
    child.once('error', (error) => fail(errorCode(error) ?? 'no error code'));
    child.once('exit', (code, signal) => fail(`it ended with ${signal ?? `code ${code}`}`));
    child.stdin?.on('error', () => fail('it closed its input'));
    // One byte on a pipe of its own says that the orders arrived whole; the pipe is closed after it.
    child.stdout?.once('data', () => {
      clearTimeout(timer);
      child.removeAllListeners();
      child.stdin?.destroy();
      child.stdout?.destroy();
      resolve();
    });
    child.stdin?.end(orders);
  });
}

/** The orders for the network: the same settings, their secrets taken out for the pipe. */
export function networkOrders({ proxy, clientCertificate: client, ...plain }: Network): NetworkOrders {
  return {
    ...plain,
    proxy: proxy && { url: proxy.url, username: proxy.username, password: proxy.password?.reveal() },
    clientCertificate: client && {
      certificate: client.certificate,
      key: client.key.reveal(),
      passphrase: client.passphrase?.reveal(),
    },
  };
}

/** The part of the orders that says what to ask Azure DevOps with. */
export function renewalOrders(
  request: IdTokenRequest,
): Pick<RefresherOrders, 'address' | 'jobToken' | 'serviceConnectionId'> {
  return {
    address: request.address,
    jobToken: request.jobToken.reveal(),
    serviceConnectionId: request.serviceConnectionId,
  };
}
