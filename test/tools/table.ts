import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../../scripts/layout.ts';
import { tools } from './list.ts';
import type { Outcome, Trial } from './trial.ts';

/** What became of a trial: what it showed, why it was not run, or why it came to no end. */
export interface Row {
  trial: Trial;
  outcome?: Outcome;
  notRun?: string;
  broken?: string;
}

const page = join(root, 'docs', 'tools.md');

/** The rows as a table of Markdown. */
export function table(rows: readonly Row[]): string {
  const head = ['Tool', 'Version', 'Export', 'What it did', 'ID tokens', "Past the first one's end"];
  const lines = [head, head.map(() => '---'), ...rows.map(cellsOf)];
  return lines.map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

function cellsOf({ trial, outcome, notRun, broken = '' }: Row): string[] {
  const { title } = tools[trial.tools[0]];
  if (outcome === undefined) {
    const [why] = (notRun ?? broken).split('\n');
    return [title, '–', '–', notRun === undefined ? `**failed**: ${why}` : `not run: ${why}`, '–', '–'];
  }
  const did = outcome.faults.length === 0 ? trial.does : `**failed**: ${outcome.faults.join('; ')}`;
  const { version, exported, idTokens, outlived } = outcome;
  const late = { true: trial.twice ? 'yes, in another run' : 'yes, in one process', false: 'no', undefined: '–' };
  return [title, version, exported, did, idTokens === 0 ? '–' : String(idTokens), late[`${outlived}`]];
}

/** Puts the table into docs/tools.md, with the day. */
export function writeTable(rows: readonly Row[]): void {
  const day = new Date().toLocaleDateString('en-GB', { day: 'numeric', month: 'long', year: 'numeric' });
  const text = `${day}, ${process.platform} ${process.arch}, Node ${process.versions.node}.\n\n${table(rows)}`;
  const marked = /(<!-- results: npm run tools -- --write -->)[\s\S]*?(<!-- results end -->)/;
  const before = readFileSync(page, 'utf8');
  if (!marked.test(before)) throw new Error('docs/tools.md has no place for the results');
  writeFileSync(
    page,
    before.replace(marked, (_, begin: string, end: string) => `${begin}\n\n${text}\n\n${end}`),
  );
}
