import { type Code, entryOf } from './catalogue.ts';

/** Where the documentation of each code stands; the build puts in the repository's own address. */
declare const DOCS_URL: string;

/**
 * Why the step cannot give what it was asked for. `happened` is a whole sentence of our own, made of values that may
 * be shown; it never holds a token, a header, or text that a server or a library wrote.
 */
export class Failure extends Error {
  override readonly name = 'Failure';
  readonly code: Code;
  readonly happened: string;
  /** Replaces the catalogue's advice where the facts at hand allow better advice. */
  readonly advice: string | undefined;
  /** Replaces the catalogue's reason in the same way. */
  readonly reason: string | undefined;
  /** Lines for the log above the error: what is to be copied, each on a line of its own. */
  readonly lines: readonly string[];

  constructor(
    code: Code,
    happened: string,
    advice?: string,
    more: { reason?: string; lines?: readonly string[] } = {},
  ) {
    super(happened);
    this.code = code;
    this.happened = happened;
    this.advice = advice;
    this.reason = more.reason;
    this.lines = more.lines ?? [];
  }

  /** The one red line: code, what happened, the likely reason, what to do, and where it is documented. */
  line(): string {
    const { reason, remedy } = entryOf(this.code);
    const anchor = `${DOCS_URL}/errors.md#${this.code.toLowerCase()}`;
    return `${this.code}: ${this.happened} ${this.reason ?? reason} ${this.advice ?? remedy} See ${anchor}`;
  }
}

/** Entra refused the exchange; the number says why. */
export class EntraRefusal extends Failure {
  readonly aadsts: number | undefined;
  readonly skewMs: number | undefined;

  constructor(code: Code, happened: string, aadsts: number | undefined, skewMs: number | undefined, advice?: string) {
    super(code, happened, advice);
    this.aadsts = aadsts;
    this.skewMs = skewMs;
  }
}

/** The failure for something that this code did not foresee. The foreign error's text stays unseen: it may quote a secret. */
export function unforeseen(error: unknown): Failure {
  if (error instanceof Failure) {
    return error;
  }
  const kind = error instanceof Error ? safeWord(error.name) : typeof error;
  const code = errorCode(error);
  return new Failure(
    'ET_UNEXPECTED',
    `The task encountered an unexpected error (${code ? `${kind}, ${code}` : kind}).`,
  );
}

/**
 * Node's own error code (`ENOENT`, `ECONNRESET`, …) of a caught value, if it has one that is safe to print. Those of TLS
 * are made of OpenSSL's sentences: `ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE` on Node 24.
 */
export function errorCode(error: unknown): string | undefined {
  if (typeof error === 'object' && error !== null && 'code' in error && typeof error.code === 'string') {
    return /^[A-Z][A-Z0-9_./-]{1,60}$/.test(error.code) ? error.code : undefined;
  }
  return undefined;
}

function safeWord(text: string): string {
  return /^[A-Za-z]{1,40}$/.test(text) ? text : 'Error';
}
