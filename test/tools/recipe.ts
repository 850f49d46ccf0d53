import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import { root } from '../../scripts/layout.ts';
import { blocks } from '../adoption/markdown.ts';

/** A step as its YAML says it. */
type Step = Readonly<Record<string, unknown>>;

/** A pipeline of docs/recipes.md. */
export interface Recipe {
  readonly heading: string;
  readonly variables: readonly { name: string; value: string }[];
  readonly steps: readonly Step[];
}

const page = readFileSync(join(root, 'docs', 'recipes.md'), 'utf8').replaceAll('\r\n', '\n');

/** The pipeline below a heading of docs/recipes.md. Throws where there is none. */
export function recipe(heading: string): Recipe {
  const { variables = [], steps }: Partial<Recipe> = parse(recipeFile(heading, 'yaml')) ?? {};
  if (steps === undefined) throw new Error(`what stands below '${heading}' is no pipeline`);
  return { heading, variables, steps };
}

/** The text of the first block of a language below a heading of docs/recipes.md. Throws where there is none. */
export function recipeFile(heading: string, language: string): string {
  const section = page.split(/^#{2,3} /m).find((one) => one.startsWith(`${heading}\n`)) ?? '';
  const [found] = blocks(section, language);
  if (found === undefined) throw new Error(`docs/recipes.md has no ${language} below '${heading}'`);
  return found.code;
}

/** What the recipe's steps ask the task to export, as the inputs that say so. */
export function exportsOf({ steps }: Recipe): string {
  const inputs = steps.map((step) => step['inputs']).filter((value) => isObject(value));
  const named = ['exportEnvironment', 'tokenEndpoint', 'exportIdToken'].flatMap((name) => {
    const value = inputs.map((input) => input[name]).find((one) => one !== undefined);
    return value === undefined ? [] : [`${name}: ${String(value)}`];
  });
  return named.length > 0 ? named.join(', ') : 'outputs';
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;

/** The same recipe with another program in the place of the one that its scripts call. Throws where they do not. */
export function withProgram({ steps, ...others }: Recipe, called: string, instead: string): Recipe {
  const isCalled = steps.some(({ bash }) => typeof bash === 'string' && bash.includes(called));
  if (!isCalled) throw new Error(`the recipe does not call '${called}'`);
  const changed = steps.map((step) => {
    const { bash } = step;
    return typeof bash === 'string' ? { ...step, bash: bash.replace(called, () => instead) } : step;
  });
  return { ...others, steps: changed };
}

/**
 * The pipeline that runs a recipe where its sources are: a checkout, the recipe as it stands, and, for tools that start
 * anew each time, its scripts once more after the first ID token's end, in a folder of their own.
 */
export function pipelineOf(given: Recipe, twice: boolean): string {
  const again = given.steps.filter((step) => 'bash' in step).map((step) => ({ ...step, workingDirectory: 'again' }));
  const steps: Step[] = [
    { bash: 'cp -R "$RECIPE_FILES/." .', displayName: 'Check out' },
    ...given.steps,
    ...(twice
      ? [{ bash: 'sleep "$PAUSE"\ncp -R "$RECIPE_FILES" again', displayName: 'Let the first ID token end' }, ...again]
      : []),
  ];
  return stringify({ variables: given.variables, steps }, { aliasDuplicateObjects: false });
}
