/** As many letters and digits in a row in common with a secret are no accident. */
const PIECE = 20;

/** However a piece lies in a line, it covers one of the line's blocks of this length. */
const BLOCK = PIECE / 2;

const SEPARATORS = /[^A-Za-z0-9]+/g;

/** What is taken out together: a token with a piece of a secret in it may be all secret. */
const IN_A_RUN = /[A-Za-z0-9+/=_.~-]/;

/**
 * Keeps pieces of secrets out of lines. What a service answers can hold pieces of what it was sent, with other
 * characters between them; the agent's masks know each secret only as a whole.
 */
export class PieceGuard {
  /** The letters and digits of each secret, a line each. */
  #secrets = '';
  readonly #short = new Set<string>();

  /** Adds a form of a secret; one that has no piece is looked for as a whole. */
  add(secret: string): void {
    const text = secret.replace(SEPARATORS, '');
    if (text.length < PIECE) {
      this.#short.add(secret);
    } else if (!this.#secrets.includes(text)) {
      this.#secrets += `${text}\n`;
    }
  }

  /** The line with `***` for each run of characters that has a piece of a secret in it. */
  clean(line: string): string {
    const whole = [...this.#short].reduce((text, secret) => text.replaceAll(secret, '***'), line);
    const letters = whole.replace(SEPARATORS, '');
    if (!this.#mayHaveOne(letters)) {
      return whole;
    }
    const places = [...whole.matchAll(/[A-Za-z0-9]/g)].map(({ index }) => index);
    const isPiece = (at: number): boolean =>
      at + PIECE <= letters.length && this.#secrets.includes(letters.slice(at, at + PIECE));
    let cleaned = '';
    let done = 0;
    for (let at = 0; at < letters.length; at++) {
      if (!isPiece(at)) {
        continue;
      }
      let last = at;
      while (isPiece(last + 1)) {
        last++;
      }
      cleaned += `${whole.slice(done, Math.max(done, runStart(whole, places[at] ?? 0)))}***`;
      done = runEnd(whole, places[last + PIECE - 1] ?? 0);
      at = last + PIECE - 1;
    }
    return cleaned + whole.slice(done);
  }

  /** Nearly every line has none, and is to cost nearly nothing. */
  #mayHaveOne(letters: string): boolean {
    for (let at = 0; at + BLOCK <= letters.length; at += BLOCK) {
      if (this.#secrets.includes(letters.slice(at, at + BLOCK))) {
        return true;
      }
    }
    return false;
  }
}

function runStart(text: string, from: number): number {
  let at = from;
  while (at > 0 && IN_A_RUN.test(text[at - 1] ?? '')) {
    at--;
  }
  return at;
}

function runEnd(text: string, from: number): number {
  let at = from;
  while (at < text.length && IN_A_RUN.test(text[at] ?? '')) {
    at++;
  }
  return at;
}
