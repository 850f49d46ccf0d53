import { type ChildProcess, spawn } from 'node:child_process';
import { parse } from 'node:path';
import { errorCode, Failure } from '../failure/failure.ts';
import { tlsOptions } from './node-options.ts';
import { type Orders, type Ready, readReady } from './orders.ts';

/** Time for a loaded machine to start Node. */
const READY_MS = 20_000;

/** The variables that make another Node process trust the same authorities. None of them is secret or an input. */
const CARRIED = [
  'VSTS_PROCESS_LOOKUP_ID',
  'NODE_EXTRA_CA_CERTS',
  'NODE_USE_SYSTEM_CA',
  'OPENSSL_CONF',
  'OPENSSL_MODULES',
  'SSL_CERT_FILE',
  'SSL_CERT_DIR',
  'LD_LIBRARY_PATH',
  'SystemRoot',
  'windir',
];

/** The process that was started, and where its endpoint listens. */
export interface Started {
  readonly pid: number;
  readonly port: number | undefined;
}

/**
 * Starts the background process and waits until it has its orders and listens, so that this process may end at once.
 * The agent's mark (VSTS_PROCESS_LOOKUP_ID) stays on it: at the end of the job the agent kills every process that
 * still has the mark. Throws ET_REFRESHER, and ET_ENDPOINT where it could not listen.
 * @param script the background process's file
 * @param started is told of the child as soon as there is one, so that a cancelled step can end it
 */
export async function startBackground(
  script: string,
  orders: Orders,
  environment: (name: string) => string | undefined,
  started: (child: ChildProcess) => void,
): Promise<Started> {
  const carried: Record<string, string> = {};
  for (const name of CARRIED) {
    const value = environment(name);
    if (value !== undefined) {
      carried[name] = value;
    }
  }
  // A small young generation, no V8 threads and no JIT compiler: code that runs now and then for hours would be
  // compiled in the end, which takes ten megabytes and more.
  const flags = [
    '--max-semi-space-size=1',
    '--max-old-space-size=24',
    '--optimize-for-size',
    '--v8-pool-size=0',
    '--single-threaded-gc',
    '--jitless',
  ];
  const child = spawn(process.execPath, [...flags, ...tlsOptions(environment('NODE_OPTIONS')), script], {
    detached: true,
    windowsHide: true,
    cwd: parse(orders.folder).root,
    env: carried,
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  started(child);
  const { port, cannotListen } = await readiness(child, JSON.stringify(orders));
  if (cannotListen !== undefined) {
    throw new Failure('ET_ENDPOINT', `The token endpoint cannot listen on 127.0.0.1 (${cannotListen}).`);
  }
  child.unref();
  return { pid: child.pid ?? 0, port };
}

function readiness(child: ChildProcess, orders: string): Promise<Ready> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => fail('it did not take its orders in time'), READY_MS);
    const fail = (why: string): void => {
      clearTimeout(timer);
      child.kill('SIGKILL');
      reject(new Failure('ET_REFRESHER', `The background process did not start: ${why}.`));
    };
    child.on('error', (error) => fail(errorCode(error) ?? 'no error code'));
    child.once('exit', (code, signal) => fail(`it ended with ${signal ?? `code ${code}`}`));
    // It has ended or will: its exit code says more. If it runs on without its orders, it times out.
    child.stdin?.on('error', () => {});
    let answer = '';
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      answer += text;
      const ready = answer.endsWith('\n') ? readReady(answer) : undefined;
      if (ready === undefined) {
        return;
      }
      clearTimeout(timer);
      child.removeAllListeners();
      child.stdin?.destroy();
      child.stdout?.destroy();
      resolve(ready);
    });
    child.stdin?.end(orders);
  });
}
