import { spawn } from 'node:child_process';
import { loadavg } from 'node:os';
import type { Section } from './section.ts';
import { runTests } from './test-suite.ts';

const BUSY_LOOPS = 2;

/** Keeps one processor busy for as long as the process that started it is there. */
const BUSY = `
const parent = process.ppid;
const spin = () => {
  for (const end = performance.now() + 100; performance.now() < end; );
  if (process.ppid === parent) setImmediate(spin);
};
spin();
`;

/** The usual tests again and again on a busy machine: what fails once is a test that a clock or chance decides. */
export const steady: Section = {
  name: 'steady',
  about: 'the tests of npm test, so many times beside two busy loops',
  size: 20,
  async run(cases, report) {
    const loops = Array.from({ length: BUSY_LOOPS }, () => spawn(process.execPath, ['-e', BUSY], { stdio: 'ignore' }));
    try {
      for (let run = 1; run <= cases; run++) {
        const { wrong, counts, seconds } = await runTests({ log: `steady-${run}.log` });
        report.note(`run ${run}: ${counts.join(', ')}; ${seconds.toFixed(0)} s, load ${loadavg()[0]?.toFixed(1)}`);
        report.judge(`run ${run}`, wrong);
      }
    } finally {
      for (const loop of loops) loop.kill();
    }
  },
};
