import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { isMarked } from '../agent/orphans.ts';

/** A process as /proc shows it. */
export interface SeenProcess {
  readonly pid: number;
  readonly arguments: readonly string[];
  /** The environment that it was started in, as `NAME=value`. */
  readonly environment: readonly string[];
}

/** The processes that carry a job's mark, without those that have ended and are only waited for. */
export function processesOf(lookupId: string): SeenProcess[] {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .flatMap((entry) => seen(Number(entry)) ?? [])
    .filter((process) => isMarked(process.environment, process.arguments, lookupId));
}

/** The background processes of a job. */
export function refreshersOf(lookupId: string): SeenProcess[] {
  return processesOf(lookupId).filter((process) => process.arguments.some((one) => one.endsWith('background.js')));
}

/** The processes of a job that run a stage of the task, or what a stage left running. */
export function taskProcessesOf(lookupId: string): SeenProcess[] {
  return processesOf(lookupId).filter((process) =>
    process.arguments.some((one) => /EntraTokenV1[/\\][a-z-]+\.js$/.test(one)),
  );
}

/** A process by its number; undefined where it has ended, or may not be looked at. */
export function seen(pid: number): SeenProcess | undefined {
  try {
    const list = (file: string): string[] =>
      readFileSync(`/proc/${pid}/${file}`, 'utf8')
        .split('\0')
        .filter((text) => text !== '');
    const environment = list('environ');
    return environment.length === 0 ? undefined : { pid, arguments: list('cmdline'), environment };
  } catch {
    return undefined;
  }
}

/** Peak and present memory in KiB, and processor time in clock ticks. Throws where the process has ended. */
export function useOf(pid: number): { readonly rssKiB: number; readonly ticks: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return { rssKiB: Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]), ticks: Number(fields[11]) + Number(fields[12]) };
}

/** Far more than anything needs that is waited for, so that a busy machine does not decide. Milliseconds. */
export const PATIENCE_MS = 120_000;

/** Waits until something holds; false where it does not within the time. It is looked at once more at the end. */
export async function within(milliseconds: number, holds: () => boolean): Promise<boolean> {
  const end = performance.now() + milliseconds;
  while (!holds()) {
    if (performance.now() > end) return holds();
    await sleep(20);
  }
  return true;
}
