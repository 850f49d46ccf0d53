import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { sideBySide } from '../soak/section.ts';
import { type Installed, install, NotHere, toolsFolder } from './install.ts';
import { pinnedOn, type Tool, type ToolName, tools } from './list.ts';
import { type Row, table, writeTable } from './table.ts';
import { type Outcome, run, type Trial } from './trial.ts';
import { trials } from './trials.ts';

/** Trials at a time: most of the time they wait. */
const WORKERS = 4;

const HELP = `Runs the recipes of docs/recipes.md with the tools themselves, on the rehearsal, and prints what they did.

  npm run tools                every recipe
  npm run tools -- TOOL …      those of some tools
  npm run tools -- --write     the same; the rows go into the table of docs/tools.md
  npm run tools -- --real-time TOOL …
                               with ID tokens of ten minutes, as in Azure DevOps, instead of some seconds

A tool that this machine lacks is installed from its registry below build/tools, in the version of ${pinnedOn}.

Tools:
`;

const given = process.argv.slice(2);
const names = Object.keys(tools);
const isTool = (name: string): name is ToolName => names.includes(name);
const write = given.includes('--write');
const realTime = given.includes('--real-time');
const wanted = given.filter((argument) => !['--write', '--real-time'].includes(argument));
if (!wanted.every(isTool)) {
  const list = Object.entries<Tool>(tools).map(([name, { title }]) => `  ${name.padEnd(18)} ${title}`);
  process.stdout.write(`${HELP}${list.join('\n')}\n`);
  process.exit(wanted.includes('--help') ? 0 : 2);
}

const say = (text: string): void => void process.stdout.write(`${text}\n`);
const isSlow = (name: ToolName): boolean => (tools[name] satisfies Tool as Tool).isSlow === true;
const isChosen = (trial: Trial): boolean => {
  const slow = trial.tools.filter(isSlow);
  if (wanted.length === 0) return write || slow.length === 0;
  return trial.tools.some((name) => wanted.includes(name)) && slow.every((name) => wanted.includes(name));
};
const chosen = trials.filter(isChosen);

// All of them first: nothing may hold up the services that the tools then ask.
const found = new Map<ToolName, Installed | NotHere>();
for (const name of new Set(chosen.flatMap((trial) => trial.tools))) {
  try {
    found.set(name, install(name, say));
  } catch (error) {
    if (!(error instanceof NotHere)) throw error;
    found.set(name, error);
  }
}
const installed = (name: ToolName): Installed => {
  const tool = found.get(name);
  if (tool === undefined || tool instanceof NotHere) throw tool ?? new NotHere(`nothing was said of ${name}`);
  return tool;
};

const rows = new Map<Trial, Row>();
await sideBySide(chosen, realTime ? chosen.length : WORKERS, async (trial) => {
  const title = `${tools[trial.tools[0]].title}: ${trial.does.replaceAll('`', '')}`;
  try {
    const outcome = await run(trial, installed, realTime);
    rows.set(trial, { trial, outcome });
    say(`${outcome.faults.length === 0 ? 'ok  ' : 'FAIL'} ${title}`);
    if (outcome.faults.length > 0) say(`     ${outcome.faults.join('; ')}\n     the log: ${keepLog(trial, outcome)}`);
    if (outcome.unknownHosts.length > 0) say(`     asked in vain: ${outcome.unknownHosts.join(', ')}`);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    rows.set(trial, error instanceof NotHere ? { trial, notRun: message } : { trial, broken: message });
    say(`${error instanceof NotHere ? 'not run:' : 'FAIL'} ${title}\n     ${message.replaceAll('\n', '\n     ')}`);
  }
});
const inOrder = chosen.flatMap((trial) => rows.get(trial) ?? []);
say(`\n${table(inOrder)}`);
const leftOut = wanted.length === 0 && !write ? names.filter((name) => isTool(name) && isSlow(name)) : [];
for (const name of leftOut) say(`\nLeft out, because it is built for half an hour: npm run tools -- ${name}`);
if (write) writeTable(inOrder);
const failed = inOrder.filter(({ outcome, broken }) => broken !== undefined || (outcome?.faults.length ?? 0) > 0);
const passed = inOrder.filter(({ outcome }) => outcome?.faults.length === 0);
say(`\n${passed.length} passed, ${failed.length} failed, ${inOrder.length - passed.length - failed.length} skipped`);
process.exit(failed.length === 0 ? 0 : 1);

function keepLog(trial: Trial, { log }: Outcome): string {
  const folder = join(toolsFolder, 'logs');
  mkdirSync(folder, { recursive: true });
  const file = join(folder, `${trial.tools[0]}-${trials.indexOf(trial)}.txt`);
  writeFileSync(file, `${log.join('\n')}\n`);
  return file;
}
