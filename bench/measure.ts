import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';

/** A process to measure. */
export interface Command {
  readonly file: string;
  readonly args: readonly string[];
  readonly folder: string;
  readonly environment: Readonly<Record<string, string>>;
}

/** What a whole process took, from its start to its end. */
export interface Times {
  readonly wallMs: number;
  /** User and system time of all its threads. */
  readonly processorMs: number;
  readonly output: string;
}

/** The shell's own clock: it counts from the fork to the end, and gets the processor time from the kernel. */
const TIMED = 'TIMEFORMAT="%3R %3U %3S"; { time "$@" 2>&4; } 4>&2 2>&3';

/** Runs a command to its end. Throws where it ends with another code than 0. */
export async function time(command: Command): Promise<Times> {
  const child = spawn('bash', ['--noprofile', '--norc', '-c', TIMED, 'bash', command.file, ...command.args], {
    cwd: command.folder,
    env: command.environment,
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
  });
  const [output, errors, report, [code]] = await Promise.all([
    text(child.stdio[1]),
    text(child.stdio[2]),
    text(child.stdio[3]),
    once(child, 'close'),
  ]);
  const [wall, user, system] = report.trim().split(' ').map(Number);
  if (code !== 0 || wall === undefined || user === undefined || system === undefined) {
    throw new Error(`${command.args.join(' ')} ended with ${code}:\n${output}${errors}${report}`);
  }
  return { wallMs: wall * 1000, processorMs: (user + system) * 1000, output };
}

const GNU_TIME = '/usr/bin/time';

/** The largest resident memory that a command ever had, in KiB. Throws where it ends with another code than 0. */
export async function peakMemory(command: Command): Promise<number> {
  const measured = existsSync(GNU_TIME)
    ? { file: GNU_TIME, args: ['-f', '\n%M', command.file, ...command.args] }
    : { file: command.file, args: command.args };
  const child = spawn(measured.file, measured.args, {
    cwd: command.folder,
    env: command.environment,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let polled = 0;
  const timer = setInterval(() => {
    polled = highWater(child.pid ?? 0) ?? polled;
  }, 2);
  const [output, errors, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  clearInterval(timer);
  if (code !== 0) {
    throw new Error(`${command.args.join(' ')} ended with ${code}:\n${output}${errors}`);
  }
  return measured.file === GNU_TIME ? Number(errors.trim().split('\n').at(-1)) : polled;
}

/** What a running process holds now, and the most that it ever held, in KiB. Throws where there is none. */
export function residentMemory(pid: number): { readonly resident: number; readonly peak: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1');
  return { resident: field(status, 'VmRSS'), peak: field(status, 'VmHWM') };
}

function field(status: string, name: string): number {
  return Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]);
}

/** The kernel's record of the largest resident memory of a running process, in KiB. */
function highWater(pid: number): number | undefined {
  try {
    return residentMemory(pid).peak;
  } catch {
    return undefined;
  }
}

async function text(stream: NodeJS.ReadableStream | NodeJS.WritableStream | null | undefined): Promise<string> {
  let all = '';
  if (stream !== null && stream !== undefined && 'read' in stream) {
    stream.setEncoding('utf8');
    for await (const chunk of stream) {
      all += String(chunk);
    }
  }
  return all;
}

/** The middle of some figures and the quarters beside it. */
export interface Spread {
  readonly median: number;
  readonly lower: number;
  readonly upper: number;
}

/** Median and quartiles, between neighbours in proportion. Throws for no figures. */
export function spread(figures: readonly number[]): Spread {
  const sorted = figures.toSorted((a, b) => a - b);
  const at = (part: number): number => {
    const place = part * (sorted.length - 1);
    const [low, high] = [sorted[Math.floor(place)], sorted[Math.ceil(place)]];
    if (low === undefined || high === undefined) {
      throw new RangeError('no figures');
    }
    return low + (high - low) * (place - Math.floor(place));
  };
  return { median: at(0.5), lower: at(0.25), upper: at(0.75) };
}
