/** What Node's test runner says of a test with each of its events. */
export interface SeenTest {
  readonly name: string;
  readonly file?: string | undefined;
  readonly line?: number | undefined;
  readonly column?: number | undefined;
  readonly skip?: string | boolean | undefined;
}

/** Keeps count of the tests that begin and end, so that a file which dies does not take its tests with it unnoticed. */
export class Tally {
  readonly #relative: (path: string) => string;
  readonly #pending = new Map<string, { readonly title: string; open: number }>();
  readonly #heardOf = new Set<string>();
  readonly #skipped = new Map<string, string[]>();

  /** @param relative how the path of a file is shown */
  constructor(relative: (path: string) => string) {
    this.#relative = relative;
  }

  /** A test that waits for its turn. */
  enqueued(test: SeenTest): void {
    const title = this.#title(test);
    if (title === undefined) return;
    const key = keyOf(test);
    const known = this.#pending.get(key) ?? { title, open: 0 };
    known.open += 1;
    this.#pending.set(key, known);
  }

  /** A test that has ended, in whatever way. */
  completed(test: SeenTest): void {
    const title = this.#title(test);
    if (title === undefined) return;
    this.#heardOf.add(test.file ?? '');
    const known = this.#pending.get(keyOf(test));
    if (known !== undefined) known.open -= 1;
    if (typeof test.skip === 'string' && test.skip !== '') this.#skip(test.skip, title);
  }

  /** A file of which no test is run, where there is a reason. */
  leftOut(file: string, reason: string | undefined): void {
    if (reason !== undefined) this.#skip(reason, `${this.#relative(file)}: all of it`);
  }

  /** What should have run and did not: files of which no test was heard, and tests that never came to an end. */
  lost(files: readonly string[]): string[] {
    return [
      ...files
        .filter((file) => !this.#heardOf.has(file))
        .map((file) => `${this.#relative(file)}: none of its tests ran`),
      ...[...this.#pending.values()].filter(({ open }) => open > 0).map(({ title }) => `${title}: it did not end`),
    ];
  }

  /** Of the tests that were left out, each reason with those it was given for. */
  get skipped(): ReadonlyMap<string, readonly string[]> {
    return this.#skipped;
  }

  #skip(reason: string, title: string): void {
    this.#skipped.set(reason, [...(this.#skipped.get(reason) ?? []), title]);
  }

  /** The process of a file counts as a test as well, named after the file. */
  #title({ file, name }: SeenTest): string | undefined {
    return file === undefined || name === file ? undefined : `${this.#relative(file)}: ${name}`;
  }
}

function keyOf({ file, line, column, name }: SeenTest): string {
  return [file, line, column, name].join('\n');
}

/** The last words of a run: what was lost, and what was left out and why; empty where there is nothing to say. */
export function summary(lost: readonly string[], skipped: ReadonlyMap<string, readonly string[]>): string {
  const left = [...skipped].flatMap(([reason, titles]) => [`  ${reason}:`, ...titles.map((title) => `    ${title}`)]);
  return [
    ...(lost.length === 0 ? [] : ['\nLost, which is a failure:', ...lost.map((line) => `  ${line}`)]),
    ...(left.length === 0 ? [] : ['\nNot run on this machine:', ...left]),
  ]
    .map((line) => `${line}\n`)
    .join('');
}
