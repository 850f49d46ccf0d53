/** The environment of a process, copied. */
export interface Environment {
  readonly names: readonly string[];
  get(name: string): string | undefined;
}

/** A copy that later changes do not reach. Windows does not tell the cases of a name apart, and the copy neither. */
export function copyEnvironment(live: Readonly<NodeJS.ProcessEnv>, platform: NodeJS.Platform): Environment {
  const key = (name: string): string => (platform === 'win32' ? name.toUpperCase() : name);
  const values = new Map(Object.entries(live).map(([name, value]) => [key(name), value]));
  return { names: [...values.keys()], get: (name) => values.get(key(name)) };
}

/** Who set a value of the environment: the machine and the author of the step, or a variable of the pipeline. */
export type Owner = 'machine' | 'pipeline';

/** The name that a variable, an input or a parameter has in the environment (agent: VarUtil.cs). */
export function environmentName(name: string): string {
  return name.replaceAll('.', '_').replaceAll(' ', '_').toUpperCase();
}

/** The variables of the job, by the names that the agent lists beside them. */
export interface JobVariables {
  /** False where the agent gave no list: then nothing tells variables from what the machine set. */
  readonly areListed: boolean;
  /**
   * True where a variable has `=` in its name. The agent writes name and value into the environment with `=` between
   * them, so the system takes what is before the first `=` for the name: such a variable stands under another name than
   * it is listed by, and may stand before the list itself.
   */
  readonly areForged: boolean;
  /** True where the job has the variable, whatever its case. */
  has(name: string): boolean;
  /** True where the job has it as a secret: scripts do not see it, and what is set under its name stays a secret. */
  isSecret(name: string): boolean;
  /** The public variables that have this name in the environment, as they are spelled. */
  spellings(environmentName: string): readonly string[];
  /** The secret ones that would have it, but have `SECRET_` in front. */
  secretSpellings(environmentName: string): readonly string[];
}

/**
 * Reads the agent's own lists of the variables. The agent writes them after the variables, in every version, so no
 * variable can stand in for them; but for one with `=` in its name, whose text then holds that sign too.
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
    // A variable may keep its case in the environment, and Windows does not tell cases apart; so none are told apart here.
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
