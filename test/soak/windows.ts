import { readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { root } from '../../scripts/layout.ts';
import { endWindows, installWindows } from '../windows/install-wine.ts';
import { wineMachine } from '../windows/wine.ts';
import { type Report, type Section, sideBySide } from './section.ts';
import { runTests } from './test-suite.ts';

/** The folders of tests that run the packaged task; those that take longest begin first. */
const FOLDERS = ['hostile', 'later-steps', 'endpoint', 'security', 'task', 'windows'];

/** So many files at once: each has a Node for the agent, one for the task, and what Wine needs. */
const AT_ONCE = 2;

/** The tests that run the task, on Node for Windows under Wine; and those of Windows alone. */
export const windows: Section = {
  name: 'windows',
  about: 'the task on Node for Windows, under Wine: Node 20, and Node 24',
  size: 2,
  async run(cases, report) {
    const { wine, windows, nodes } = installWindows();
    report.note(`${wine}, which says that it is ${windows}; Node ${nodes.join(', ')}`);
    const runs = ([20, 24] as const).slice(0, cases).flatMap((version) => files().map((file) => ({ version, file })));
    // With nothing to run, Wine ends, and what starts in that moment fails.
    const waiting = await wineMachine(20).openWorker('soak');
    try {
      await sideBySide(runs, AT_ONCE, ({ version, file }) => runFile(version, file, report));
    } finally {
      await waiting.close();
      endWindows();
    }
  },
};

function files(): string[] {
  return FOLDERS.flatMap((folder) => {
    const all = readdirSync(join(root, 'test', folder)).filter((name) => /\.(test|cases)\.ts$/.test(name));
    return all.sort().map((name) => join('test', folder, name));
  });
}

async function runFile(version: 20 | 24, file: string, report: Report): Promise<void> {
  const { wrong, counts, passed, seconds } = await runTests({
    log: `windows-${version}-${basename(file, '.ts')}.log`,
    environment: { ENTRA_TOKEN_TEST_MACHINE: `windows-${version}`, ENTRA_TOKEN_TEST_ROWS: 'all' },
    files: [file],
  });
  report.note(`Node ${version}, ${file}: ${counts.join(', ')}; ${seconds.toFixed(0)} s`);
  for (const one of wrong) report.failed(`Node ${version}, ${file}: ${one}`);
  report.passed(passed);
}
