/**
 * The post-job stage: ends the background process and removes its folder. It runs for every step, also where main was
 * skipped or killed, so it is small, loads no library, and never fails a job.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isRunning, markProcess, readProc } from './background/processes.ts';
import { FOLDER_VARIABLE, isTokenFolder, removeTokenFolder, STATUS_FILE } from './background/token-folder.ts';
import { taskVariable } from './origins/process.ts';

const GRACE_MS = 2000;

function main(): void {
  const folder = taskVariable(FOLDER_VARIABLE);
  if (!folder || !isTokenFolder(folder)) {
    return;
  }
  const status = readStatus(folder);
  const wasRunning = status !== undefined && endRefresher(status.pid);
  removeTokenFolder(folder);
  process.stdout.write(`${summary(status, wasRunning)}\n`);
}

interface Status {
  readonly pid: number;
  readonly renewed: number;
  readonly failing: string | undefined;
}

function readStatus(folder: string): Status | undefined {
  try {
    const status: unknown = JSON.parse(readFileSync(join(folder, STATUS_FILE), 'utf8'));
    if (typeof status !== 'object' || status === null || !('pid' in status) || !('renewed' in status)) {
      return undefined;
    }
    const { pid, renewed } = status;
    const failing =
      'failing' in status && /^ET_[A-Z_]+$/.test(String(status.failing)) ? String(status.failing) : undefined;
    return Number.isInteger(pid) && Number.isInteger(renewed)
      ? { pid: Number(pid), renewed: Number(renewed), failing }
      : undefined;
  } catch {
    return undefined;
  }
}

/** The number may belong to another process by now; only one that runs our script is ended. Tells whether it still ran. */
function endRefresher(pid: number): boolean {
  const mark = pid > 1 && isOurs(pid) ? markProcess(pid) : undefined;
  if (mark === undefined) {
    return canTell() ? false : markProcess(pid) !== undefined;
  }
  signal(pid, 'SIGTERM');
  const start = Date.now();
  while (isRunning(mark)) {
    if (Date.now() - start > GRACE_MS) {
      signal(pid, 'SIGKILL');
      break;
    }
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
  }
  return true;
}

/** Where the system does not show the arguments of a process, the missing folder ends it within a second. */
function isOurs(pid: number): boolean {
  return readProc(pid, 'cmdline')?.includes('keep-fresh.js') ?? false;
}

function canTell(): boolean {
  return readProc(process.pid, 'cmdline') !== undefined;
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // It ended by itself in the meantime.
  }
}

function summary(status: Status | undefined, wasRunning: boolean): string {
  if (status === undefined) {
    return 'The token file is removed; it was not renewed.';
  }
  const { renewed, failing } = status;
  const renewals = renewed === 0 ? 'not yet renewed' : renewed === 1 ? 'renewed once' : `renewed ${renewed} times`;
  const state =
    failing !== undefined
      ? `renewal was failing at the end (${failing})`
      : wasRunning
        ? 'renewal was working to the end'
        : 'the process that renewed it had ended before';
  return `The token file was ${renewals} and is removed; ${state}.`;
}

try {
  main();
} catch {
  process.stdout.write('The token file could not be removed; the agent empties its temporary folder after the job.\n');
}
