import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { root } from '../../scripts/layout.ts';
import type { Section } from './section.ts';

/** The usual tests, with the rows too that `npm test` leaves out. */
export const rows: Section = {
  name: 'rows',
  about: 'the tests of npm test, with every row of their tables',
  size: 1,
  async run(_cases, report) {
    const { status, stdout } = spawnSync(process.execPath, ['--import', 'tsx', join(root, 'scripts', 'test.ts')], {
      cwd: root,
      env: { ...process.env, ENTRA_TOKEN_TEST_ROWS: 'all' },
      encoding: 'utf8',
      maxBuffer: 2 ** 28,
    });
    for (const [, line = ''] of stdout.matchAll(/^ℹ ((?:tests|pass|fail|skipped) \d+)$/gm)) report.note(line);
    const failures = [...stdout.matchAll(/^ *✖ (.+)$/gm)].map(([, name = '']) => name);
    report.judge('the tests', status === 0 ? [] : [`exit code ${status}`, ...new Set(failures)]);
  },
};
