import { type Code, codeOfAadsts, knownAadsts } from '../failure/catalogue.ts';
import { EntraRefusal, Failure } from '../failure/failure.ts';
import type { Answer } from '../network/post.ts';
import { isTransientStatus } from '../network/retry.ts';
import { isRecord } from '../text/json.ts';

/** The JSON object of a body; undefined if it is none. */
export function parse(text: string): Record<string, unknown> | undefined {
  try {
    const body: unknown = JSON.parse(text);
    return isRecord(body) ? body : undefined;
  } catch {
    return undefined;
  }
}

/** Errors of OAuth that a later try may turn into success, whatever the status (RFC 6749, 4.1.2.1). */
const TRANSIENT_ERRORS = ['temporarily_unavailable', 'server_error'];

/** Whether a retry may succeed although the status does not say so. */
export function isTransientAnswer(answer: Answer): boolean {
  const number = aadstsOf(answer);
  return (
    (number !== undefined && codeOfAadsts(number) === 'ET_ENTRA_UNAVAILABLE') ||
    (TRANSIENT_ERRORS.includes(errorWord(answer) ?? '') &&
      (number === undefined || codeOfAadsts(number) === 'ET_ENTRA_REFUSED'))
  );
}

/** Whether an answer is a refusal although its status is one of success. */
export function saysError(answer: Answer): boolean {
  return aadstsOf(answer) !== undefined || errorWord(answer) !== undefined;
}

/** The Failure for an answer that has no token. From the response it contains only numbers, known words and IDs. */
export function refusal(answer: Answer): Failure {
  const { status, skewMs } = answer;
  const effort = answer.tries > 1 ? ` to the last of ${answer.tries} tries` : '';
  if (status >= 300 && status <= 399) {
    return new Failure(
      'ET_ENTRA_ANSWER',
      `Entra answered HTTP ${status}, a redirect, which is not followed with a credential.`,
    );
  }
  const aadsts = aadstsOf(answer);
  const ids = supportIds(answer);
  const isTransient = isTransientStatus(status) || isTransientAnswer(answer);
  if (aadsts !== undefined && (isListed(aadsts) || !isTransient)) {
    const stem = knownAadsts(aadsts);
    const takenFor = stem === aadsts ? '' : `, a case of AADSTS${stem}`;
    return new EntraRefusal(
      codeOfAadsts(aadsts),
      `Entra answered AADSTS${aadsts}${takenFor}${effort}${ids}.`,
      aadsts,
      skewMs,
      isListedItself(aadsts) ? undefined : lookUp(aadsts),
    );
  }
  const number = aadsts === undefined ? '' : `, AADSTS${aadsts}`;
  const error = errorWord(answer);
  const words = [error, subError(answer)].filter((word) => word !== undefined).join(', ');
  const said = words === '' ? `HTTP ${status}${number}` : `HTTP ${status}, ${words}${number}`;
  if (status === 429) {
    return new Failure('ET_ENTRA_THROTTLED', `Entra answered HTTP 429${number}${effort}${ids}.`);
  }
  if (status === 408 || status >= 500) {
    return new Failure('ET_ENTRA_UNAVAILABLE', `Entra answered HTTP ${status}${number}${effort}${ids}.`);
  }
  if (error !== undefined && TRANSIENT_ERRORS.includes(error)) {
    return new Failure('ET_ENTRA_UNAVAILABLE', `Entra answered ${said}${effort}${ids}.`);
  }
  if (error !== undefined) {
    return new EntraRefusal(codeOfWord(error), `Entra answered ${said}${ids}.`, undefined, skewMs);
  }
  return new Failure('ET_ENTRA_ANSWER', `Entra answered HTTP ${status} with a body that is no token answer.`);
}

/** The meaning of OAuth errors that are as specific as a number. */
function codeOfWord(error: string): Code {
  const codes: Readonly<Record<string, Code>> = {
    invalid_scope: 'ET_SCOPE_INVALID',
    invalid_resource: 'ET_RESOURCE_UNKNOWN',
    interaction_required: 'ET_CONDITIONAL_ACCESS',
  };
  return codes[error] ?? 'ET_ENTRA_REFUSED';
}

function lookUp(aadsts: number): string {
  return `Look the number up at https://login.microsoftonline.com/error?code=${aadsts}.`;
}

function isListed(aadsts: number): boolean {
  return codeOfAadsts(aadsts) !== 'ET_ENTRA_REFUSED';
}

/**
 * The most specific number: one that the catalogue has before one that it lacks, because a general one often comes
 * first (70002 before 70021). It is searched in `error_codes`, the description, the address of the error's page, and
 * at last anywhere in the body: gateways wrap the response in their own.
 */
function aadstsOf({ body: text, status }: Answer): number | undefined {
  const body = parse(text);
  const listed = body?.['error_codes'];
  const own = (Array.isArray(listed) ? listed : [listed]).map(readNumber);
  const found = [
    ...own,
    ...numbersIn(body?.['error_description']),
    ...numbersIn(body?.['error_uri']),
    ...(status === 200 && body?.['access_token'] !== undefined ? [] : numbersIn(text)),
  ].filter((number) => number !== undefined);
  return found.find(isListedItself) ?? found.find(isListed) ?? found[0];
}

function isListedItself(number: number): boolean {
  return isListed(number) && knownAadsts(number) === number;
}

function readNumber(value: unknown): number | undefined {
  const number = typeof value === 'string' && /^(?:AADSTS)?\d{4,9}$/.test(value) ? value.replace(/\D/g, '') : value;
  const read = typeof number === 'string' ? Number(number) : number;
  return typeof read === 'number' && Number.isSafeInteger(read) && read > 0 ? read : undefined;
}

function numbersIn(text: unknown): number[] {
  if (typeof text !== 'string') {
    return [];
  }
  const named = [...text.matchAll(/AADSTS\s?(\d{4,9})(?!\d)|\berror\?code=(\d{4,9})(?!\d)/g)].map(([, a, b]) => a ?? b);
  // The list of a response that is embedded in another text, perhaps with its quotation marks escaped.
  const listed = [...text.matchAll(/error_codes\\*"?\s*:\s*\[([\d\s,]{4,100})\]/g)].flatMap(
    ([, list]) => list?.split(',') ?? [],
  );
  return [...named, ...listed.map((number) => number.trim())].map(readNumber).filter((number) => number !== undefined);
}

const WORD = /^[a-z][a-z_]{2,39}$/;

/** The OAuth error, in its field or one level below, where gateways put it. */
function errorWord({ body }: Answer): string | undefined {
  const error = parse(body)?.['error'];
  const word = isRecord(error) ? (error['code'] ?? error['error']) : error;
  return typeof word === 'string' && WORD.test(word) ? word : undefined;
}

function subError({ body }: Answer): string | undefined {
  const word = parse(body)?.['suberror'];
  return typeof word === 'string' && WORD.test(word) ? word : undefined;
}

const GUID = '[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}';
const INSTANT = '\\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\dZ';

/** The identifiers that Microsoft's support asks for: in fields of their own, in the description, or in the headers. */
function supportIds({ body: text, headers }: Answer): string {
  const body = parse(text);
  const description = body?.['error_description'];
  const sentence = typeof description === 'string' ? description : text;
  const known: readonly (readonly [string, string, string, string, string])[] = [
    ['trace_id', 'Trace ID', 'x-ms-request-id', 'trace ID', GUID],
    ['correlation_id', 'Correlation ID', 'client-request-id', 'correlation ID', GUID],
    ['timestamp', 'Timestamp', '', 'at', INSTANT],
  ];
  const ids = known.flatMap(([field, label, header, name, form]) => {
    const inSentence = new RegExp(`\\b${label}: (${form})\\b`, 'i').exec(sentence)?.[1];
    const value = [body?.[field], inSentence, headers[header]].find(
      (candidate) => typeof candidate === 'string' && new RegExp(`^(?:${form})$`, 'i').test(candidate),
    );
    return typeof value === 'string' ? [`${name} ${value}`] : [];
  });
  return ids.length === 0 ? '' : ` (${ids.join(', ')})`;
}
