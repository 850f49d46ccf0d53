import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import type { Cloud } from '../cloud/cloud.ts';
import { type Row, rows } from './fault-table.ts';
import { judgeRow } from './judge.ts';
import { Clouds, runStep } from './run-step.ts';

/**
 * Of the faults that are not a twin of another, those that last to the end of the budget, and every fourth of the
 * others, so that both services and all moments have their turn; `npm run soak` has all.
 */
const clouds = new Clouds();
after(() => clouds.close());

const isLasting = ({ place, tries }: Row): boolean => place.transient && tries === 'every';
const lasting = rows.filter((row) => isLasting(row) && row.place.lastingAt?.includes(row.service));
const others = rows.filter((row) => !isLasting(row) && !row.place.rare).filter((_, index) => index % 4 === 0);
const slow = others.filter(({ place }) => place.slow);
const quick = others.filter(({ place }) => !place.slow);

describe('a fault at any place', { concurrency: 2 }, () => {
  // All at once, because they wait and do not work: ten seconds for a try, a minute for all.
  describe('that takes the time there is', { concurrency: lasting.length + slow.length }, () => {
    for (const row of [...lasting, ...slow]) it(row.name, () => clouds.lend((cloud) => test(cloud, row)));
  });

  describe('that is over at once', { concurrency: 2 }, () => {
    for (const row of quick) it(row.name, () => clouds.lend((cloud) => test(cloud, row)));
  });
});

async function test(cloud: Cloud, row: Row): Promise<void> {
  assert.deepEqual(judgeRow(row, await runStep(cloud, { faults: [row.fault] })), []);
}
