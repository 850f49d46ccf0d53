/** Both clocks of the machine, in milliseconds: the one that a token's end is told by, and the one that nobody can set. */
export interface Clocks {
  readonly now: () => number;
  readonly elapsed: () => number;
}

/** How long a token lives. Times are milliseconds, by our clocks. */
export class Life {
  readonly expiresAt: number;
  /** In all, from when it came. */
  readonly lifeMs: number;
  readonly #since: number;
  readonly #clocks: Clocks;

  constructor(expiresAt: number, clocks: Clocks, lifeMs = expiresAt - clocks.now()) {
    this.expiresAt = expiresAt;
    this.lifeMs = lifeMs;
    this.#since = clocks.elapsed();
    this.#clocks = clocks;
  }

  /** What is left of it, by whichever clock leaves less: one stands still while the machine sleeps, the other can be set back. */
  leftMs(): number {
    const { now, elapsed } = this.#clocks;
    return Math.min(this.expiresAt - now(), this.lifeMs - (elapsed() - this.#since));
  }
}
