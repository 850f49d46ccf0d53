import type { Readable, Writable } from 'node:stream';
import type { Environment } from './environment.ts';

/** A program to be run. */
export interface Program {
  file: string;
  args: string[];
  cwd: string;
  env: Environment;
}

/** A process that runs: what the agent uses of Node's ChildProcess. */
export interface StartedProcess {
  /** The number by which the machine of the agent knows it; absent where it could not be started. */
  readonly pid?: number | undefined;
  readonly exitCode: number | null;
  readonly signalCode: NodeJS.Signals | null;
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  kill(signal: NodeJS.Signals): boolean;
  /** Ends the process alone and at once, as somebody else than the agent may; by default with SIGKILL. */
  terminate?(): void;
  unref(): void;
  on(event: 'error', listener: (error: Error) => void): unknown;
  on(event: 'exit', listener: (code: number | null, signal: NodeJS.Signals | null) => void): unknown;
  on(event: 'close', listener: () => void): unknown;
}

/**
 * The machine that runs the Node of the tasks, where it is another than the one that runs the local agent: Windows, under
 * Wine. It shares the files of this one, and knows them by paths of its own.
 */
export interface Machine {
  /** `Agent.OS`. */
  readonly os: string;
  /** What a bare agent has in its environment there. */
  readonly environment: Environment;
  /** Node's binaries. */
  readonly node: { readonly node20: string; readonly node24: string };
  /** What a path of this machine is called there; anything else stays as it is. */
  pathThere(path: string): string;
  /** What a path of that machine is called here; anything else stays as it is. */
  pathHere(path: string): string;
  /**
   * Starts the agent's worker there, which starts the processes of one job.
   * @param lookupId the mark by which the processes of the job are found on this machine
   */
  openWorker(lookupId: string): Promise<Worker>;
}

/** Starts processes on a machine, and stands above them. */
export interface Worker {
  start(program: Program): Promise<StartedProcess>;
  /** Ends the worker, and nothing that it started. */
  close(): Promise<void>;
}
