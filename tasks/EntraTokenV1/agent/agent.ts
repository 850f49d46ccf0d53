import { Writable } from 'node:stream';
import { Failure } from '../failure/failure.ts';
import { environmentName } from '../origins/environment.ts';
import type { Origins } from '../origins/origins.ts';
import { isRecord } from '../text/json.ts';
import { PieceGuard } from '../text/piece-guard.ts';
import { printableForms, Secret } from '../text/secret.ts';
import { printable } from '../text/text.ts';

type TaskLib = typeof import('azure-pipelines-task-lib/task.js');

/** A service connection as the agent hands it to the step. */
export interface Endpoint {
  readonly scheme: string;
  /** An authorization parameter; its name without regard to case. */
  parameter(name: string): string | undefined;
  /** A data value; its name without regard to case. */
  data(name: string): string | undefined;
}

/** Everything that the task reads from the pipeline agent, and everything that it tells the agent. */
export interface Agent {
  /** An input with the blanks around it removed; empty where it is not set. Throws ET_VARIABLE_REFUSED. */
  input(name: string): string;
  /**
   * A variable of the job. One of the agent's or the server's, such as `Agent.ProxyUrl`, counts only under its own
   * name: what has merely the same name in the environment (`Agent_ProxyUrl`) is ignored, with a line in the log.
   * Throws ET_VARIABLE_REFUSED where both exist, because then the origin of the value is unknown.
   */
  variable(name: string): string | undefined;
  /** A variable whose value must not be printed; it is masked before it is returned. */
  secretVariable(name: string): string | undefined;
  /** Where the values of the step come from, and what its environment holds. */
  readonly origins: Origins;
  /** A connection. Throws ET_VARIABLE_REFUSED where a variable may replace a part of it. */
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
  /** Sets a variable that only the later stages of this step see. */
  setTaskVariable(name: string, value: string): void;
  /** Prints a line; what could be taken for a command is broken up. */
  log(line: string): void;
  /** Prints lines that the log shows under a title, collapsed. */
  logGroup(title: string, lines: readonly string[]): void;
  warn(message: string): void;
  succeed(): void;
  /** Ends the step with one error. */
  fail(failure: Failure): void;
}

/** A longer line is not one of ours, and is cut. A command that is cut would be worse than a long one. Characters. */
const LONGEST_LINE = 16_000;

/**
 * Loads azure-pipelines-task-lib, which only this file imports, and returns the agent behind it. The library reads the whole
 * environment while it is loaded.
 * @param origins as they were before the library was loaded
 * @param withheld variables that the library was not to see, by their names
 */
export async function pipelineAgent(origins: Origins, withheld: ReadonlyMap<string, string>): Promise<Agent> {
  const tl = await import('azure-pipelines-task-lib/task.js');
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
  // Node itself prints what it sends, headers included, if NODE_DEBUG says so.
  const writeError: (chunk: string | Uint8Array) => boolean = process.stderr.write.bind(process.stderr);
  process.stderr.write = (chunk: string | Uint8Array): boolean =>
    writeError(typeof chunk === 'string' ? pieces.clean(chunk) : chunk);
  const log = (line: string): void => {
    process.stdout.write(`${safe(line, LONGEST_LINE)}\n`);
  };
  const refuseImpostors = (key: string, what: string): void => {
    const names = origins.impostors(key);
    if (names.length > 0) {
      throw new Failure('ET_VARIABLE_REFUSED', `${variablesNamed(names)} could replace ${what}.`);
    }
  };
  const passedOver = new Set<string>();
  const counts = (name: string): boolean => {
    const standing = name.includes('.') ? origins.standing(name) : 'whole';
    if (standing === 'mixed') {
      const names = origins.impostors(environmentName(name));
      throw new Failure('ET_VARIABLE_REFUSED', `${variablesNamed(names)} have the same name in the environment.`);
    }
    if (standing === 'foreign' && !passedOver.has(name)) {
      passedOver.add(name);
      log(`${variablesNamed(origins.impostors(environmentName(name)))} is not ${name}, and is ignored.`);
    }
    return standing === 'whole';
  };
  return {
    input: (name) => {
      refuseImpostors(`INPUT_${environmentName(name)}`, `the input ${name}`);
      return (tl.getInput(name) ?? '').trim();
    },
    variable: (name) => (counts(name) ? (withheld.get(name) ?? (tl.getVariable(name) || undefined)) : undefined),
    secretVariable: (name) => {
      const value = counts(name) ? (withheld.get(name) ?? (readSilently(tl, name)?.trim() || undefined)) : undefined;
      if (value !== undefined && !/[\r\n]/.test(value)) {
        mask(value);
        guard(value);
      }
      return value;
    },
    origins,
    endpoint: (id) => {
      for (const part of ['AUTH', 'DATA']) {
        refuseImpostors(`ENDPOINT_${part}_${id}`, `a part of the connection ${printable(id, 60)}`);
      }
      return readEndpoint(tl, id, origins);
    },
    endpointUrl: (id) => {
      refuseImpostors(`ENDPOINT_URL_${id}`, `the address of the connection ${printable(id, 60)}`);
      return tl.getEndpointUrl(id, true) || undefined;
    },
    mask,
    guard,
    setOutput: (name, value) =>
      value instanceof Secret
        ? tl.setVariable(name, value.reveal(), true, true)
        : // The library would take it for a secret where the job has a secret variable of that name.
          tl.command('task.setvariable', { variable: name, isOutput: 'true', issecret: 'false' }, value),
    setVariable: (name, value) => tl.setVariable(name, value),
    setTaskVariable: (name, value) => tl.setTaskVariable(name, value),
    log,
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
function readSilently(tl: TaskLib, name: string): string | undefined {
  tl.setStdStream(new Writable({ write: (_chunk, _encoding, done) => done() }));
  try {
    return tl.getVariable(name);
  } finally {
    tl.setStdStream(process.stdout);
  }
}

/**
 * The library's accessor for one authorization parameter writes its value to the debug log; the one for the whole
 * authorization does not, but its error for text that is not JSON contains that text, so the error is dropped. Its
 * accessor for one data value falls back to a variable `ENDPOINT_DATA_…`; the JSON of all data has only what the
 * connection has.
 */
function readEndpoint(tl: TaskLib, id: string, origins: Origins): Endpoint | undefined {
  let authorization: unknown;
  try {
    authorization = tl.getEndpointAuthorization(id, true);
  } catch {
    return undefined;
  }
  if (!isRecord(authorization)) {
    return undefined;
  }
  const parameters = texts(authorization['parameters']);
  const data = texts(parse(origins.endpointData(id)));
  return {
    scheme: typeof authorization['scheme'] === 'string' ? authorization['scheme'] : '',
    parameter: (name) => parameters.get(name.toLowerCase()),
    data: (name) => data.get(name.toLowerCase()),
  };
}

/** The texts of an object that are not empty, by their names in lower case. */
function texts(value: unknown): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const [name, text] of Object.entries(isRecord(value) ? value : {})) {
    if (typeof text === 'string' && text !== '') {
      found.set(name.toLowerCase(), text);
    }
  }
  return found;
}

function parse(json: string | undefined): unknown {
  try {
    return JSON.parse(json ?? '');
  } catch {
    return undefined;
  }
}

function variablesNamed(names: readonly string[]): string {
  const shown = names.map((name) => printable(name, 80)).join(', ');
  return names.length === 1 ? `The pipeline variable ${shown}` : `The pipeline variables ${shown}`;
}
