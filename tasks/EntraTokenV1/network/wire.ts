import { isTransientNodeError } from '../failure/catalogue.ts';
import { errorCode } from '../failure/failure.ts';
import { type ConnectionPool, isUntrusted } from './pool.ts';
import { type Answer, type Outcome, type Post, sendOnce } from './post.ts';
import { ALL_TRIES_MS, isTransientStatus, readRetryAfter, TRY_MS, waitBeforeNext } from './retry.ts';
import { ProxyFailure, ProxyRefusal } from './tunnel.ts';
import { brief, causesOf, unreachable } from './unreachable.ts';

/** Sends a request, again where that may help, and gives the last answer; throws a Failure where none came. */
export type Send = (post: Post) => Promise<Answer>;

/** The authorities of one service alone, as those of an AKS identity binding. */
export interface OwnAuthorities {
  /** Those of the next try may be others, and vouch for what these do not. */
  readonly mayChange: boolean;
  /** What to do where they do not vouch for the certificate, in place of the advice for the agent's. */
  readonly advice: string;
}

export interface WireSurroundings {
  /** Asked for each try, because an authority's certificate may have changed since the last one. */
  readonly pool: () => ConnectionPool;
  /** The clock that tells the time of day, for what a service says in dates. */
  readonly now: () => number;
  /** The clock that nobody sets, for how long something takes. Milliseconds. */
  readonly elapsed: () => number;
  readonly sleep: (milliseconds: number) => Promise<void>;
  readonly random: () => number;
  readonly log: (line: string) => void;
  /** Told when a request is on its way: the time until its answer is free for other work. */
  readonly onSent?: () => void;
  /** Where authorities other than the agent's vouch for the other side. */
  readonly ownAuthorities?: OwnAuthorities;
  /** The time of one try and of all tries, where it is not the usual one. Milliseconds. */
  readonly tryMs?: () => number;
  readonly allTriesMs?: number;
}

/** One path for both services, so that proxy, certificates, times and tries are decided once. */
export function createWire(surroundings: WireSurroundings): Send {
  const {
    pool,
    now,
    elapsed,
    sleep,
    random,
    log,
    tryMs = () => TRY_MS,
    allTriesMs: usualMs = ALL_TRIES_MS,
    onSent = () => {},
    ownAuthorities,
  } = surroundings;
  return async (post) => {
    const start = elapsed();
    const allTriesMs = post.allTriesMs ?? usualMs;
    let before: Outcome | undefined;
    for (let tries = 1; ; tries++) {
      const firstMs = post.allTriesMs ?? Number.POSITIVE_INFINITY;
      const left = tries === 1 ? firstMs : allTriesMs - (elapsed() - start);
      const last = await sendOnce(post, pool(), Math.min(tryMs(), left), now, onSent);
      // A last try that had less time than the others says nothing new by running out of it.
      const outcome = left < tryMs() && isTimeout(last) && before !== undefined ? before : last;
      before = outcome;
      const tookMs = elapsed() - start;
      const askedMs = retryAfter(outcome, now());
      const isLate = ownAuthorities?.mayChange === true && 'error' in outcome && isUntrusted(errorCode(outcome.error));
      const wait =
        isLate || isTransient(outcome, post)
          ? waitBeforeNext({ tries, askedMs, tookMs, allTriesMs, random: random() })
          : undefined;
      if (wait === undefined) {
        if ('error' in outcome) {
          throw unreachable(outcome.error, post, tries, tookMs, ownAuthorities?.advice);
        }
        return { ...outcome, tries, tookMs };
      }
      log(
        `${post.service} (${post.url.host}): ${brief(outcome)}; trying again in ${seconds(wait)} (try ${tries + 1}).`,
      );
      post.onRetry?.();
      await sleep(wait);
    }
  };
}

function isTimeout(outcome: Outcome): boolean {
  return 'error' in outcome && errorCode(outcome.error) === 'ETIMEDOUT';
}

function isTransient(outcome: Outcome, post: Post): boolean {
  if ('status' in outcome) {
    return isTransientStatus(outcome.status) || (post.isTransient?.({ ...outcome, tries: 1, tookMs: 0 }) ?? false);
  }
  if (outcome.error instanceof ProxyRefusal) {
    return isTransientStatus(outcome.error.status);
  }
  const causes = causesOf(outcome.error instanceof ProxyFailure ? outcome.error.cause : outcome.error);
  // Of a name's addresses, one that may answer next time is enough.
  return causes.some(({ code }) => isTransientNodeError(code));
}

/** A date in the header is one of the service's clock. */
function retryAfter(outcome: Outcome, now: number): number | undefined {
  if ('status' in outcome) {
    return readRetryAfter(outcome.headers['retry-after'], now + (outcome.skewMs ?? 0));
  }
  return outcome.error instanceof ProxyRefusal ? readRetryAfter(outcome.error.retryAfter, now) : undefined;
}

function seconds(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(1)} s`;
}
