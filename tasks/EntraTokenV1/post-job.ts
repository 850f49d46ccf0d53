/**
 * The post-job stage: ends the background process and removes its folder. It runs for every step, also where main was
 * skipped or killed, so it is small, loads no library, and never fails a job.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isRunning, markProcess } from './processes.ts';
import { FOLDER_VARIABLE, isTokenFolder, removeTokenFolder, STATUS_FILE } from './token-folder.ts';

const GRACE_MS = 2000;

function main(): void {
  const folder = process.env[`VSTS_TASKVARIABLE_${FOLDER_VARIABLE.toUpperCase()}`];
  if (!folder || !isTokenFolder(folder)) {
    return;
  }
  const status = readStatus(folder);
  if (status !== undefined) {
    endRefresher(status.pid);
  }
  removeTokenFolder(folder);
  process.stdout.write(`${summary(status)}\n`);
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

/** The number may belong to another process by now; only one that runs our script is ended. */
function endRefresher(pid: number): void {
  const mark = pid > 1 && isOurs(pid) ? markProcess(pid) : undefined;
  if (mark === undefined) {
    return;
  }
  signal(pid, 'SIGTERM');
  const start = Date.now();
  while (isRunning(mark)) {
    if (Date.now() - start > GRACE_MS) {
      signal(pid, 'SIGKILL');
      return;
    }
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
  }
}

/** Where the system does not show the arguments of a process, the missing folder ends it within a second. */
function isOurs(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('keep-fresh.js');
  } catch {
    return false;
  }
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // It ended by itself in the meantime.
  }
}

function summary(status: Status | undefined): string {
  if (status === undefined) {
    return 'The token file was removed; it was never renewed.';
  }
  const renewals = status.renewed === 1 ? 'once' : `${status.renewed} times`;
  const state =
    status.failing === undefined
      ? 'renewal was working to the end'
      : `renewal was failing at the end (${status.failing})`;
  return `The token file was renewed ${renewals} and is removed; ${state}.`;
}

try {
  main();
} catch {
  process.stdout.write('The token file could not be removed; the agent empties its temporary folder after the job.\n');
}
