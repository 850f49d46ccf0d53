import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../../scripts/layout.ts';
import { endWindows, installWindows } from '../windows/install-wine.ts';
import type { Report, Section } from './section.ts';

/** The folders of tests that run the packaged task; the rest of the tests have nothing of Windows in them. */
const FOLDERS = ['windows', 'task', 'later-steps', 'endpoint', 'security', 'hostile'];

/** The tests that run the task, on Node for Windows under Wine; and those of Windows alone. */
export const windows: Section = {
  name: 'windows',
  about: 'the task on Node for Windows, under Wine: Node 20, and Node 24',
  size: 2,
  async run(cases, report) {
    const { wine, windows, nodes } = installWindows();
    report.note(`${wine}, which says that it is ${windows}; Node ${nodes.join(' and ')}`);
    try {
      for (const version of ([20, 24] as const).slice(0, cases)) runFiles(version, report);
    } finally {
      endWindows();
    }
  },
};

function runFiles(version: 20 | 24, report: Report): void {
  const files = FOLDERS.flatMap((folder) => {
    const all = readdirSync(join(root, 'test', folder)).filter((name) => /\.(test|cases)\.ts$/.test(name));
    return all.sort().map((name) => join('test', folder, name));
  });
  for (const file of files) {
    const { status, stdout } = spawnSync(
      process.execPath,
      ['--import', 'tsx', join(root, 'scripts', 'test.ts'), file],
      {
        cwd: root,
        env: { ...process.env, ENTRA_TOKEN_TEST_MACHINE: `windows-${version}`, ENTRA_TOKEN_TEST_ROWS: 'all' },
        encoding: 'utf8',
        maxBuffer: 2 ** 28,
      },
    );
    const count = (what: string): number => Number(new RegExp(`^ℹ ${what} (\\d+)$`, 'm').exec(stdout)?.[1] ?? 0);
    report.note(
      `Node ${version}, ${file}: ${count('pass')} passed, ${count('fail')} failed, ${count('skipped')} skipped`,
    );
    const failures = new Set([...stdout.matchAll(/^ *✖ (.+?)(?: \([\d.]+ms\))?$/gm)].map(([, name = '']) => name));
    failures.delete('failing tests:');
    for (const name of failures) report.failed(`Node ${version}, ${file}: ${name}`);
    if (status !== 0 && failures.size === 0) report.failed(`Node ${version}, ${file}: exit code ${status}`);
    report.passed(count('pass'));
  }
}
