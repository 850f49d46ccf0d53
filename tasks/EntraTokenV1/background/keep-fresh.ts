import type { Code } from '../failure/catalogue.ts';
import { Failure, unforeseen } from '../failure/failure.ts';
import type { FreshIdToken } from '../id-token/azure-devops.ts';
import { lifeOf } from '../id-token/held-id-tokens.ts';
import { type Clocks, Life } from '../id-token/life.ts';
import { TRY_MS } from '../network/retry.ts';
import type { Secret } from '../text/secret.ts';
import type { FileOrders } from './orders.ts';
import { nextRenewal, nextTry } from './renewal.ts';

/** How often the file is checked when nothing is due. A timer stops while the machine sleeps. Milliseconds. */
const LOOK_MS = 500;

/** How soon a file that the system would not replace or remove is tried again. Milliseconds. */
const AGAIN_MS = 50;

/** A single refusal may be temporary; this many in a row, the last after the token has expired, are final. */
const REFUSALS = 3;

const SHORTEST_TRY_MS = 500;

const refusals: ReadonlySet<Code> = new Set<Code>([
  'ET_DEVOPS_UNAUTHORIZED',
  'ET_DEVOPS_FORBIDDEN',
  'ET_DEVOPS_CONNECTION_REFUSED',
  'ET_DEVOPS_REFUSED',
]);

/** Cancels what was to be done later. */
export type Cancel = () => void;

export interface KeepFreshOptions {
  /** Requests a new ID token, once, within the given time. Throws a Failure. */
  readonly ask: (tryMs: number) => Promise<FreshIdToken>;
  /** Puts a token in place; throws where the system refuses for the moment. */
  readonly write: (token: Secret) => void;
  /** Removes the token; gives false where the system refuses for the moment. */
  readonly remove: () => boolean;
  readonly clocks: Clocks;
  /** Does something after a time (milliseconds), unless it is cancelled. */
  readonly after: (milliseconds: number, act: () => void) => Cancel;
  readonly random: () => number;
  /** Told how often the token was renewed, and why the last renewal failed. */
  readonly report: (renewed: number, failing: Code | undefined) => void;
  /** Told when the token is refused for good and the file is gone. */
  readonly onEnd: () => void;
}

/**
 * Renews the token in the file for as long as the process lives, and removes the file rather than leave an expired
 * token in it. What the system refuses for the moment, as Windows does while a reader has the file open, is tried
 * again.
 */
export function keepFresh(file: FileOrders, options: KeepFreshOptions): void {
  const { ask, write, remove, clocks, after, random, report, onEnd } = options;
  /** The token in the file, and the newest one: the same, except while the file cannot be replaced. */
  let inFile: Life | undefined = new Life(file.expiresAt, clocks, file.lifeMs);
  let newest = inFile;
  let unwritten: Secret | undefined;
  let renewed = 0;
  let failures = 0;
  let refused = 0;
  /** The time of the next try after a failed one; undefined if the last one succeeded. */
  let tryAt: number | undefined;
  let isRenewing = false;
  let cancelLook: Cancel = () => {};

  async function renew(): Promise<void> {
    isRenewing = true;
    try {
      const fresh = await ask(tryMs());
      const life = lifeOf(fresh, clocks);
      if (life.leftMs() <= 0) {
        throw new Failure('ET_DEVOPS_ANSWER', 'Azure DevOps answered with an ID token that has expired.');
      }
      newest = life;
      unwritten = fresh.idToken.token;
      failures = 0;
      refused = 0;
      tryAt = undefined;
    } catch (error) {
      const { code } = unforeseen(error);
      failures++;
      refused = refusals.has(code) ? refused + 1 : 0;
      tryAt = clocks.elapsed() + nextTry(failures, newest.leftMs(), newest.lifeMs, random());
      report(renewed, code);
    }
    isRenewing = false;
    look();
  }

  /** The time for one try: several fit into what is left of the token; after it has expired, as much as at first. */
  function tryMs(): number {
    const leftMs = newest.leftMs();
    const share = leftMs > 0 ? Math.min(newest.lifeMs / 8, leftMs / 4) : newest.lifeMs / 8;
    return Math.max(SHORTEST_TRY_MS, Math.min(TRY_MS, share));
  }

  /** Puts the newest token into the file, or removes the file once that has expired. */
  function settle(): void {
    if (unwritten !== undefined && untilRemoval(newest) > 0) {
      try {
        write(unwritten);
        inFile = newest;
        unwritten = undefined;
        renewed++;
        report(renewed, undefined);
      } catch {
        report(renewed, 'ET_TOKEN_FILE');
      }
    }
    if (inFile !== undefined && untilRemoval(inFile) === 0 && remove()) {
      inFile = undefined;
    }
  }

  function isUnsettled(): boolean {
    return unwritten !== undefined || (inFile !== undefined && untilRemoval(inFile) === 0);
  }

  /** Until the token is renewed, or a try is repeated. */
  function untilDue(): number {
    const dueMs =
      tryAt === undefined ? newest.leftMs() - (newest.lifeMs - nextRenewal(newest.lifeMs)) : tryAt - clocks.elapsed();
    return Math.max(0, dueMs);
  }

  function look(): void {
    cancelLook();
    settle();
    if (refused >= REFUSALS && inFile === undefined) {
      onEnd();
      return;
    }
    if (!isRenewing && untilDue() === 0) {
      void renew();
    }
    const waits = [
      isRenewing ? LOOK_MS : untilDue(),
      isUnsettled() ? AGAIN_MS : LOOK_MS,
      inFile === undefined ? LOOK_MS : untilRemoval(inFile) || AGAIN_MS,
    ];
    cancelLook = after(Math.min(...waits), look);
  }

  look();
}

/** The time until shortly before the token expires, because a timer fires late and clocks have whole seconds. */
function untilRemoval(life: Life): number {
  return Math.max(0, life.leftMs() - Math.min(2000, life.lifeMs / 10));
}
