import { statSync } from 'node:fs';
import { join } from 'node:path';
import { type AgentFiles, type ProgramPlace, readAgentFiles, workFolder } from './agent-files.ts';
import {
  copyEnvironment,
  type Environment,
  environmentName,
  type JobVariables,
  type Owner,
  readJobVariables,
} from './environment.ts';
import { type IsInJobFolders, jobFolders } from './job-folders.ts';

/** A value of the environment, and its origin. */
export interface Found {
  readonly value: string;
  readonly owner: Owner;
}

/**
 * Where the values come from that a step is started with. There are three origins: the inputs of the step, the
 * machine (the environment of the agent, which a pod has from AKS, its configuration files, and the `env` that the
 * author wrote on the step), and the pipeline: its variables, which any earlier step that can print can set. This is
 * the one place that reads the environment, once, before a library has changed it; it is plain data, and does not
 * decide what each origin may determine.
 */
export interface Origins {
  /** The value of this name in the environment; undefined if it is missing or empty. */
  environment(name: string): Found | undefined;
  /** The same, but only if the machine set it. */
  machine(name: string): string | undefined;
  /**
   * How a variable of the agent's or the server's, such as `Agent.TempDirectory`, stands in the environment:
   * `absent`; `whole` under its own name alone, or under the one that it has there; `foreign` if only variables with
   * other names map to that (`Agent TempDirectory`); `mixed` if others map to it as well, so that the origin of the
   * value is unknown.
   */
  standing(variable: string): Standing;
  /**
   * The variables that may replace a value of the agent with this name in the environment, such as `INPUT_SCOPES` or
   * `ENDPOINT_AUTH_…`, as they are spelled. Agents before 5.277 let a variable win over an input and over a
   * connection, later ones do not, and the task cannot tell which.
   */
  impostors(environmentName: string): readonly string[];
  /** The inputs that the step was given, by their names in upper case, without those that are variables (`input.x`). */
  readonly inputNames: readonly string[];
  /** The one JSON of a connection's data, which the agent always writes; its parts may come from a variable. */
  endpointData(id: string): string | undefined;
  /** The names of the job's variables, and which of them are secret. */
  readonly variables: Pick<JobVariables, 'has' | 'isSecret' | 'areForged'>;
  /**
   * The variable (such as `HTTP_PROXY`) whose proxy a tool would use for `http://127.0.0.1`, because no exception
   * names that address; undefined if tools connect directly.
   */
  readonly proxyOfLoopback: string | undefined;
  /** The agent's own files; undefined where they cannot be read, as in a job container. */
  readonly agentFiles: () => AgentFiles | undefined;
  /**
   * The agent's temporary folder: the one that follows from the path of the task, else the one that the agent names.
   * No variable with another name (`Agent_TempDirectory`) changes it.
   */
  readonly temporaryFolder: string | undefined;
  /** True for a path into the folders that a job fills. */
  readonly isInJobFolders: IsInJobFolders;
}

export type Standing = 'absent' | 'whole' | 'foreign' | 'mixed';

/** What the origins are read from. */
export interface OriginFacts {
  readonly environment: Readonly<NodeJS.ProcessEnv>;
  readonly platform: NodeJS.Platform;
  readonly place: ProgramPlace;
  /** The folder that the step was started in, which is one of the job's. */
  readonly workingFolder: string | undefined;
}

/** Reads all origins; later changes of the environment change nothing in them. */
export function readOrigins({ environment: live, platform, place, workingFolder }: OriginFacts): Origins {
  const environment = copyEnvironment(live, platform);
  const variables = readJobVariables(environment);
  const work = workFolder(place);
  const owner = (name: string): Owner =>
    variables.areListed && variables.spellings(name).length === 0 ? 'machine' : 'pipeline';
  const find = (name: string): Found | undefined => {
    const value = environment.get(name);
    return value ? { value, owner: owner(name) } : undefined;
  };
  const standing = (variable: string): Standing => {
    const name = environmentName(variable);
    const spelled = [...variables.spellings(name), ...variables.secretSpellings(name)];
    if (spelled.length === 0) {
      return environment.get(name) ? 'whole' : 'absent';
    }
    const own = new Set([variable.toLowerCase(), name.toLowerCase()]);
    const different = new Set(spelled.map((spelling) => spelling.toLowerCase()));
    if (different.size > 1 && different.has(variable.toLowerCase())) {
      return 'mixed';
    }
    return different.size === 1 && own.has([...different][0] ?? '') ? 'whole' : 'foreign';
  };
  const isInJobFolders = (path: string): boolean =>
    jobFolders([work, workingFolder, ...JOB_FOLDER_VARIABLES.map((name) => environment.get(environmentName(name)))])(
      path,
    );
  /** The folder that the agent names: only if a job could not have put files there, whoever set the name. */
  const homeOf = (): string | undefined => {
    const home = standing(HOME) === 'whole' ? environment.get(environmentName(HOME)) : undefined;
    return home !== undefined && !isInJobFolders(home) ? home : undefined;
  };
  return {
    environment: find,
    machine: (name) => {
      const found = find(name);
      return found?.owner === 'machine' ? found.value : undefined;
    },
    standing,
    impostors: (name) => variables.spellings(name),
    inputNames: environment.names.flatMap((name) =>
      name.startsWith('INPUT_') && owner(name) === 'machine' ? [name.slice('INPUT_'.length)] : [],
    ),
    endpointData: (id) => environment.get(`ENDPOINT_DATA_${id}`) || undefined,
    variables,
    proxyOfLoopback: proxyOfLoopback(environment),
    agentFiles: once(() => readAgentFiles(place, homeOf())),
    temporaryFolder:
      ownFolder(work, '_temp') ??
      (standing(TEMPORARY) === 'whole' ? find(environmentName(TEMPORARY))?.value : undefined),
    isInJobFolders,
  };
}

const TEMPORARY = 'Agent.TempDirectory';
const HOME = 'Agent.HomeDirectory';

/** A folder of the agent below its work folder, if it exists. */
function ownFolder(work: string | undefined, name: string): string | undefined {
  const folder = join(work ?? '', name);
  return work !== undefined && statSync(folder, { throwIfNoEntry: false })?.isDirectory() ? folder : undefined;
}

/** Read when needed: most steps do not need the files. */
function once<T>(read: () => T): () => T {
  let value: { readonly read: T } | undefined;
  return () => {
    value ??= { read: read() };
    return value.read;
  };
}

/** Folders that the agent names, whose content a job decides. */
const JOB_FOLDER_VARIABLES = [
  'Agent.WorkFolder',
  'Agent.BuildDirectory',
  'Agent.ReleaseDirectory',
  'Agent.TempDirectory',
  'Agent.ToolsDirectory',
  'Pipeline.Workspace',
  'System.DefaultWorkingDirectory',
  'System.ArtifactsDirectory',
  'Build.SourcesDirectory',
  'Build.Repository.LocalPath',
  'Build.ArtifactStagingDirectory',
  'Build.BinariesDirectory',
  'Common.TestResultsDirectory',
];

/**
 * Tools differ in the names that they read, and in their case; each of these is read by some tool. The Azure SDKs for
 * JavaScript use HTTPS_PROXY for every address.
 */
function proxyOfLoopback(environment: Environment): string | undefined {
  const exceptions = ['NO_PROXY', 'no_proxy'].map((name) => environment.get(name) ?? '').filter((list) => list !== '');
  const isExcepted = exceptions.length > 0 && exceptions.every((list) => list.split(/[\s,;]+/).some(coversLoopback));
  return isExcepted
    ? undefined
    : ['HTTP_PROXY', 'http_proxy', 'HTTPS_PROXY', 'https_proxy', 'ALL_PROXY', 'all_proxy'].find((name) =>
        environment.get(name),
      );
}

/** The JavaScript SDKs and .NET compare the text: address ranges do not cover it and, for some, neither does `*`. */
function coversLoopback(entry: string): boolean {
  return entry === '127.0.0.1';
}
