/** One of the long tests. */
export interface Section {
  name: string;
  /** What it shows, in a line. */
  about: string;
  /** How many cases it has in full. */
  size: number;
  /** Runs so many cases, and tells the report of each. */
  run(cases: number, report: Report): Promise<void>;
}

/** Counts what passed and what failed, and prints the failures and a word of progress now and then. */
export class Report {
  passes = 0;
  failures = 0;
  readonly #print: (text: string) => void;
  #section = '';
  #startedAt = 0;
  #before = { passes: 0, failures: 0 };
  #toldAt = 0;

  constructor(print: (text: string) => void) {
    this.#print = print;
  }

  begin(section: string, cases: number): void {
    this.#section = section;
    this.#startedAt = performance.now();
    this.#toldAt = this.#startedAt;
    this.#before = { passes: this.passes, failures: this.failures };
    this.#print(`${section}: ${cases} cases`);
  }

  /** One case, by its faults: none is a pass. */
  judge(about: string, wrong: readonly string[]): void {
    if (wrong.length === 0) this.passed();
    else this.failed(`${about}\n${wrong.map((fault) => `      ${fault.slice(0, 500)}`).join('\n')}`);
  }

  /** One case: a pass if it throws nothing. */
  async attempt(about: string, run: () => Promise<void>): Promise<void> {
    try {
      await run();
      this.judge(about, []);
    } catch (error) {
      this.judge(about, [error instanceof Error ? error.message : String(error)]);
    }
  }

  passed(count = 1): void {
    this.passes += count;
    this.#progress();
  }

  failed(what: string): void {
    this.failures += 1;
    this.#print(`    FAILED ${what}`);
  }

  /** A line for the reader, which counts for nothing. */
  note(text: string): void {
    this.#print(`    ${text}`);
  }

  end(): void {
    const seconds = ((performance.now() - this.#startedAt) / 1000).toFixed(0);
    const { passed, failed } = this.#own();
    this.#print(`${this.#section}: ${passed} passed, ${failed} failed, in ${seconds} s`);
  }

  summary(): string {
    return `${this.passes} passed, ${this.failures} failed`;
  }

  #own(): { passed: number; failed: number } {
    return { passed: this.passes - this.#before.passes, failed: this.failures - this.#before.failures };
  }

  #progress(): void {
    const now = performance.now();
    if (now - this.#toldAt < 60_000) return;
    this.#toldAt = now;
    this.#print(`    ${this.#own().passed} passed so far`);
  }
}

/** Does the work for each item, so many at a time. */
export async function sideBySide<T>(
  items: Iterable<T>,
  workers: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const iterator = items[Symbol.iterator]();
  const worker = async (): Promise<void> => {
    for (let next = iterator.next(); !next.done; next = iterator.next()) await work(next.value);
  };
  await Promise.all(Array.from({ length: workers }, worker));
}
