import type { Section } from './section.ts';
import { runTests } from './test-suite.ts';

/** The usual tests, with the rows too that `npm test` leaves out. */
export const rows: Section = {
  name: 'rows',
  about: 'the tests of npm test, with every row of their tables',
  size: 1,
  async run(_cases, report) {
    const { counts, wrong } = await runTests({
      log: 'rows.log',
      environment: { ENTRA_TOKEN_TEST_ROWS: 'all' },
    });
    for (const line of counts) report.note(line);
    report.judge('the tests', wrong);
  },
};
