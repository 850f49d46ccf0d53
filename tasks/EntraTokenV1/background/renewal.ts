/** An ID token is renewed at the latest this long before its end, where it lives long enough for that. Milliseconds. */
const BEFORE_END_MS = 2 * 60_000;

/** Tokens are not requested more often than this, even if each has expired when it arrives. Milliseconds. */
const SHORTEST_WAIT_MS = 500;

const FIRST_DELAY_MS = 500;
const LONGEST_DELAY_MS = 30_000;

/**
 * How long to wait before a token that now has `lifeMs` to live is renewed: a little less than half of its life, so
 * that an outage of half a life has no effect; and two minutes before its end where half would be later than that.
 */
export function nextRenewal(lifeMs: number): number {
  const half = lifeMs * 0.4;
  const beforeEnd = lifeMs - BEFORE_END_MS;
  return Math.max(SHORTEST_WAIT_MS, Math.min(half, beforeEnd > lifeMs / 4 ? beforeEnd : half));
}

/**
 * How long to wait after the `failures`-th failure in a row. Delays grow up to half a minute, with jitter, but while
 * a token is still valid they stay short compared with what is left of it, so that the next try is in time. After its
 * end they are at most a twentieth of a life, which for the usual ten minutes is the longest delay.
 * @param random a number from 0 up to 1
 */
export function nextTry(failures: number, leftMs: number, lifeMs: number, random: number): number {
  const growing = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.min(failures - 1, 16));
  const jittered = growing * (0.5 + random / 2);
  const inTime = leftMs > 0 ? Math.max(leftMs / 8, lifeMs / 100) : lifeMs / 20;
  return Math.max(100, Math.min(jittered, inTime));
}
