/** As many letters and digits in common with a secret are no accident. */
const PIECE = 20;

/** A secret is known by its blocks: every piece of it holds at least one of them whole. */
const BLOCK = PIECE / 2;

/**
 * Keeps pieces of secrets out of lines. What a service answers can hold pieces of what it was sent, with other
 * characters between them; the agent's masks know each secret only as a whole.
 */
export class PieceGuard {
  /** Each block of the secrets, without what is neither letter nor digit, to the places where it stands. */
  readonly #blocks = new Map<string, Place[]>();
  readonly #short = new Set<string>();

  /** Adds a form of a secret; one that has no piece is looked for as a whole. */
  add(secret: string): void {
    const text = secret.replace(/[^A-Za-z0-9]/g, '');
    if (text.length < PIECE) {
      this.#short.add(secret);
    }
    for (let at = 0; at + BLOCK <= text.length; at += BLOCK) {
      const block = text.slice(at, at + BLOCK);
      const places = this.#blocks.get(block) ?? [];
      places.push({ text, at });
      this.#blocks.set(block, places);
    }
  }

  /** The line with `***` for each run of characters that has a piece of a secret in it. */
  clean(line: string): string {
    const whole = [...this.#short].reduce((text, secret) => text.replaceAll(secret, '***'), line);
    const bare: string[] = [];
    const places: number[] = [];
    for (const { 0: character, index } of whole.matchAll(/[A-Za-z0-9]/g)) {
      bare.push(character);
      places.push(index);
    }
    const text = bare.join('');
    let cleaned = '';
    let done = 0;
    for (let at = 0; at + BLOCK <= text.length; at++) {
      for (const place of this.#blocks.get(text.slice(at, at + BLOCK)) ?? []) {
        const [start, end] = inCommon(text, at, place);
        if (end - start >= PIECE) {
          const from = runStart(whole, places[start] ?? 0);
          cleaned += `${whole.slice(done, Math.max(done, from))}***`;
          done = runEnd(whole, places[end - 1] ?? 0);
          at = end - 1;
          break;
        }
      }
    }
    return cleaned + whole.slice(done);
  }
}

interface Place {
  readonly text: string;
  readonly at: number;
}

/** How far a line and a secret have the same characters around a block that they have in common. */
function inCommon(line: string, at: number, secret: Place): readonly [start: number, end: number] {
  let [start, end] = [at, at + BLOCK];
  while (start > 0 && line[start - 1] === secret.text[secret.at - (at - start) - 1]) {
    start--;
  }
  while (end < line.length && line[end] === secret.text[secret.at + end - at]) {
    end++;
  }
  return [start, end];
}

const IN_A_RUN = /[A-Za-z0-9+/=_.~-]/;

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
