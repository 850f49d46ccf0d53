import { readFileSync } from 'node:fs';

/** A process that can be recognised again although the system reuses numbers. */
export interface ProcessMark {
  readonly pid: number;
  /** When it started, in the system's own ticks; undefined where the system has no /proc. */
  readonly startTime: string | undefined;
}

/** Marks a running process; undefined where there is none with this number. */
export function markProcess(pid: number): ProcessMark | undefined {
  const stat = readStat(pid);
  if (stat !== undefined) {
    return stat.state === 'Z' ? undefined : { pid, startTime: stat.startTime };
  }
  return hasProc() ? undefined : isSignalable(pid) ? { pid, startTime: undefined } : undefined;
}

/** True while that very process runs; a zombie no longer does. */
export function isRunning(mark: ProcessMark): boolean {
  const now = markProcess(mark.pid);
  return now !== undefined && now.startTime === mark.startTime;
}

/** The processes above this one, nearest first, without the first process of the system or container. */
export function ancestorsOf(parent: number): ProcessMark[] {
  const ancestors: ProcessMark[] = [];
  for (let pid = parent; pid > 1 && ancestors.length < 32; pid = readStat(pid)?.parent ?? 0) {
    const mark = markProcess(pid);
    if (mark === undefined) {
      break;
    }
    ancestors.push(mark);
  }
  return ancestors;
}

interface Stat {
  readonly state: string;
  readonly parent: number;
  readonly startTime: string;
}

/** Fields 3, 4 and 22 of /proc/<pid>/stat; the name in field 2 may hold blanks and brackets itself (proc(5)). */
function readStat(pid: number): Stat | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return { state: fields[0] ?? '', parent: Number(fields[1]), startTime: fields[19] ?? '' };
  } catch {
    return undefined;
  }
}

function hasProc(): boolean {
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
