import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { fuzzOnce } from './answer-generator.ts';
import { Clouds } from './run-step.ts';

/** A few of the cases of which `npm run soak` has ten thousand; the seed stands in the name of each. */
const clouds = new Clouds();
after(() => clouds.close());

describe('whatever a service answers, the step ends once, says why, and shows no secret', { concurrency: 3 }, () => {
  for (let seed = 1; seed <= 8; seed++) {
    it(`seed ${seed}`, () =>
      clouds.lend(async (cloud) => {
        const { about, wrong } = await fuzzOnce(cloud, seed);
        assert.deepEqual(wrong, [], about);
      }));
  }
});
