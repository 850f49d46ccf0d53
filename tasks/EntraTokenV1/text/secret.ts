import { inspect } from 'node:util';

/** Tells the agent to replace a text in everything that is printed after this call. */
export type Mask = (text: string) => void;

/** Shorter pieces are not masked on their own: a short mask would blot out half of the log. */
const SHORTEST_MASK = 16;

/**
 * A text that cannot be printed by accident: strings, templates, JSON and `console.log` all show `***`.
 * The value leaves only through `reveal()`, so that a reader can search for every place that takes it out.
 */
export class Secret {
  readonly #value: string;

  private constructor(value: string) {
    this.#value = value;
  }

  /** Masks every form in which the token is likely to be printed, and only then wraps it. */
  static masked(value: string, mask: Mask): Secret {
    for (const form of printableForms(value)) {
      mask(form);
    }
    return new Secret(value);
  }

  /** Wraps a value that the agent masked itself before the step began (the job token, a proxy's password). */
  static maskedByAgent(value: string): Secret {
    return new Secret(value);
  }

  /** The value itself, for the one place that needs it. */
  reveal(): string {
    return this.#value;
  }

  toString(): string {
    return '***';
  }

  toJSON(): string {
    return '***';
  }

  [inspect.custom](): string {
    return '***';
  }
}

/**
 * The texts under which a token could turn up in a log: itself, the parts of a JWT, and what of its Base64 form does
 * not depend on what stands before and after it, at each of the three offsets; these cover `:token` and
 * `user:token` of Basic authorization too. JSON, URL and backslash escapes are the agent's own work (its masker adds
 * them to every secret).
 */
export function printableForms(token: string): string[] {
  const forms = new Set<string>([token]);
  const parts = token.split('.');
  if (parts.length === 3) {
    for (const part of [...parts, `${parts[0]}.${parts[1]}`, `${parts[1]}.${parts[2]}`]) {
      forms.add(part);
    }
  }
  for (let offset = 0; offset < 3; offset++) {
    const inner = base64Within(token, offset);
    forms.add(inner);
    forms.add(inner.replaceAll('+', '-').replaceAll('/', '_'));
  }
  forms.add(Buffer.from(token).toString('base64'));
  forms.add(Buffer.from(`:${token}`).toString('base64'));
  return [...forms].filter((form) => form === token || form.length >= SHORTEST_MASK);
}

/** The Base64 characters that `text` alone decides when `offset` bytes precede it and anything follows it. */
function base64Within(text: string, offset: number): string {
  const bytes = Buffer.concat([Buffer.alloc(offset), Buffer.from(text)]);
  const whole = Math.floor((bytes.length * 4) / 3);
  return bytes.toString('base64').slice(Math.ceil((offset * 4) / 3), whole);
}
