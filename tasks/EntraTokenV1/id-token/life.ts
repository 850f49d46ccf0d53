/** Both clocks of the machine, in milliseconds: the wall clock, and the monotonic clock. */
export interface Clocks {
  readonly now: () => number;
  readonly elapsed: () => number;
}

/** How long a token lives. Times are milliseconds, by our clocks. */
export class Life {
  readonly expiresAt: number;
  /** In all, from its arrival. */
  readonly lifeMs: number;
  readonly #since: number;
  readonly #clocks: Clocks;

  constructor(expiresAt: number, clocks: Clocks, lifeMs = expiresAt - clocks.now()) {
    this.expiresAt = expiresAt;
    this.lifeMs = lifeMs;
    this.#since = clocks.elapsed();
    this.#clocks = clocks;
  }

  /**
   * What is left of it, by the clock that leaves less: one stops while the machine sleeps, the other can be set back.
   */
  leftMs(): number {
    const { now, elapsed } = this.#clocks;
    return Math.min(this.expiresAt - now(), this.lifeMs - (elapsed() - this.#since));
  }
}
