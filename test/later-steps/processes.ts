import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { hasProc, isMarked, type SeenProcess, seeProcesses } from '../agent/orphans.ts';

export { hasProc, type SeenProcess, seeProcess as seen, unseenProcesses } from '../agent/orphans.ts';

/** The processes that carry a job's mark, without those that have ended and are only waited for. */
export function processesOf(lookupId: string): SeenProcess[] {
  return seeProcesses().filter((process) => isMarked(process.environment, process.arguments, lookupId));
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

/** Present memory in KiB, and processor time in hundredths of a second. Throws where the process has ended. */
export function useOf(pid: number): { readonly rssKiB: number; readonly ticks: number } {
  if (!hasProc()) return useByPs(pid);
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return { rssKiB: Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]), ticks: Number(fields[11]) + Number(fields[12]) };
}

/** The same as macOS tells it: `29184   0:00.21`. */
function useByPs(pid: number): ReturnType<typeof useOf> {
  const { stdout } = spawnSync('ps', ['-o', 'rss=,time=', '-p', String(pid)], { encoding: 'utf8' });
  const [, rss, minutes, seconds] = /^ *(\d+) +(?:\d+:)*?(\d+):([\d.]+)/.exec(stdout) ?? [];
  if (rss === undefined) throw new Error(`there is no process ${pid}`);
  return { rssKiB: Number(rss), ticks: Math.round((Number(minutes) * 60 + Number(seconds)) * 100) };
}

/** Far more than anything needs that is waited for, so that a busy machine does not decide. Milliseconds. */
export const PATIENCE_MS = 120_000;

/** Waits until something holds; false where it does not within the time. It is looked at once more at the end. */
export async function within(milliseconds: number, holds: () => boolean): Promise<boolean> {
  const end = performance.now() + milliseconds;
  while (!holds()) {
    if (performance.now() > end) return holds();
    // `ps` is a program of its own.
    await sleep(hasProc() ? 20 : 200);
  }
  return true;
}
