import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../../scripts/layout.ts';
import { tools } from './list.ts';
import { exportsOf } from './recipe.ts';
import type { Outcome, Trial } from './trial.ts';
import { trials } from './trials.ts';

/** What became of a trial: what it showed, why it was not run, or why it came to no end. */
export interface Row {
  trial: Trial;
  outcome?: Outcome;
  notRun?: string;
  broken?: string;
}

const page = join(root, 'docs', 'tools.md');

const head = ['Tool', 'Version', 'Export', 'What it did', 'ID tokens', "Past the first one's end"];

/** The rows as a table of Markdown. */
export function table(rows: readonly Row[]): string {
  return markdown(head, rows.map(cellsOf));
}

function markdown(names: readonly string[], rows: readonly (readonly string[])[]): string {
  return [names, names.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

function cellsOf({ trial, outcome, notRun, broken = '' }: Row): string[] {
  const { title } = tools[trial.tools[0]];
  if (outcome === undefined) {
    const [why] = (notRun ?? broken).split('\n');
    const what = notRun === undefined ? `**failed**: ${why}` : `not run: ${why}`;
    return [title, '–', exportsOf(trial.recipe), `${trial.does}; ${what}`, '–', '–'];
  }
  const { version, exported, idTokens, outlived, faults } = outcome;
  const did = faults.length === 0 ? trial.does : `${trial.does}; **failed**: ${faults.join('; ')}`;
  const late = { true: trial.twice ? 'yes, in another run' : 'yes, in one process', false: 'no', undefined: '–' };
  return [title, version || '–', exported, did, idTokens === 0 ? '–' : String(idTokens), late[`${outlived}`]];
}

/** The tool with the way to its recipe, as the first cell of a row of docs/tools.md. */
export function linkOf({ tools: [name], recipe }: Trial): string {
  return `[${tools[name].title}](recipes.md#${recipe.heading.toLowerCase().replaceAll(' ', '-')})`;
}

/** Puts rows into the table of docs/tools.md, with the day. What was not run now keeps the row that it has. */
export function writeTable(rows: readonly Row[]): void {
  const before = readFileSync(page, 'utf8');
  const marked = /(<!-- results: npm run tools -- --write -->)([\s\S]*?)(<!-- results end -->)/;
  const [, , former = ''] = marked.exec(before) ?? [];
  if (former === '') throw new Error('docs/tools.md has no place for the results');
  const formerRows = former.split('\n').map((line) => line.slice(2, -2).split(' | '));
  const day = new Date().toLocaleDateString('en-GB', { day: 'numeric', month: 'long', year: 'numeric' });
  const cells = trials.flatMap((trial) => {
    const row = rows.find((one) => one.trial === trial && one.notRun === undefined);
    if (row !== undefined) return [[linkOf(trial), ...cellsOf(row).slice(1), day]];
    const kept = formerRows.find(([link, , , did = '']) => link === linkOf(trial) && did.startsWith(trial.does));
    return kept === undefined ? [] : [kept];
  });
  const text = markdown([...head, 'Day'], cells);
  writeFileSync(
    page,
    before.replace(marked, (_, begin: string, __, end: string) => `${begin}\n\n${text}\n\n${end}`),
  );
}
