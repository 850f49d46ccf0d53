import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { programs } from './install.ts';
import type { ToolName } from './list.ts';
import { recipe, withProgram } from './recipe.ts';
import type { Trial } from './trial.ts';

const program = (name: string): string => readFileSync(join(programs, name), 'utf8');

/** A program that holds one credential of an SDK, and makes another one. It prints a line for each token. */
function sdk(tool: ToolName, call: string, file: string, keepsFileFor: number): Trial {
  return {
    tools: [tool],
    recipe: withProgram(recipe('Azure SDKs'), 'node deploy.js', call),
    does: '`DefaultAzureCredential`: two objects, three tokens for two resources',
    files: { [file]: program(file) },
    shows: [/^first: a token$/, /^another resource: a token$/, /^a new credential: a token$/],
    keepsFileFor,
  };
}

/** Every recipe of docs/recipes.md that a tool on this machine can be had for. */
export const trials: readonly Trial[] = [
  sdk('identity-js', 'node deploy.js', 'deploy.js', 5),
  sdk('identity-python', 'python3 deploy.py', 'deploy.py', 10),
];
