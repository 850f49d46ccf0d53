import type { Masker } from './masker.ts';
import { READ_ONLY_VARIABLES } from './readonly.ts';

/** A variable of the job. */
export interface Variable {
  name: string;
  value: string;
  secret: boolean;
  readOnly: boolean;
  /** Its environment variable keeps the case of the name. */
  preserveCase: boolean;
}

export interface VariableFlags {
  secret?: boolean;
  readOnly?: boolean;
  preserveCase?: boolean;
}

const MAX_DEPTH = 50;

/** Variables as the agent keeps them: names without regard to case, secrets that stay secret (agent: Variables.cs). */
export class Variables {
  readonly #masker: Masker;
  /** As they were set, and as they were after the last expansion of the macros in their values. */
  readonly #asSet = new Map<string, Variable>();
  #expanded = new Map<string, Variable>();

  constructor(masker: Masker) {
    this.#masker = masker;
  }

  /** Sets a variable. Once secret or read-only, it stays so; a secret is masked from here on. */
  set(name: string, value: string, flags: VariableFlags = {}): void {
    const previous = this.#expanded.get(name.toLowerCase());
    const variable: Variable = {
      name,
      value,
      secret: flags.secret === true || previous?.secret === true,
      readOnly: flags.readOnly === true || previous?.readOnly === true,
      preserveCase: flags.preserveCase === true,
    };
    if (variable.secret) this.#masker.add(value);
    this.#asSet.set(name.toLowerCase(), variable);
    this.#expanded.set(name.toLowerCase(), variable);
  }

  find(name: string): Variable | undefined {
    return this.#expanded.get(name.toLowerCase());
  }

  get(name: string): string | undefined {
    return this.find(name)?.value;
  }

  /**
   * Whether the agent refuses to overwrite it: by its flag, or because it is one of the agent's own; in either case only
   * where it is there (agent: Variables.cs, IsReadOnly).
   */
  isReadOnly(name: string): boolean {
    const variable = this.find(name);
    return variable !== undefined && (variable.readOnly || READ_ONLY_VARIABLES.has(name.toLowerCase()));
  }

  all(): Variable[] {
    return [...this.#expanded.values()];
  }

  /** Replaces `$(name)` by the values of variables, secret ones too. */
  expand(text: string): string {
    return expandMacros(text, (name) => this.get(name));
  }

  /**
   * Expands the macros inside of the values, through as many levels as there are; whatever mentions a secret becomes
   * one. Returns a warning for each variable that mentions itself; such a variable is left as it was set.
   */
  recalculate(): string[] {
    const warnings: string[] = [];
    const expanded = new Map<string, Variable>();
    for (const [key, variable] of this.#asSet) {
      try {
        const { value, secret } = this.#resolve(variable, [key]);
        if (secret && value !== variable.value) this.#masker.add(value);
        expanded.set(key, value === variable.value ? variable : { ...variable, value, secret });
      } catch (error) {
        if (!(error instanceof ExpansionError)) throw error;
        warnings.push(`Unable to expand variable '${variable.name}'. ${error.message}`);
        expanded.set(key, variable);
      }
    }
    this.#expanded = expanded;
    return warnings;
  }

  /** Runs something with variables that go away afterwards, such as the name of the running task. */
  async scoped<T>(values: Record<string, string>, run: () => Promise<T>): Promise<T> {
    const names = Object.keys(values).map((name) => name.toLowerCase());
    const before = names.map((name) => ({ name, asSet: this.#asSet.get(name), expanded: this.#expanded.get(name) }));
    for (const [name, value] of Object.entries(values)) this.set(name, value);
    try {
      return await run();
    } finally {
      for (const { name, asSet, expanded } of before) {
        restore(this.#asSet, name, asSet);
        restore(this.#expanded, name, expanded);
      }
    }
  }

  #resolve(variable: Variable, path: string[]): { value: string; secret: boolean } {
    let secret = variable.secret;
    const value = expandMacros(variable.value, (name) => {
      const key = name.toLowerCase();
      const nested = this.#asSet.get(key);
      if (nested === undefined) return undefined;
      if (path.length === MAX_DEPTH) throw new ExpansionError(`The maximum depth (${MAX_DEPTH}) is exceeded.`);
      if (path.includes(key)) throw new ExpansionError('A cyclical reference was detected.');
      const resolved = this.#resolve(nested, [...path, key]);
      secret ||= resolved.secret;
      return resolved.value;
    });
    return { value, secret };
  }
}

class ExpansionError extends Error {}

/**
 * Replaces each `$(name)` that `lookup` knows, in one pass: what is put in is not looked at again, and an unknown macro
 * stays as it is, with the search going on inside of it (agent: VarUtil.cs, ExpandValues).
 */
export function expandMacros(text: string, lookup: (name: string) => string | undefined): string {
  let expanded = text;
  let from = 0;
  for (;;) {
    const prefix = expanded.indexOf('$(', from);
    const suffix = prefix < 0 ? -1 : expanded.indexOf(')', prefix + 2);
    if (suffix < 0) return expanded;
    const name = expanded.slice(prefix + 2, suffix);
    const value = name === '' ? undefined : lookup(name);
    if (value === undefined) {
      from = prefix + 1;
    } else {
      expanded = expanded.slice(0, prefix) + value + expanded.slice(suffix + 1);
      from = prefix + value.length;
    }
  }
}

function restore(map: Map<string, Variable>, name: string, before: Variable | undefined): void {
  if (before === undefined) map.delete(name);
  else map.set(name, before);
}
