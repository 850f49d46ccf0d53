import type { FreshIdToken } from './azure-devops.ts';
import type { IdToken } from './id-token.ts';
import { type Clocks, Life } from './life.ts';

/**
 * The lifetime of a token that has just arrived. A clock of the service by which even a new token has expired is
 * ignored.
 */
export function lifeOf({ idToken, skewMs = 0 }: FreshIdToken, clocks: Clocks): Life {
  const { expiresAt } = idToken;
  return new Life(expiresAt - skewMs > clocks.now() ? expiresAt - skewMs : expiresAt, clocks);
}

/** An ID token for a client of the endpoint. */
export interface LiveIdToken {
  readonly idToken: IdToken;
  readonly leftMs: number;
}

/** Returns a valid ID token; throws a Failure. */
export interface IdTokens {
  /** One for an immediate exchange. */
  readonly toExchange: () => Promise<IdToken>;
  /** One for a tool that may use it later: most of its lifetime is left. */
  readonly toHandOut: () => Promise<LiveIdToken>;
}

/** An exchange takes seconds. Milliseconds. */
const TO_EXCHANGE_MS = 60_000;

/** Half of the lifetime that Azure DevOps gives. Milliseconds. */
const TO_HAND_OUT_MS = 5 * 60_000;

/**
 * The ID tokens of Azure DevOps, of which the last is cached. There is one request at a time, and all callers during
 * it wait for it. During an outage of Azure DevOps the last one is used until it expires.
 */
export class HeldIdTokens implements IdTokens {
  readonly #ask: () => Promise<FreshIdToken>;
  readonly #clocks: Clocks;
  #held: { readonly idToken: IdToken; readonly life: Life } | undefined;
  #asking: Promise<void> | undefined;

  constructor(ask: () => Promise<FreshIdToken>, clocks: Clocks) {
    this.#ask = ask;
    this.#clocks = clocks;
  }

  /** Caches a token that was requested elsewhere. */
  hold(fresh: FreshIdToken): void {
    this.#held = { idToken: fresh.idToken, life: lifeOf(fresh, this.#clocks) };
  }

  readonly toExchange = async (): Promise<IdToken> =>
    (await this.#withLeft((lifeMs) => Math.min(TO_EXCHANGE_MS, lifeMs / 4))).idToken;

  readonly toHandOut = (): Promise<LiveIdToken> => this.#withLeft((lifeMs) => Math.min(TO_HAND_OUT_MS, lifeMs / 2));

  async #withLeft(least: (lifeMs: number) => number): Promise<LiveIdToken> {
    const before = this.#held;
    if (before === undefined || before.life.leftMs() < least(before.life.lifeMs)) {
      this.#asking ??= this.#ask()
        .then((fresh) => this.hold(fresh))
        .finally(() => {
          this.#asking = undefined;
        });
      try {
        await this.#asking;
      } catch (error) {
        if (before === undefined || before.life.leftMs() <= before.life.lifeMs / 8) {
          throw error;
        }
      }
    }
    const held = this.#held;
    if (held === undefined) {
      throw new TypeError('no ID token');
    }
    return { idToken: held.idToken, leftMs: held.life.leftMs() };
  }
}
