import { rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isRunning, markProcess, readProc, showsProcesses } from './processes.ts';

/** The name of the background process's file. */
const SCRIPT = 'background.js';

/** A file of this name in the folder asks the background process to end. */
const REQUEST_FILE = 'end';

/** Time for the answer to a signal or a request. Milliseconds. */
const GRACE_MS = 2000;

/**
 * Ends the background process and waits for its end. The ID may belong to another process by now, so only ours is
 * ended: one that runs our script, or, where the system does not show that, one that answers a request in the folder,
 * which nobody else sees. Returns whether it was still running.
 */
export function endProcess(pid: number, folder: string): boolean {
  const mark = pid > 1 && (!showsProcesses() || isOurs(pid)) ? markProcess(pid) : undefined;
  if (mark === undefined) {
    return false;
  }
  const isGone = (): boolean => !isRunning(mark);
  if (showsProcesses()) {
    signal(pid, 'SIGTERM');
  } else if (!askToEnd(folder, isGone)) {
    return false;
  }
  if (!within(GRACE_MS, isGone)) {
    signal(pid, 'SIGKILL');
  }
  return true;
}

/** Returns true when the process has removed the request from the folder. */
function askToEnd(folder: string, isGone: () => boolean): boolean {
  const request = join(folder, REQUEST_FILE);
  writeFileSync(request, '', { mode: 0o600 });
  const isTaken = (): boolean => !isThere(request);
  within(GRACE_MS, () => isTaken() || isGone());
  return isTaken();
}

/** Whether the post-job stage asks this process to end; removes the request from the folder, which is the answer. */
export function isAskedToEnd(folder: string): boolean {
  const request = join(folder, REQUEST_FILE);
  if (showsProcesses() || !isThere(request)) {
    return false;
  }
  rmSync(request, { force: true, maxRetries: 5, retryDelay: 10 });
  return true;
}

function isOurs(pid: number): boolean {
  return readProc(pid, 'cmdline')?.includes(SCRIPT) ?? false;
}

function isThere(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // It ended by itself in the meantime.
  }
}

function within(milliseconds: number, holds: () => boolean): boolean {
  const start = performance.now();
  while (!holds()) {
    if (performance.now() - start > milliseconds) {
      return false;
    }
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
  }
  return true;
}
