import { isAbsolute, join, resolve } from 'node:path';
import type { Environment } from './environment.ts';
import type { TaskDefinition } from './extension.ts';
import { expandMacros, type Variables } from './variables.ts';

/** A service connection by which a pipeline may be known. */
export interface NamedConnection {
  id: string;
  name: string;
}

/** What an input's value is made with. */
export interface InputContext {
  variables: Variables;
  worker: Environment;
  /** Where a relative, and an empty, path of type `filePath` leads. */
  sources: string;
}

/**
 * The inputs of a step as the server puts them into the job: aliases become names, and names of connections become IDs,
 * also where a variable that is known before the job starts holds the name. What it does not know stays as it is.
 */
export function jobInputs(
  task: TaskDefinition,
  given: Readonly<Record<string, string>>,
  connections: readonly NamedConnection[],
  variables: Variables,
): Record<string, string> {
  const inputs = Object.entries(given).map(([key, text]) => {
    const input = declaredInput(task, key.trim());
    const value = isConnection(input?.type) ? connectionIds(text, connections, variables) : text;
    return [input?.name ?? key.trim(), value];
  });
  return Object.fromEntries(inputs);
}

/**
 * The inputs of a stage: each declared one, empty if nothing else, and those that the step gives beside them. Values are
 * trimmed, expanded once from variables and once from the agent's own environment, and paths are rooted
 * (agent: TaskRunner.cs).
 */
export function resolveInputs(
  task: TaskDefinition,
  given: Readonly<Record<string, string>>,
  context: InputContext,
): Map<string, string> {
  const trimmed = new Map(task.inputs.map(({ name, defaultValue }) => [name, defaultValue]));
  for (const [name, value] of Object.entries(given)) trimmed.set(declaredInput(task, name)?.name ?? name, value.trim());
  return new Map(
    [...trimmed].map(([name, value]) => {
      const expanded = expand(value, context);
      const isPath = declaredInput(task, name)?.type.toLowerCase() === 'filepath';
      return [name, isPath ? rooted(expanded, context.sources) : expanded];
    }),
  );
}

/** The IDs of the connections that a step's inputs name: all that the step may see, beside the job's own. */
export function visibleConnections(task: TaskDefinition, inputs: ReadonlyMap<string, string>): Set<string> {
  const ids = [...inputs].flatMap(([name, value]) =>
    isConnection(declaredInput(task, name)?.type) ? value.split(',').map((id) => id.trim().toLowerCase()) : [],
  );
  return new Set(ids.filter((id) => id !== ''));
}

/** Macros of variables, then macros of the agent's environment, in what the first have left or put in. */
export function expand(text: string, { variables, worker }: Pick<InputContext, 'variables' | 'worker'>): string {
  return expandMacros(variables.expand(text), (name) => (Object.hasOwn(worker, name) ? worker[name] : undefined));
}

function declaredInput(task: TaskDefinition, name: string): TaskDefinition['inputs'][number] | undefined {
  const wanted = name.toLowerCase();
  return (
    task.inputs.find((input) => input.name.toLowerCase() === wanted) ??
    task.inputs.find((input) => input.aliases.some((alias) => alias.toLowerCase() === wanted))
  );
}

function isConnection(type: string | undefined): boolean {
  return type?.toLowerCase().startsWith('connectedservice:') === true;
}

function connectionIds(text: string, connections: readonly NamedConnection[], variables: Variables): string {
  const idOf = (wanted: string): string | undefined =>
    connections.find(({ name, id }) => [name, id].some((known) => known.toLowerCase() === wanted.trim().toLowerCase()))
      ?.id;
  return text
    .split(',')
    .map((part) => idOf(part) ?? idOf(variables.expand(part)) ?? part)
    .join(',');
}

function rooted(path: string, sources: string): string {
  return isAbsolute(path) ? resolve(path) : join(sources, path);
}
