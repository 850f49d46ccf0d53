import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** The variable by which the agent finds the processes of a job. */
export const LOOKUP_ID = 'VSTS_PROCESS_LOOKUP_ID';

export interface ProcessName {
  pid: number;
  name: string;
}

/** A process as the system shows it. */
export interface SeenProcess extends ProcessName {
  readonly arguments: readonly string[];
  /** The environment that it was started in, as `NAME=value`. */
  readonly environment: readonly string[];
}

/** Why tests that look at processes are not run here; false where they are. */
export const unseenProcesses: string | false =
  process.platform === 'win32' && 'Windows shows nobody what is in the environment of a process';

/** All processes that can be seen, without those that have ended and are only waited for; on Windows none. */
export function seeProcesses(): SeenProcess[] {
  if (process.platform === 'win32') return [];
  if (!hasProc()) return readPs(spawnSync('ps', PS, { encoding: 'utf8', maxBuffer: 2 ** 26 }).stdout);
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .flatMap((entry) => seeProcess(Number(entry)) ?? []);
}

/** A process by its number; undefined where it has ended, or may not be looked at. */
export function seeProcess(pid: number): SeenProcess | undefined {
  if (!hasProc()) return seeProcesses().find((process) => process.pid === pid);
  const name = read(`/proc/${pid}/comm`)?.trim();
  const environment = listOf(pid, 'environ');
  return name === undefined || environment.length === 0
    ? undefined
    : { pid, name, arguments: listOf(pid, 'cmdline'), environment };
}

/** Whether the system shows its processes as files; macOS does not. */
export function hasProc(): boolean {
  return existsSync('/proc/self');
}

/** All processes, whole lines, each with its environment (macOS: ps). */
const PS = ['-axww', '-E', '-o', 'pid=,command='];

/**
 * What `ps` of macOS prints: a number, the arguments and, where it is the same user's, the environment, all with blanks
 * between them. What has the form of a variable, and all that follows it, is taken for the environment.
 */
export function readPs(text: string): SeenProcess[] {
  return text.split('\n').flatMap((line) => {
    const [, pid, command = ''] = /^ *(\d+) (.*)$/.exec(line) ?? [];
    if (pid === undefined) return [];
    const words = command.split(' ').filter((word) => word !== '');
    const first = words.findIndex((word, index) => index > 0 && /^[A-Za-z_]\w*=/.test(word));
    const end = first < 0 ? words.length : first;
    const name = (words[0] ?? '').split('/').at(-1) ?? '';
    return [{ pid: Number(pid), name, arguments: words.slice(0, end), environment: words.slice(end) }];
  });
}

/** All processes that can be seen, by name. */
export function listProcesses(): ProcessName[] {
  return seeProcesses().map(({ pid, name }) => ({ pid, name }));
}

/**
 * Kills, without grace, each process that carries the job's lookup ID and was not there before; its own children only
 * if they carry the ID too. Calls `onKill` before each (agent: JobExtension.cs, FinalizeJob).
 */
export function killOrphans(
  lookupId: string,
  before: readonly ProcessName[],
  onKill: (orphan: ProcessName) => void,
): ProcessName[] {
  const known = new Set(before.map(({ pid, name }) => `${pid}_${name}`));
  const orphans = seeProcesses()
    .filter((one) => !known.has(`${one.pid}_${one.name}`) && isMarked(one.environment, one.arguments, lookupId))
    .map(({ pid, name }) => ({ pid, name }));
  for (const orphan of orphans) {
    onKill(orphan);
    try {
      process.kill(orphan.pid, 'SIGKILL');
    } catch {
      // It ended by itself in between.
    }
  }
  return orphans;
}

/** How long Linux may go on showing a process that Wine has ended. Milliseconds. */
const WINE_MS = 3000;

/** Waits until no process with the mark is there, and not for ever: what stays is an orphan. */
export async function untilEnded(lookupId: string): Promise<void> {
  const isThere = (): boolean => seeProcesses().some((one) => isMarked(one.environment, one.arguments, lookupId));
  for (const end = performance.now() + WINE_MS; isThere() && performance.now() < end; ) await sleep(50);
}

/**
 * Whether a process carries the mark of a job. Under Wine the environment that Linux shows is that of the worker, handed on
 * to everything below it, its consoles and servers among them; there it is the task's own programs that count.
 */
export function isMarked(environment: readonly string[], commandLine: readonly string[], lookupId: string): boolean {
  const isWine = environment.some((entry) => entry.startsWith('WINEPREFIX='));
  return environment.includes(`${LOOKUP_ID}=${lookupId}`) && (!isWine || WINDOWS_PROGRAMS.test(commandLine[0] ?? ''));
}

const WINDOWS_PROGRAMS = /\\(node|icacls)\.exe$/;

function listOf(pid: number, name: 'environ' | 'cmdline'): string[] {
  return (read(`/proc/${pid}/${name}`)?.split('\0') ?? []).filter((text) => text !== '');
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
