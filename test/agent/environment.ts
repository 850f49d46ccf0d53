import { delimiter } from 'node:path';
import type { Machine } from './machine.ts';
import type { Variable, Variables } from './variables.ts';

/** A service connection as the job holds it. */
export interface Endpoint {
  /** What its environment variables end in: the connection's ID, or `SYSTEMVSSCONNECTION`. */
  key: string;
  name: string;
  system: boolean;
  url: string;
  scheme: string;
  parameters: Record<string, string>;
  data: Record<string, string>;
}

export type Environment = Record<string, string>;

/** The name that a variable, an input or a parameter has in the environment (agent: VarUtil.cs). */
function environmentName(name: string, preserveCase = false): string {
  const plain = name.replaceAll('.', '_').replaceAll(' ', '_');
  return preserveCase ? plain : plain.toUpperCase();
}

/** What a bare agent would have in its environment, and nothing else of the process that runs this. */
export function inheritedEnvironment(): Environment {
  const names =
    process.platform === 'win32'
      ? [
          'Path',
          'SystemRoot',
          'SystemDrive',
          'ComSpec',
          'PATHEXT',
          'TEMP',
          'TMP',
          'USERPROFILE',
          'APPDATA',
          'LOCALAPPDATA',
        ]
      : ['PATH', 'HOME', 'USER', 'LOGNAME', 'SHELL', 'LANG', 'LC_ALL', 'TZ', 'TMPDIR'];
  return Object.fromEntries(
    names.flatMap((name): [string, string][] => {
      const value = process.env[name];
      return value === undefined ? [] : [[name, value]];
    }),
  );
}

/** What the process of a task gets, beside what every step has. */
export interface TaskEnvironment {
  inputs: ReadonlyMap<string, string>;
  endpoints: readonly Endpoint[];
  taskVariables: Variables;
}

/** What every step has. */
export interface StepEnvironment {
  /** The agent's own environment, which every process inherits. */
  worker: Environment;
  /** The step's `env`, expanded. */
  env: Environment;
  variables: Variables;
  prependedPath: readonly string[];
  /** As in agents before 5.277: a variable wins over an input or a connection that has its name in the environment. */
  variablesWin: boolean;
  /** Where the process runs, if that is not this machine. */
  remote: { machine: Machine } | undefined;
}

/**
 * The environment of a task that runs on Node. Later entries win over earlier ones of the same name, so that a pipeline
 * variable beats the step's own `env` (agent: Handler.cs, NodeHandler.cs).
 */
export function taskEnvironment(step: StepEnvironment, task: TaskEnvironment): Environment {
  const all = step.variables.all();
  const secrets = all.filter((variable) => variable.secret);
  const ofVariables: Environment = {
    ...publicVariables(all),
    VSTS_PUBLIC_VARIABLES: names(all.filter((variable) => !variable.secret)),
    ...prefixed('SECRET_', secrets),
    VSTS_SECRET_VARIABLES: names(secrets),
  };
  const ofTask: Environment = {
    ...Object.fromEntries([...task.inputs].map(([name, value]) => [`INPUT_${environmentName(name)}`, value])),
    ...Object.assign({}, ...task.endpoints.map(endpointVariables)),
  };
  const added: Environment = {
    ...step.env,
    ...(step.variablesWin ? { ...ofTask, ...ofVariables } : { ...ofVariables, ...ofTask }),
    ...prefixed('VSTS_TASKVARIABLE_', task.taskVariables.all()),
  };
  return compose(step, added);
}

/**
 * The environment of a script. The task that stands behind a script step keeps its inputs, endpoints and secrets to
 * itself, so the script sees the public variables and what its `env` maps.
 */
export function scriptEnvironment(step: StepEnvironment): Environment {
  return compose(step, { ...step.env, ...publicVariables(step.variables.all()) });
}

function compose({ worker, variables, prependedPath, remote }: StepEnvironment, added: Environment): Environment {
  const isWindows = remote !== undefined || process.platform === 'win32';
  const pathName = isWindows ? 'Path' : 'PATH';
  if (prependedPath.length > 0) {
    const path = variables.get('PATH') ?? added[pathName] ?? worker[pathName] ?? '';
    added[pathName] = [...prependedPath.toReversed(), path].join(isWindows ? ';' : delimiter);
  }
  for (const [name, value] of Object.entries(added)) {
    if (`${name}${value}`.includes('\0')) throw new Error(`The environment variable '${name}' holds a null character.`);
  }
  const all = { ...worker, ...added, TF_BUILD: 'True' };
  return isWindows ? withoutCase(all) : all;
}

/** As Windows keeps it: a name once, in the case in which it came first, with the value that came last. */
function withoutCase(environment: Environment): Environment {
  const names = new Map<string, string>();
  const merged: Environment = {};
  for (const [name, value] of Object.entries(environment)) {
    const known = names.get(name.toUpperCase()) ?? name;
    names.set(name.toUpperCase(), known);
    merged[known] = value;
  }
  return merged;
}

function publicVariables(all: readonly Variable[]): Environment {
  const environment: Environment = {};
  for (const { name, value, secret, preserveCase } of all) {
    if (secret) continue;
    environment[environmentName(name, preserveCase)] = value;
    if (name.toLowerCase() === 'agent.jobstatus') environment[name] = value;
  }
  return environment;
}

function prefixed(prefix: string, variables: readonly Variable[]): Environment {
  return Object.fromEntries(
    variables.map(({ name, value, preserveCase }) => [prefix + environmentName(name, preserveCase), value]),
  );
}

function names(variables: readonly Variable[]): string {
  return JSON.stringify(variables.map(({ name }) => name));
}

function endpointVariables({ key, system, url, scheme, parameters, data }: Endpoint): Environment {
  const environment: Environment = {
    // The agent prints a .NET Uri, which gives a bare host its slash.
    [`ENDPOINT_URL_${key}`]: URL.canParse(url) ? new URL(url).href : url,
    [`ENDPOINT_AUTH_${key}`]: JSON.stringify({ parameters, scheme }),
    [`ENDPOINT_AUTH_SCHEME_${key}`]: scheme,
  };
  for (const [name, value] of Object.entries(parameters)) {
    environment[`ENDPOINT_AUTH_PARAMETER_${key}_${environmentName(name)}`] = value;
  }
  if (system) return environment;
  environment[`ENDPOINT_DATA_${key}`] = JSON.stringify(data);
  for (const [name, value] of Object.entries(data)) {
    environment[`ENDPOINT_DATA_${key}_${environmentName(name)}`] = value;
  }
  return environment;
}
