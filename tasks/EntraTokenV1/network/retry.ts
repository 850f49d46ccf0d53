/** The time limit of one try, from the connection to the last byte of the response. Milliseconds. */
export const TRY_MS = 10_000;

/** All tries of one request, and the waits between them, end within this time. Milliseconds. */
export const ALL_TRIES_MS = 60_000;

/** A try with less time than this is not begun: its timeout would hide the real cause. Milliseconds. */
export const SHORTEST_TRY_MS = 2000;

const FIRST_DELAY_MS = 500;
const LONGEST_DELAY_MS = 15_000;

/** Statuses after which a retry may succeed; every other one is final. */
export function isTransientStatus(status: number): boolean {
  return status === 408 || status === 429 || (status >= 500 && status <= 599);
}

/**
 * How long to wait after the `tries`-th try failed, in milliseconds. Full jitter: a random time between zero and a
 * limit that doubles, so that jobs which failed together do not retry together. A wait that the server asks for is
 * honored, and the jitter is added to it, up to a quarter of the wait where that is more.
 * @param random a number from 0 up to 1
 */
export function delayAfter(tries: number, retryAfterMs: number | undefined, random: number): number {
  const bound = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.min(tries - 1, 16));
  const asked = retryAfterMs ?? 0;
  return Math.ceil(asked + Math.max(bound, asked / 4) * random);
}

/** What decides whether a failed request is tried again, and when. Milliseconds; `random` from 0 up to 1. */
export interface Attempt {
  readonly tries: number;
  /** What the server asked for, where it did. */
  readonly askedMs: number | undefined;
  /** Since the request began. */
  readonly tookMs: number;
  readonly allTriesMs: number;
  readonly random: number;
}

/**
 * How long to wait before the next try, in milliseconds; undefined if the wait would exceed the time limit. The
 * jitter on a wait that the server asked for never exceeds the limit.
 */
export function waitBeforeNext({ tries, askedMs, tookMs, allTriesMs, random }: Attempt): number | undefined {
  const latest = allTriesMs - SHORTEST_TRY_MS - tookMs;
  const jittered = delayAfter(tries, askedMs, random);
  const wait = askedMs === undefined ? jittered : Math.max(askedMs, Math.min(jittered, latest));
  return wait <= latest ? wait : undefined;
}

/** Reads `Retry-After` in both its forms, seconds and an HTTP date; undefined for anything else. Milliseconds from `now`. */
export function readRetryAfter(header: string | undefined, now: number): number | undefined {
  const text = header?.trim() ?? '';
  if (/^\d+$/.test(text)) {
    return Number(text) * 1000;
  }
  // Of the three forms of a date (RFC 9110, 5.6.7), the oldest does not say that it is UTC.
  const date = /^[A-Z][a-z]+,? /.test(text) ? Date.parse(text.endsWith('GMT') ? text : `${text} GMT`) : Number.NaN;
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}
