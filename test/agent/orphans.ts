import { readdirSync, readFileSync } from 'node:fs';

/** The variable by which the agent finds the processes of a job. */
export const LOOKUP_ID = 'VSTS_PROCESS_LOOKUP_ID';

export interface ProcessName {
  pid: number;
  name: string;
}

/** All processes that can be seen. Only Linux is supported; elsewhere none are. */
export function listProcesses(): ProcessName[] {
  if (process.platform !== 'linux') return [];
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .flatMap((entry) => {
      const name = read(`/proc/${entry}/comm`)?.trim();
      return name === undefined ? [] : [{ pid: Number(entry), name }];
    });
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
  const orphans = listProcesses().filter(
    ({ pid, name }) =>
      !known.has(`${pid}_${name}`) && isMarked(listOf(pid, 'environ'), listOf(pid, 'cmdline'), lookupId),
  );
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
  return read(`/proc/${pid}/${name}`)?.split('\0') ?? [];
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
