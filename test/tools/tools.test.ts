import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { root } from '../../scripts/layout.ts';
import { blocks } from '../adoption/markdown.ts';
import { pinnedVersion, type Tool, tools } from './list.ts';
import { linkOf } from './table.ts';
import { trials } from './trials.ts';

const page = (name: string): string => readFileSync(join(root, 'docs', name), 'utf8').replaceAll('\r\n', '\n');

/** Recipes that `npm run tools` does not run, and why. */
const notRun: Readonly<Record<string, string>> = {
  'Azure PowerShell': 'PowerShell is in none of the registries',
  SQL: 'the same',
};

test('npm run tools runs every recipe, but for those that are named here', () => {
  const headings = page('recipes.md')
    .split(/^#{2,3} /m)
    .slice(1)
    .filter((section) => [...blocks(section, 'yaml')].some(({ code }) => /^steps:$/m.test(code)))
    .map((section) => section.slice(0, section.indexOf('\n')));
  const run = new Set(trials.map(({ recipe }) => recipe.heading));
  assert.deepEqual(
    headings.filter((heading) => !run.has(heading)),
    Object.keys(notRun),
  );
});

test('docs/tools.md has the results of every trial, with the versions of the list', () => {
  const rows = page('tools.md').split('\n');
  for (const trial of trials) {
    const tool: Tool = tools[trial.tools[0]];
    // Who writes the table may not have it.
    if (tool.install.from === 'PATH') continue;
    const row = rows.find((line) => line.startsWith(`| ${linkOf(trial)} | `) && line.includes(` | ${trial.does} | `));
    assert.ok(row, `no row for ${linkOf(trial)}: npm run tools -- --write ${trial.tools[0]}`);
    assert.ok(row.includes(`) | ${pinnedVersion(tool)} | `), row);
  }
});
