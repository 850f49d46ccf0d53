import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import type { Readable } from 'node:stream';
import type { Program, StartedProcess } from './machine.ts';

export type StreamName = 'stdout' | 'stderr';

/** A program that a step runs, and what the agent wants to hear of it. */
export interface ProcessRequest extends Program {
  /** Starts it where that is not this machine. */
  start?: ((program: Program) => Promise<StartedProcess>) | undefined;
  /** Each line of either stream, without its end. */
  onLine: (line: string, stream: StreamName) => void;
  /** The text as it comes, before it is split. */
  onText: (text: string, stream: StreamName) => void;
  onStart: (pid: number, terminate: () => void) => void;
  /** Ends the process: SIGINT, SIGTERM, SIGKILL, each to that process alone. */
  cancel: AbortSignal;
  /** Stops waiting for the process, and lets it be. */
  abandon: AbortSignal;
  waits: Waits;
}

/** In milliseconds. */
export interface Waits {
  /** From SIGINT to SIGTERM. */
  interruptMs: number;
  /** From SIGTERM to SIGKILL. */
  terminateMs: number;
  /** For streams that a child still holds after the process has ended. */
  streamMs: number;
}

/**
 * Runs a program to its end and returns its exit code: 128 and the signal's number where a signal ended it, null where
 * it was abandoned. Rejects where it cannot be started (agent: ProcessInvoker.cs).
 */
export async function runProcess(request: ProcessRequest): Promise<number | null> {
  const { file, args, cwd, env, waits, cancel, abandon, start } = request;
  const child: StartedProcess =
    start === undefined ? spawn(file, args, { cwd, env, stdio: 'pipe' }) : await start({ file, args, cwd, env });
  child.stdin.on('error', () => {}).end();

  let dropped = false;
  const finishLines = [
    readLines(
      child.stdout,
      (text) => request.onText(text, 'stdout'),
      (line) => request.onLine(line, 'stdout'),
    ),
    readLines(
      child.stderr,
      (text) => request.onText(text, 'stderr'),
      (line) => request.onLine(line, 'stderr'),
    ),
  ];
  function readLines(stream: Readable, onText: (text: string) => void, onLine: (line: string) => void): () => void {
    const lines = lineReader((line) => {
      if (!dropped) onLine(line);
    });
    stream.setEncoding('utf8').on('data', (text: string) => {
      onText(text);
      lines.write(text);
    });
    stream.on('error', () => {});
    return () => lines.end();
  }

  if (child.pid !== undefined) {
    preferAsVictim(child.pid);
    request.onStart(child.pid, () => (child.terminate ? child.terminate() : child.kill('SIGKILL')));
  }

  const over = new AbortController();
  const ended = new Promise<number>((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', (code, signal) => {
      const exitCode = code ?? 128 + (signal === null ? 0 : constants.signals[signal]);
      const timer = setTimeout(() => resolve(exitCode), waits.streamMs);
      child.on('close', () => {
        clearTimeout(timer);
        resolve(exitCode);
      });
    });
  });
  const abandoned = whenAborted(abandon, over.signal).then(() => null);
  void endProcess(child.kill.bind(child), cancel, over.signal, waits);

  try {
    const exitCode = await Promise.race([ended, abandoned]);
    for (const finish of finishLines) finish();
    return exitCode;
  } finally {
    dropped = true;
    over.abort();
    ended.catch(() => {});
    if (child.exitCode === null && child.signalCode === null) {
      child.unref();
    } else {
      child.stdout.destroy();
      child.stderr.destroy();
    }
  }
}

async function endProcess(
  kill: (signal: NodeJS.Signals) => boolean,
  cancel: AbortSignal,
  over: AbortSignal,
  waits: Waits,
): Promise<void> {
  await whenAborted(cancel, over);
  if (over.aborted) return;
  kill('SIGINT');
  await pause(waits.interruptMs, over);
  if (over.aborted) return;
  kill('SIGTERM');
  await pause(waits.terminateMs, over);
  if (!over.aborted) kill('SIGKILL');
}

/** Waits until either signal is aborted. */
function whenAborted(signal: AbortSignal, over: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted || over.aborted) resolve();
    signal.addEventListener('abort', () => resolve(), { once: true, signal: over });
    over.addEventListener('abort', () => resolve(), { once: true });
  });
}

/** Waits some milliseconds, or until the signal is aborted. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const timer = setTimeout(resolve, ms);
    signal.addEventListener(
      'abort',
      () => {
        clearTimeout(timer);
        resolve();
      },
      { once: true },
    );
  });
}

/** Splits text into lines that end in CR, LF or both, as .NET's StreamReader.ReadLine; an open last line counts. */
export function lineReader(onLine: (line: string) => void): { write(text: string): void; end(): void } {
  let open = '';
  let afterReturn = false;
  return {
    write(text) {
      let rest = text;
      if (afterReturn && rest !== '') {
        afterReturn = false;
        if (rest.startsWith('\n')) rest = rest.slice(1);
      }
      afterReturn ||= rest.endsWith('\r');
      const lines = (open + rest).split(/\r\n|\r|\n/);
      open = lines.pop() ?? '';
      for (const line of lines) onLine(line);
    },
    end() {
      if (open !== '') onLine(open);
      open = '';
    },
  };
}

/** When memory runs out, Linux is to end the step and not the agent. */
function preferAsVictim(pid: number): void {
  if (process.platform !== 'linux') return;
  try {
    writeFileSync(`/proc/${pid}/oom_score_adj`, '500');
  } catch {
    // Best effort: the process may be gone already.
  }
}
