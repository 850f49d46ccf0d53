import './build-constants.ts';
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { keepFresh } from '../../tasks/EntraTokenV1/background/keep-fresh.ts';
import { Failure } from '../../tasks/EntraTokenV1/failure/failure.ts';
import type { FreshIdToken } from '../../tasks/EntraTokenV1/id-token/azure-devops.ts';
import { Secret } from '../../tasks/EntraTokenV1/text/secret.ts';
import { VirtualTime } from './virtual-time.ts';

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;

/** A file that is kept fresh on time of the test's own, before services that answer as they are told. */
function keep(lifeMs: number) {
  const time = new VirtualTime();
  const seen = { asked: 0, ended: false, renewed: 0, failing: undefined as string | undefined };
  const file: { expiresAt: number | undefined } = { expiresAt: time.now() + lifeMs };
  const world = {
    /** What Azure DevOps says; undefined is a fresh token. */
    refusal: undefined as Failure | undefined,
    /** Whether the system lets the file be replaced, and removed. */
    letsReplace: true,
    letsRemove: true,
  };
  const token = (): FreshIdToken => ({
    idToken: {
      token: Secret.maskedByAgent(String(time.now() + lifeMs)),
      issuer: 'i',
      subject: 's',
      audiences: [],
      expiresAt: time.now() + lifeMs,
      issuedAt: time.now(),
    },
    skewMs: 0,
  });
  keepFresh(
    { expiresAt: time.now() + lifeMs, lifeMs },
    {
      ask: () => {
        seen.asked++;
        return world.refusal === undefined ? Promise.resolve(token()) : Promise.reject(world.refusal);
      },
      write: (secret) => {
        if (!world.letsReplace) throw new Failure('ET_TOKEN_FILE', 'busy');
        file.expiresAt = Number(secret.reveal());
      },
      remove: () => {
        if (world.letsRemove) file.expiresAt = undefined;
        return world.letsRemove;
      },
      clocks: time,
      after: time.after,
      random: () => 0.5,
      report: (renewed, failing) => Object.assign(seen, { renewed, failing }),
      onEnd: () => {
        seen.ended = true;
      },
    },
  );
  const holdsExpired = (): boolean => file.expiresAt !== undefined && file.expiresAt <= time.now();
  /** Lets time pass in small steps, in none of which a reader may find an expired token. */
  const pass = async (milliseconds: number): Promise<void> => {
    for (let passed = 0; passed < milliseconds; passed += Math.max(250, lifeMs / 200)) {
      await time.pass(Math.min(Math.max(250, lifeMs / 200), milliseconds - passed));
      assert.ok(!holdsExpired(), `an expired token after ${passed} ms`);
    }
  };
  return { time, seen, file, world, pass, holdsExpired };
}

const outage = new Failure('ET_CONNECTION', 'x');

describe('a token file', () => {
  it('is renewed before half of the life is over, once', async () => {
    const { seen, pass } = keep(10 * MINUTE);
    await pass(4 * MINUTE - 1000);
    assert.equal(seen.asked, 0);
    await pass(2000);
    assert.deepEqual(seen, { asked: 1, ended: false, renewed: 1, failing: undefined });
  });

  it('of two months is not renewed all the time: no timer is longer than Node has one', async () => {
    const { seen, time } = keep(63 * DAY);
    await time.pass(2 * MINUTE);
    assert.equal(seen.asked, 0);
  });

  for (const what of ['letsReplace', 'letsRemove'] as const) {
    it(`that the system does not let go of for a moment (${what}) is settled as soon as it does`, async () => {
      const { seen, world, pass, file, time } = keep(10 * MINUTE);
      world[what] = false;
      if (what === 'letsRemove') world.refusal = outage;
      await (what === 'letsRemove' ? time.pass(10 * MINUTE + 1000) : pass(5 * MINUTE));
      const asked = seen.asked;
      assert.equal(seen.ended, false);
      world[what] = true;
      await time.pass(100);
      if (what === 'letsRemove') {
        assert.equal(file.expiresAt, undefined, 'the expired token is gone');
      } else {
        assert.equal(asked, 1, 'the token that came is not asked for again');
        assert.equal(seen.asked, 1);
        assert.deepEqual([seen.renewed, seen.failing], [1, undefined]);
      }
    });
  }

  it('that can be neither replaced nor kept is removed before its token expires', async () => {
    const { world, pass, file, seen } = keep(10 * MINUTE);
    world.letsReplace = false;
    await pass(11 * MINUTE);
    assert.equal(file.expiresAt, undefined);
    world.letsReplace = true;
    await pass(1000);
    assert.notEqual(file.expiresAt, undefined, 'the newest token comes into its place');
    assert.equal(seen.failing, undefined);
  });

  it('is gone through an outage longer than the token, and comes back', async () => {
    const { world, pass, file } = keep(10 * MINUTE);
    world.refusal = outage;
    await pass(15 * MINUTE);
    assert.equal(file.expiresAt, undefined);
    world.refusal = undefined;
    await pass(MINUTE);
    assert.notEqual(file.expiresAt, undefined);
  });

  it('holds no expired token a second after the machine has slept through its end, and soon a fresh one', async () => {
    const { time, file, holdsExpired, pass } = keep(10 * MINUTE);
    await pass(MINUTE);
    await time.sleepMachine(60 * MINUTE);
    await time.pass(600);
    assert.ok(!holdsExpired());
    await pass(1000);
    assert.ok((file.expiresAt ?? 0) > time.now());
  });

  for (const [direction, offset] of [
    ['back', -2 * DAY],
    ['forward', 2 * DAY],
  ] as const) {
    it(`is renewed in time although the clock is set ${direction}`, async () => {
      const { time, seen } = keep(10 * MINUTE);
      await time.pass(MINUTE);
      time.wallOffset += offset;
      await time.pass(4 * MINUTE);
      assert.ok(seen.renewed >= 1 && seen.asked <= 3, `renewed ${seen.renewed} times, asked ${seen.asked}`);
    });
  }

  it('is gone, and the renewal over, when the token was refused for good', async () => {
    const { world, pass, file, seen } = keep(10 * MINUTE);
    world.refusal = new Failure('ET_DEVOPS_UNAUTHORIZED', 'x');
    await pass(9 * MINUTE);
    assert.equal(seen.ended, false, 'not before its end');
    await pass(2 * MINUTE);
    assert.deepEqual([seen.ended, file.expiresAt, seen.failing], [true, undefined, 'ET_DEVOPS_UNAUTHORIZED']);
    const { asked } = seen;
    await pass(10 * MINUTE);
    assert.equal(seen.asked, asked);
  });

  it('costs two looks a second while nothing is due', async () => {
    const { time } = keep(10 * MINUTE);
    await time.pass(MINUTE);
    assert.ok(time.wakeUps <= 121, `${time.wakeUps}`);
  });
});
