/**
 * The check of who imports whom in the task. `npm run check` runs it; it fails on an import that goes back up, on an
 * import between the programs on top, on a second file that imports one of the three libraries, on any other library,
 * and on a file outside of `origins/` that reads the environment.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { root } from './layout.ts';

/** The folders of the task, each of which may import those before it. The files on top come after all of them. */
export const folders: readonly string[] = [
  'text',
  'origins',
  'failure',
  'network',
  'id-token',
  'exchange',
  'endpoint',
  'background',
  'agent',
  'request',
  'source',
  'publish',
];

/** The one file that imports each library. */
const importers: Readonly<Record<string, string>> = {
  'azure-pipelines-task-lib': 'agent/agent.ts',
  'azure-devops-node-api': 'id-token/azure-devops.ts',
  '@azure/msal-node': 'exchange/exchange.ts',
};

/** The one folder that reads or changes the environment, so that whose a value is can be told. */
const environmentFolder = 'origins';

/** `process.env` in its spellings, `{ env } = process`, and the module that has it too. */
const readsEnvironment =
  /\bprocess\s*(?:\?\.|\.|(?:\?\.)?\[\s*['"`])\s*env\b|\benv\b[^;{}]*\}\s*=\s*(?:\w+\s*\??\.\s*)?process\b|['"`](?:node:)?process['"`]/;

const imported = /(?:^(?:import|export)\b(?:[^'"`;]*?\bfrom)?|\bimport\s*\(|\brequire\s*\()\s*(['"`])([\w@.:/-]+)\1/gm;

/** The one file on top that a program may import: the sequence of the step. Programs never import each other. */
const sequence = 'run.ts';

const task = join(root, 'tasks', 'EntraTokenV1');

/** The sources of the task by their path below it, with slashes. */
export function taskSources(): Map<string, string> {
  const names = readdirSync(task, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'));
  return new Map(names.map((name) => [name.replaceAll('\\', '/'), readFileSync(join(task, name), 'utf8')]));
}

/** Every import that breaks the order, as a sentence. */
export function wrongImports(sources: ReadonlyMap<string, string>): string[] {
  const faults: string[] = [];
  for (const [file, text] of sources) {
    if (file.includes('/') && levelOf(file) < 0) {
      faults.push(`${file}: its folder has no place in the order of scripts/imports.ts`);
      continue;
    }
    if (readsEnvironment.test(text) && !file.startsWith(`${environmentFolder}/`)) {
      faults.push(`${file} reads the environment; only ${environmentFolder}/ may`);
    }
    for (const [, , specifier = ''] of text.matchAll(imported)) {
      if (!/^(?:node:|\.)/.test(specifier)) {
        const library = Object.keys(importers).find((name) => specifier === name || specifier.startsWith(`${name}/`));
        if (library === undefined) {
          faults.push(`${file} imports ${specifier}, which is none of the libraries of the task`);
        } else if (importers[library] !== file) {
          faults.push(`${file} imports ${specifier}; only ${importers[library]} may`);
        }
      }
      if (specifier.startsWith('.')) {
        const target = relative('/', join('/', dirname(file), specifier)).replaceAll('\\', '/');
        if (levelOf(target) > levelOf(file) || (isOnTop(file) && isOnTop(target) && target !== sequence)) {
          faults.push(`${file} imports ${target}, which comes after it`);
        }
      }
    }
  }
  return faults;
}

function isOnTop(file: string): boolean {
  return !file.includes('/');
}

function levelOf(file: string): number {
  return isOnTop(file) ? folders.length : folders.indexOf(file.split('/')[0] ?? '');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const faults = wrongImports(taskSources());
  for (const fault of faults) {
    process.stderr.write(`${fault}\n`);
  }
  process.exitCode = faults.length === 0 ? 0 : 1;
}
