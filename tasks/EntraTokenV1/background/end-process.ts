import { isRunning, markProcess, readProc } from './processes.ts';

/** The name of the background process's file. */
const SCRIPT = 'background.js';

const GRACE_MS = 2000;

/**
 * Ends the background process and waits for its end. The number may belong to another process by now; only one that runs
 * our script is ended. Where the system does not show the arguments of a process, the missing folder ends it within a
 * second. Tells whether it still ran.
 */
export function endProcess(pid: number): boolean {
  const mark = pid > 1 && isOurs(pid) ? markProcess(pid) : undefined;
  if (mark === undefined) {
    return canTell() ? false : markProcess(pid) !== undefined;
  }
  signal(pid, 'SIGTERM');
  const start = performance.now();
  while (isRunning(mark)) {
    if (performance.now() - start > GRACE_MS) {
      signal(pid, 'SIGKILL');
      break;
    }
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
  }
  return true;
}

function isOurs(pid: number): boolean {
  return readProc(pid, 'cmdline')?.includes(SCRIPT) ?? false;
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
