/** Time that passes when a test says so: both clocks of a machine, and what was to be done later. */
export class VirtualTime {
  #elapsed = 0;
  /** What is to be done, and when by the clock that nobody can set. */
  readonly #due: { at: number; act: () => void }[] = [];
  /** How far the clock on the wall is ahead of the one that nobody can set; a test may set it. */
  wallOffset = 1_800_000_000_000;
  /** How often something was done later. */
  wakeUps = 0;

  readonly now = (): number => this.#elapsed + this.wallOffset;
  readonly elapsed = (): number => this.#elapsed;
  readonly sleep = (milliseconds: number): Promise<void> =>
    new Promise((resolve) => this.after(milliseconds, () => resolve()));

  readonly after = (milliseconds: number, act: () => void): (() => void) => {
    // Node fires a timer that is too long for it at once (Node: timers).
    const entry = { at: this.#elapsed + (milliseconds > 2 ** 31 - 1 ? 1 : Math.max(1, milliseconds)), act };
    this.#due.push(entry);
    return () => {
      const at = this.#due.indexOf(entry);
      if (at >= 0) this.#due.splice(at, 1);
    };
  };

  /** Lets time pass, and everything happen that is due meanwhile. */
  async pass(milliseconds: number): Promise<void> {
    const end = this.#elapsed + milliseconds;
    for (;;) {
      await settled();
      const next = this.#due.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (next === undefined) break;
      this.#due.splice(this.#due.indexOf(next), 1);
      this.#elapsed = Math.max(this.#elapsed, next.at);
      this.wakeUps++;
      next.act();
    }
    this.#elapsed = end;
    await settled();
  }

  /** The machine sleeps: only the clock on the wall goes on. */
  async sleepMachine(milliseconds: number): Promise<void> {
    this.wallOffset += milliseconds;
    await settled();
  }
}

/** What was promised is done. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
