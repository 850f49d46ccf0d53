import type { AccessToken } from '../exchange/exchange.ts';
import { type Failure, unforeseen } from '../failure/failure.ts';
import { type Clocks, Life } from '../id-token/life.ts';
import { isOutage } from './answers.ts';

/** The clock of the cache. Milliseconds. */
export interface CacheClocks extends Clocks {
  readonly sleep: (milliseconds: number) => Promise<void>;
}

/** A token to return, and its remaining lifetime. Milliseconds. */
export interface Lent {
  readonly token: AccessToken;
  readonly leftMs: number;
}

/** MSAL treats a token as expired five minutes early, and would ask again for each use. Milliseconds. */
const LEAST_LEFT_MS = 6 * 60_000;

/**
 * A request during the refresh of a valid token waits this long for the new one, and then gets the valid one.
 * Milliseconds.
 */
const REFRESH_WAIT_MS = 2000;

/** After a failed refresh, the next one is at the earliest after this time. Milliseconds. */
const REFRESH_PAUSE_MS = 30_000;

/** A refusal is repeated to every request within this time. Milliseconds. */
const REFUSAL_MS = 5000;

interface Held {
  readonly token: AccessToken;
  readonly life: Life;
}

/**
 * The tokens of one scope, of which the last is cached. There is one exchange at a time, and all requests during it
 * wait for it. A token is refreshed when Entra advises it, else in the last quarter of its lifetime, so that an
 * outage of minutes has no effect.
 */
export class TokenCache {
  readonly #exchange: () => Promise<AccessToken>;
  readonly #clocks: CacheClocks;
  #held: Held | undefined;
  #asking: Promise<Held> | undefined;
  #refusal: { readonly failure: Failure; readonly since: number } | undefined;
  #refreshFailedAt = Number.NEGATIVE_INFINITY;

  constructor(exchange: () => Promise<AccessToken>, clocks: CacheClocks) {
    this.#exchange = exchange;
    this.#clocks = clocks;
  }

  /**
   * Returns the cached token while it is valid for six more minutes, else a new one. One with a shorter lifetime is
   * returned during the first half of it, and during an outage until it expires. Throws a Failure.
   * @param skip true to request a new one although one is cached
   */
  async lend(skip = false): Promise<Lent> {
    const held = this.#held;
    if (held !== undefined && !skip && held.life.leftMs() >= leastLeft(held.life)) {
      return lent(this.#isDue(held) ? await this.#refreshed(held) : held);
    }
    if (this.#refusal !== undefined && this.#clocks.elapsed() - this.#refusal.since < REFUSAL_MS) {
      throw this.#refusal.failure;
    }
    try {
      return lent(await this.#ask());
    } catch (error) {
      const failure = unforeseen(error);
      if (held !== undefined && isOutage(failure) && isShortButAlive(held.life)) {
        return lent(held);
      }
      throw failure;
    }
  }

  async #refreshed(held: Held): Promise<Held> {
    const fresh = this.#ask().catch(() => {
      this.#refreshFailedAt = this.#clocks.elapsed();
      return held;
    });
    return Promise.race([fresh, this.#clocks.sleep(REFRESH_WAIT_MS).then(() => held)]);
  }

  #ask(): Promise<Held> {
    this.#asking ??= this.#exchangeOnce().finally(() => {
      this.#asking = undefined;
    });
    return this.#asking;
  }

  async #exchangeOnce(): Promise<Held> {
    try {
      const token = await this.#exchange();
      this.#held = { token, life: new Life(token.expiresAt, this.#clocks) };
      this.#refusal = undefined;
      return this.#held;
    } catch (error) {
      const failure = unforeseen(error);
      if (!isOutage(failure)) {
        this.#refusal = { failure, since: this.#clocks.elapsed() };
      }
      throw failure;
    }
  }

  #isDue({ token, life }: Held): boolean {
    const { now, elapsed } = this.#clocks;
    const isTime = token.refreshAt === undefined ? life.leftMs() < life.lifeMs / 4 : now() >= token.refreshAt;
    return isTime && elapsed() - this.#refreshFailedAt >= REFRESH_PAUSE_MS;
  }
}

function lent({ token, life }: Held): Lent {
  return { token, leftMs: life.leftMs() };
}

function leastLeft({ lifeMs }: Life): number {
  return lifeMs > LEAST_LEFT_MS ? LEAST_LEFT_MS : lifeMs / 2;
}

function isShortButAlive(life: Life): boolean {
  return life.lifeMs <= LEAST_LEFT_MS && life.leftMs() > life.lifeMs / 8;
}
