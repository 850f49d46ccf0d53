import { type Row, rows } from '../hostile/fault-table.ts';
import { judgeRow } from '../hostile/judge.ts';
import { Clouds, runStep } from '../hostile/run-step.ts';
import { type Section, sideBySide } from './section.ts';

/** Longest that a step may take whose requests to one service all fail: its budget, and what a slow machine adds. */
const BUDGET_MS = 60_000;
const MACHINE_MS = 15_000;

const lasting = ({ place, tries }: Row) => place.transient && tries === 'every';

/** The table of faults in full: those that last to the end of the budget wait side by side. */
export const places: Section = {
  name: 'places',
  about: 'every fault of either service at every moment, on the first and on every try, with the clock as it is',
  size: rows.length,
  async run(cases, report) {
    const clouds = new Clouds();
    const judge = (row: Row): Promise<void> =>
      clouds.lend(async (cloud) => {
        const ended = await runStep(cloud, { faults: [row.fault] });
        const wrong = judgeRow(row, ended);
        if (ended.main.durationMs > BUDGET_MS + MACHINE_MS) wrong.push(`it took ${ended.main.durationMs} ms`);
        report.judge(row.name, wrong);
      });
    const chosen = rows.slice(0, cases);
    await sideBySide(chosen.filter(lasting), 12, judge);
    await sideBySide(
      chosen.filter((row) => !lasting(row)),
      3,
      judge,
    );
    await clouds.close();
  },
};
