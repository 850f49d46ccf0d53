// The password of a URL with user information, without what surrounds it (agent: AdditionalMaskingRegexes.cs).
const URL_PASSWORD =
  /(?<=\/\/[^:/?#\n]+:)(?:[\p{L}\p{Mn}\p{Nd}\p{Pc}.~-]|(?:%|%AZP25)[0-9a-fA-F]{2}|[!$&'()*+,;=:])+(?=@)/gu;

/** What the agent knows as secret, and how it hides that in the log. */
export interface Masker {
  /** Hides a value from now on, and the three encoded forms that the agent derives. Empty values are ignored. */
  add(value: string): void;
  /** Hides a secret variable that came with the job: also trimmed, without its quotes, escaped, and as Base64. */
  addJobSecret(value: string): void;
  /** Replaces each secret by three asterisks; secrets that overlap or touch become one. */
  mask(text: string): string;
}

/** Makes the masker of one job (agent: SecretMasker, HostContext.cs, Worker.cs). */
export function createMasker(): Masker {
  const secrets = new Set<string>();

  function add(value: string): void {
    for (const form of [value, jsonEscape(value), uriEscape(value), backslashUnescape(value)]) {
      if (form !== '') secrets.add(form);
    }
  }

  function addWithTrimmedForms(value: string): void {
    add(value);
    for (const quote of ["'", '"']) {
      if (value.startsWith(quote) && value.endsWith(quote)) add(trim(value, quote));
    }
    add(trim(value, '\r\n '));
  }

  function addJobSecret(value: string): void {
    if (value.trim() === '') return;
    for (const form of [value, Buffer.from(value, 'utf8').toString('base64')]) {
      addWithTrimmedForms(form);
      const withoutLineBreaks = form.replaceAll('\r', '%0D').replaceAll('\n', '%0A');
      addWithTrimmedForms(withoutLineBreaks);
      addWithTrimmedForms(form.replaceAll('%', '%AZP25').replaceAll('\r', '%0D').replaceAll('\n', '%0A'));
    }
  }

  return {
    add,
    addJobSecret,
    mask: (text) => replaceRanges(text, [...secretRanges(text, secrets), ...urlRanges(text)]),
  };
}

type Range = readonly [start: number, end: number];

function* secretRanges(text: string, secrets: Iterable<string>): Generator<Range> {
  for (const secret of secrets) {
    for (let at = text.indexOf(secret); at >= 0; at = text.indexOf(secret, at + 1)) yield [at, at + secret.length];
  }
}

function* urlRanges(text: string): Generator<Range> {
  if (!text.includes('@')) return;
  for (const match of text.matchAll(URL_PASSWORD)) yield [match.index, match.index + match[0].length];
}

function replaceRanges(text: string, ranges: Range[]): string {
  const merged: [number, number][] = [];
  for (const [start, end] of ranges.sort((a, b) => a[0] - b[0])) {
    const last = merged.at(-1);
    if (last !== undefined && start <= last[1]) last[1] = Math.max(last[1], end);
    else merged.push([start, end]);
  }
  let masked = '';
  let from = 0;
  for (const [start, end] of merged) {
    masked += `${text.slice(from, start)}***`;
    from = end;
  }
  return masked + text.slice(from);
}

/** As Newtonsoft's JsonConvert.ToString, which also escapes three line breaks that JSON.stringify leaves alone. */
function jsonEscape(text: string): string {
  return JSON.stringify(text)
    .slice(1, -1)
    .replaceAll('\u0085', '\\u0085')
    .replaceAll('\u2028', '\\u2028')
    .replaceAll('\u2029', '\\u2029');
}

/** As .NET's Uri.EscapeDataString, which leaves only the unreserved characters of RFC 3986 alone. */
function uriEscape(text: string): string {
  const wellFormed = text.replaceAll(/\p{Surrogate}/gu, '\uFFFD');
  return encodeURIComponent(wellFormed).replaceAll(
    /[!'()*]/g,
    (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

/** Despite its name in the agent, ValueEncoders.BackslashEscape takes the backslashes away. */
function backslashUnescape(text: string): string {
  return text.replaceAll('\\\\', '\\').replaceAll("\\'", "'").replaceAll('\\"', '"').replaceAll('\\t', '\t');
}

function trim(text: string, signs: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && signs.includes(text.charAt(start))) start++;
  while (end > start && signs.includes(text.charAt(end - 1))) end--;
  return text.slice(start, end);
}
