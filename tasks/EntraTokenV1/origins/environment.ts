/** The environment of a process, copied. */
export interface Environment {
  readonly names: readonly string[];
  get(name: string): string | undefined;
}

/** A copy that later changes do not affect. On Windows, names are compared without regard to case, also in the copy. */
export function copyEnvironment(live: Readonly<NodeJS.ProcessEnv>, platform: NodeJS.Platform): Environment {
  const key = (name: string): string => (platform === 'win32' ? name.toUpperCase() : name);
  const values = new Map(Object.entries(live).map(([name, value]) => [key(name), value]));
  return { names: [...values.keys()], get: (name) => values.get(key(name)) };
}

/** What task-lib looks for by walking through the names. */
const WALKED = /^(?:INPUT|ENDPOINT|SECRET|SECUREFILE)_/i;

/**
 * Gives the names that task-lib looks for their upper case. Windows keeps a name in the case in which it was first set,
 * by whatever process; the library finds it by the case of the agent alone.
 */
export function upperCaseNames(live: NodeJS.ProcessEnv, platform: NodeJS.Platform): void {
  for (const [name, value] of platform === 'win32' ? Object.entries(live) : []) {
    if (WALKED.test(name) && name !== name.toUpperCase()) {
      delete live[name];
      live[name.toUpperCase()] = value;
    }
  }
}

/** Who set a value of the environment: the machine and the author of the step, or a variable of the pipeline. */
export type Owner = 'machine' | 'pipeline';

/** The name that a variable, an input or a parameter has in the environment (agent: VarUtil.cs). */
export function environmentName(name: string): string {
  return name.replaceAll('.', '_').replaceAll(' ', '_').toUpperCase();
}

/** The variables of the job, by the names that the agent lists beside them. */
export interface JobVariables {
  /** False if the agent gave no list: then variables cannot be distinguished from what the machine set. */
  readonly areListed: boolean;
  /**
   * True where a variable has `=` in its name. The agent writes name and value into the environment with `=` between
   * them, so the system takes what is before the first `=` as the name: such a variable has another name in the
   * environment than in the list, and may come before the list itself.
   */
  readonly areForged: boolean;
  /** True where the job has the variable, whatever its case. */
  has(name: string): boolean;
  /** True if it is a secret of the job: scripts do not see it, and a new value stays a secret. */
  isSecret(name: string): boolean;
  /** The public variables that have this name in the environment, as they are spelled. */
  spellings(environmentName: string): readonly string[];
  /** The secret ones of this name, which have the prefix `SECRET_`. */
  secretSpellings(environmentName: string): readonly string[];
}

/**
 * Reads the agent's own lists of the variables. The agent writes them after the variables, in every version, so no
 * variable can replace them, except one with `=` in its name, whose text then contains that sign too.
 */
export function readJobVariables(environment: Environment): JobVariables {
  const lists = ['VSTS_PUBLIC_VARIABLES', 'VSTS_SECRET_VARIABLES'].map((name) => environment.get(name));
  const [publicNames, secretNames = []] = lists.map(readNames);
  const secrets = new Set(secretNames.map((name) => name.toLowerCase()));
  const all = new Set([...secrets, ...(publicNames ?? []).map((name) => name.toLowerCase())]);
  const publicSpellings = spellingsOf(publicNames ?? []);
  const secretSpellings = spellingsOf(secretNames);
  return {
    areListed: publicNames !== undefined,
    areForged: [...lists, ...(publicNames ?? []), ...secretNames].some((text) => text?.includes('=')),
    has: (name) => all.has(name.toLowerCase()),
    isSecret: (name) => secrets.has(name.toLowerCase()),
    // A variable may keep its case in the environment, and Windows ignores case; so case is ignored here.
    spellings: (name) => publicSpellings.get(name.toUpperCase()) ?? [],
    secretSpellings: (name) => secretSpellings.get(name.toUpperCase()) ?? [],
  };
}

function spellingsOf(names: readonly string[]): ReadonlyMap<string, string[]> {
  const spellings = new Map<string, string[]>();
  for (const name of names) {
    const key = environmentName(name);
    spellings.set(key, [...(spellings.get(key) ?? []), name]);
  }
  return spellings;
}

function readNames(json: string | undefined): string[] | undefined {
  try {
    const names: unknown = JSON.parse(json ?? '');
    return Array.isArray(names) ? names.filter((name): name is string => typeof name === 'string') : undefined;
  } catch {
    return undefined;
  }
}
