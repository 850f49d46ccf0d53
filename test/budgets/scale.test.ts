import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { assumed, type Behaviour, scaleTables, simulate } from '../../bench/scale.ts';
import { root } from '../../scripts/layout.ts';

const task: Behaviour = { title: 'the task', jitter: true, heedsRetryAfter: true, steps: 'one' };
const calm = { ...assumed, jobs: 100 };
const crowded = { ...assumed, jobs: 400, entra: { ...assumed.entra, limit: 500 } };

describe('the simulation of many jobs', () => {
  it('gives the same figures for the same seed, and others for another', () => {
    assert.deepEqual(simulate(task, crowded, 7), simulate(task, crowded, 7));
    assert.notDeepEqual(simulate(task, crowded, 7), simulate(task, crowded, 8));
  });

  it('lets every job have its tokens with one request each where there is room', () => {
    const { succeeded, requests, refused, herd } = simulate(task, calm);
    assert.deepEqual(
      { succeeded, requests, refused, herd },
      {
        succeeded: 100,
        requests: { devOps: 100, entra: 100 * calm.scopes },
        refused: 0,
        herd: 0,
      },
    );
  });

  it('asks Azure DevOps once for each step', () => {
    assert.equal(simulate({ ...task, steps: 'many' }, calm).requests.devOps, 100 * calm.scopes);
  });

  it('shows that heeding Retry-After spares the service, and costs no job its tokens', () => {
    const [heeding, not] = [task, { ...task, heedsRetryAfter: false }].map((it) => simulate(it, crowded));
    assert.ok(heeding && not && heeding.requests.entra < not.requests.entra / 2);
    assert.ok(heeding.succeeded >= not.succeeded);
  });

  it('shows that jitter keeps those that were refused together from coming back together', () => {
    const impatient = { ...task, heedsRetryAfter: false };
    const [spread, together] = [impatient, { ...impatient, jitter: false }].map((it) => simulate(it, crowded));
    assert.ok(spread && together && spread.herd < together.herd / 2);
  });

  it('shows that jitter lets more jobs have their tokens where the service asks for a short wait', () => {
    const short = { ...crowded, entra: { windowMs: 1000, limit: 40, retryAfterMs: 1000 } };
    const [spread, together] = [task, { ...task, jitter: false }].map((it) => simulate(it, short));
    assert.ok(spread && together && spread.succeeded > 2 * together.succeeded, `${spread?.succeeded}`);
    assert.ok(spread.herd < together.herd);
  });

  it('is what docs/scale.md shows, with the waits that the task has now (npm run bench -- --scale --document)', () => {
    assert.ok(readFileSync(join(root, 'docs', 'scale.md'), 'utf8').includes(scaleTables()));
  });
});
