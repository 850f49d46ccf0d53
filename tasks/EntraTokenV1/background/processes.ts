import { readFileSync } from 'node:fs';
import { isWorker } from './worker.ts';

/** A process that can be recognised although the system reuses process IDs. */
export interface ProcessMark {
  readonly pid: number;
  /** When it started, in the system's own ticks; undefined where the system has no /proc. */
  readonly startTime: string | undefined;
}

/** Identifies a running process; undefined if there is none with this ID. */
export function markProcess(pid: number): ProcessMark | undefined {
  const stat = readStat(pid);
  if (stat !== undefined) {
    return stat.state === 'Z' ? undefined : { pid, startTime: stat.startTime };
  }
  return showsProcesses() ? undefined : isSignalable(pid) ? { pid, startTime: undefined } : undefined;
}

/** True while that same process runs; a zombie does not run. */
export function isRunning(mark: ProcessMark): boolean {
  const now = markProcess(mark.pid);
  return now !== undefined && now.startTime === mark.startTime;
}

/** The process whose end means that the job has ended. */
export interface JobMark {
  readonly agent: ProcessMark;
  /** Within this time after the step, it may end although the job goes on. Milliseconds. */
  readonly withStepMs: number;
}

/**
 * In a job container, and where the agent has no parent process, it may be what `docker exec` started, which ends
 * with the step and not with the job. Milliseconds.
 */
const CONTAINER_MS = 5000;

/**
 * Where no process can be looked at, it may be a script around Node, unless it has the name of the agent's worker
 * (worker.ts). Short, for an agent may die as well. Milliseconds.
 */
const SCRIPT_MS = 1000;

/**
 * Finds the agent above a step: the nearest process that does not carry the mark which the agent puts on every process
 * of the job (VSTS_PROCESS_LOOKUP_ID; on the agent's own processes it is missing). Gives undefined where the process
 * that started the step is gone. Without /proc, that process is taken for the agent; and where what started the step is
 * outside of this container and cannot be seen (number 0), the container's first process, which ends with the container.
 * @param parent the number of the process that started the step
 * @param lookupId the mark, where the job has one
 * @param inContainer true where the step runs in a job container
 * @param systemRoot where Windows is, as the machine says
 */
export async function findAgent(
  parent: number,
  lookupId: string | undefined,
  inContainer: boolean,
  systemRoot: string | undefined,
): Promise<JobMark | undefined> {
  for (let pid = parent || 1; pid > 0; ) {
    const mark = markProcess(pid);
    if (mark === undefined) {
      return undefined;
    }
    const above = readStat(pid)?.parent;
    if (lookupId === undefined || above === undefined || above <= 1 || !carries(pid, lookupId)) {
      if (inContainer || above === 0) {
        return { agent: mark, withStepMs: CONTAINER_MS };
      }
      const mayBeScript = above === undefined && !(await isWorker(pid, systemRoot));
      return { agent: mark, withStepMs: mayBeScript ? SCRIPT_MS : 0 };
    }
    pid = above;
  }
  return undefined;
}

/**
 * What Linux shows of a process; undefined where there is none, or it may not be seen. On Windows the path would lead to a
 * folder of some drive, and anyone may have made it.
 */
export function readProc(pid: number, name: 'cmdline' | 'environ' | 'stat'): string | undefined {
  try {
    return process.platform === 'win32' ? undefined : readFileSync(`/proc/${pid}/${name}`, 'latin1');
  } catch {
    return undefined;
  }
}

function carries(pid: number, lookupId: string): boolean {
  return readProc(pid, 'environ')?.split('\0').includes(`VSTS_PROCESS_LOOKUP_ID=${lookupId}`) ?? false;
}

interface Stat {
  readonly state: string;
  readonly parent: number;
  readonly startTime: string;
}

/** Fields 3, 4 and 22 of /proc/<pid>/stat; the name in field 2 may hold blanks and brackets itself (proc(5)). */
function readStat(pid: number): Stat | undefined {
  const text = readProc(pid, 'stat');
  const fields = text?.slice(text.lastIndexOf(')') + 2).split(' ');
  return fields && { state: fields[0] ?? '', parent: Number(fields[1]), startTime: fields[19] ?? '' };
}

/** Whether the system is a Linux that shows its processes; neither Windows nor macOS does. */
export function showsProcesses(): boolean {
  return readStat(process.pid) !== undefined;
}

function isSignalable(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}
