import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import type { Cloud } from '../cloud/cloud.ts';
import { judgeRow } from './judge.ts';
import { type Row, rows } from './places.ts';
import { Clouds, runStep } from './step.ts';

/**
 * Of the faults that are not a twin of another, those that last, and every fourth of those that are over at once, so that
 * both services and all moments have their turn; `npm run soak` has all, with the step's clock as it is.
 */
const clouds = new Clouds();
after(() => clouds.close());

const quick = rows.filter(({ place, service, tries }) => {
  const isLasting = place.transient && tries === 'every';
  return isLasting ? place.lastingAt?.includes(service) : !place.rare;
});

describe('a fault that lasts', { concurrency: 10 }, () => {
  for (const row of quick.filter(({ place }) => place.transient)) {
    if (row.tries === 'every') it(row.name, () => clouds.lend((cloud) => test(cloud, row)));
  }
});

describe('a fault that is over at once', { concurrency: 3 }, () => {
  const atOnce = quick.filter(({ tries, place }) => tries === 'first' || !place.transient);
  for (const row of atOnce.filter((_, index) => index % 4 === 0)) {
    it(row.name, () => clouds.lend((cloud) => test(cloud, row)));
  }
});

async function test(cloud: Cloud, row: Row): Promise<void> {
  const fastClock = row.place.slow === true || (row.place.transient && row.tries === 'every');
  const ended = await runStep(cloud, { faults: [row.fault], fastClock });
  assert.deepEqual(judgeRow(row, ended), []);
}
