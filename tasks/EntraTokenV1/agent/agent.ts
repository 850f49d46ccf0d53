import { Writable } from 'node:stream';
import * as tl from 'azure-pipelines-task-lib/task.js';
import type { Failure } from '../failure/failure.ts';
import type { Origins } from '../origins/origins.ts';
import { isRecord } from '../text/json.ts';
import { PieceGuard } from '../text/piece-guard.ts';
import { printableForms, Secret } from '../text/secret.ts';
import { printable } from '../text/text.ts';

/** A service connection as the agent hands it to the step. */
export interface Endpoint {
  readonly scheme: string;
  /** An authorization parameter; its name without regard to case. */
  parameter(name: string): string | undefined;
  /** A data value; its name without regard to case. */
  data(name: string): string | undefined;
}

/** All that the task asks of the pipeline agent, and all that it tells it. */
export interface Agent {
  /** An input with the blanks around it removed; empty where it is not set. */
  input(name: string): string;
  variable(name: string): string | undefined;
  /** A variable whose value must not be printed; it is masked before it is handed out. */
  secretVariable(name: string): string | undefined;
  /** Where the values of the step come from, and what its environment holds. */
  readonly origins: Origins;
  endpoint(id: string): Endpoint | undefined;
  endpointUrl(id: string): string | undefined;
  /** Has a text replaced in all that is printed from now on. */
  mask(text: string): void;
  /** The same within this task alone, for a secret that the agent knows already; pieces of it count as well. */
  guard(secret: string): void;
  /** Sets a variable that later steps and jobs read as `$(step.name)`. */
  setOutput(name: string, value: string | Secret): void;
  /** Sets a variable that later steps of the job read as `$(name)` and find in their environment. */
  setVariable(name: string, value: string): void;
  /** A variable that an earlier attempt at this step set for its later stages. */
  taskVariable(name: string): string | undefined;
  /** Sets a variable that only the later stages of this step see. */
  setTaskVariable(name: string, value: string): void;
  /** Prints a line; what could be taken for a command is broken up. */
  log(line: string): void;
  /** Prints lines that the log shows under a title, closed until somebody opens them. */
  logGroup(title: string, lines: readonly string[]): void;
  warn(message: string): void;
  succeed(): void;
  /** Ends the step with one error. */
  fail(failure: Failure): void;
}

/** What is longer is no line of ours. Half a command would be worse than a long one. Characters. */
const LONGEST_LINE = 16_000;

/**
 * The agent behind azure-pipelines-task-lib, whose one door this is.
 * @param origins as they were before the library was loaded
 * @param withheld variables that the library was not to see, by their names
 */
export function pipelineAgent(origins: Origins, withheld: ReadonlyMap<string, string>): Agent {
  // The library's own handlers print the message and stack of whatever was thrown, which may quote a secret.
  process.removeAllListeners('uncaughtException');
  process.removeAllListeners('unhandledRejection');
  const masked = new Set<string>();
  const pieces = new PieceGuard();
  const mask = (text: string): void => {
    if (!masked.has(text)) {
      masked.add(text);
      pieces.add(text);
      tl.setSecret(text);
    }
  };
  const guard = (secret: string): void => {
    for (const form of [...printableForms(secret), Buffer.from(secret).toString('hex')]) {
      pieces.add(form);
    }
  };
  const safe = (line: string, longest: number): string => pieces.clean(printable(line, longest));
  return {
    input: (name) => (tl.getInput(name) ?? '').trim(),
    variable: (name) => withheld.get(name) ?? (tl.getVariable(name) || undefined),
    secretVariable: (name) => {
      const value = withheld.get(name) ?? (readSilently(name)?.trim() || undefined);
      if (value !== undefined && !/[\r\n]/.test(value)) {
        mask(value);
        guard(value);
      }
      return value;
    },
    origins,
    endpoint: readEndpoint,
    endpointUrl: (id) => tl.getEndpointUrl(id, true) || undefined,
    mask,
    guard,
    setOutput: (name, value) =>
      value instanceof Secret
        ? tl.setVariable(name, value.reveal(), true, true)
        : // The library would take it for a secret where the job has a secret variable of that name.
          tl.command('task.setvariable', { variable: name, isOutput: 'true', issecret: 'false' }, value),
    setVariable: (name, value) => tl.setVariable(name, value),
    taskVariable: (name) => tl.getTaskVariable(name) || undefined,
    setTaskVariable: (name, value) => tl.setTaskVariable(name, value),
    log: (line) => {
      process.stdout.write(`${safe(line, LONGEST_LINE)}\n`);
    },
    logGroup: (title, lines) => {
      const inside = [title, ...lines].map((line) => safe(line, 4000)).join('\n');
      process.stdout.write(`##[group]${inside}\n##[endgroup]\n`);
    },
    warn: (message) => tl.command('task.logissue', { type: 'warning' }, safe(message, 4000)),
    succeed: () => tl.command('task.complete', { result: 'Succeeded' }, ''),
    fail: (failure) => {
      for (const line of failure.lines) {
        process.stdout.write(`${safe(line, LONGEST_LINE)}\n`);
      }
      const line = safe(failure.line(), LONGEST_LINE);
      tl.command('task.logissue', { type: 'error', code: failure.code }, line);
      tl.command('task.complete', { result: 'Failed' }, line);
    },
  };
}

/** The library writes each variable that it reads to the debug log, the secret ones too. */
function readSilently(name: string): string | undefined {
  tl.setStdStream(new Writable({ write: (_chunk, _encoding, done) => done() }));
  try {
    return tl.getVariable(name);
  } finally {
    tl.setStdStream(process.stdout);
  }
}

/**
 * The library's accessor for one authorization parameter writes its value to the debug log; the one for the whole
 * authorization does not, but its error for text that is no JSON holds that text, so nothing of it is passed on.
 */
function readEndpoint(id: string): Endpoint | undefined {
  let authorization: unknown;
  try {
    authorization = tl.getEndpointAuthorization(id, true);
  } catch {
    return undefined;
  }
  if (!isRecord(authorization)) {
    return undefined;
  }
  const parameters = new Map<string, string>();
  for (const [name, value] of Object.entries(
    isRecord(authorization['parameters']) ? authorization['parameters'] : {},
  )) {
    if (typeof value === 'string' && value !== '') {
      parameters.set(name.toLowerCase(), value);
    }
  }
  return {
    scheme: typeof authorization['scheme'] === 'string' ? authorization['scheme'] : '',
    parameter: (name) => parameters.get(name.toLowerCase()),
    data: (name) => tl.getEndpointDataParameter(id, name, true) || undefined,
  };
}
