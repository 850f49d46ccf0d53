import { isOldIssuer } from '../id-token/issuer.ts';

/**
 * Describes how what a connection stores (an issuer or a subject) differs from the ID token. What cannot be seen
 * comes first, because nobody finds it by comparing the two.
 */
export function difference(storedText: string, actual: string): string {
  return (
    inCharacters(storedText, actual) ?? ofIssuers(storedText, actual) ?? ofNames(storedText, actual) ?? 'the two differ'
  );
}

/** A difference with the same names: in invisible characters, in case, in the encoding. */
function inCharacters(storedText: string, actual: string): string | undefined {
  const [stored, other] = [withoutInvisible(storedText), withoutInvisible(actual)];
  if (stored === other) {
    const extra = [
      sentence('the stored one has', storedText, actual),
      sentence('the ID token has', actual, storedText),
    ].filter((part) => part !== undefined);
    return `the two differ in characters that cannot be seen alone: ${extra.join(', ')}`;
  }
  if (stored.toLowerCase() === other.toLowerCase()) {
    return 'the two differ in upper and lower case alone';
  }
  if (stored.replace(/\/+$/, '') === other.replace(/\/+$/, '')) {
    return 'the two differ in a slash at the end alone';
  }
  if (lookAlike(stored) === lookAlike(other)) {
    return 'the two look alike and differ in how their letters are encoded (Unicode normalization, dashes or quotation marks)';
  }
  for (const [encoded, plain, whose] of [
    [stored, other, 'the stored one'],
    [other, stored, 'the one of the ID token'],
  ] as const) {
    const encoding = encodings.find(({ decode }) => encoded !== plain && withoutInvisible(decode(encoded)) === plain);
    if (encoding !== undefined) {
      return `${whose} is ${encoding.name}, and Entra compares letter by letter`;
    }
  }
  const bare = (text: string): string => text.replace(/^(["'])(.*)\1$/s, '$2');
  return bare(stored) === bare(other) ? 'the two differ in quotation marks around them alone' : undefined;
}

function ofIssuers(storedText: string, actual: string): string | undefined {
  if (isOldIssuer(storedText) !== isOldIssuer(actual) && /^https:/.test(actual)) {
    return isOldIssuer(storedText)
      ? 'that is the old issuer, the connection was converted to Entra’s'
      : 'the ID token comes from the old issuer, the conversion of the connection was not finished or was undone';
  }
  if (isOldIssuer(storedText) && isOldIssuer(actual)) {
    return 'that is the issuer of another organization';
  }
  return /^https:/.test(storedText) && /^https:/.test(actual) ? 'that is another issuer' : undefined;
}

const PARTS = ['organization', 'project', 'connection'];

/** `sc://organization/project/connection`: the names show what was renamed. */
function ofNames(storedText: string, actual: string): string | undefined {
  const [stored, other] = [nameParts(storedText), nameParts(actual)];
  if (stored === undefined && other === undefined) {
    return undefined;
  }
  if (stored === undefined || other === undefined) {
    return 'one has the form of the old issuer and the other that of Entra’s';
  }
  const isOther = (index: number): boolean =>
    withoutInvisible(stored[index] ?? '') !== withoutInvisible(other[index] ?? '');
  const renamed = PARTS.filter((_, index) => isOther(index)).map((part) => `the ${part}`);
  const same = PARTS.filter((_, index) => !isOther(index) && stored[index] !== other[index]).map(
    (part) => `the ${part}`,
  );
  const unseen = same.length === 0 ? '' : `; ${joined(same)} differs in characters that cannot be seen`;
  return `${joined(renamed)} ${renamed.length > 1 ? 'were' : 'was'} renamed${unseen}`;
}

function joined(parts: readonly string[]): string {
  return parts.length > 1 ? `${parts.slice(0, -1).join(', ')} and ${parts.at(-1)}` : parts.join('');
}

function nameParts(subject: string): string[] | undefined {
  const [, organization, project, connection] = /^sc:\/\/([^/]*)\/([^/]*)\/(.*)$/s.exec(subject) ?? [];
  return organization === undefined || project === undefined || connection === undefined
    ? undefined
    : [organization, project, connection];
}

const INVISIBLE = /[\p{C}\p{Z}\p{Default_Ignorable_Code_Point}\u2800]/gu;

/** As a person sees it: with blanks between words, without invisible characters and blanks at the ends. */
function withoutInvisible(text: string): string {
  return text
    .replace(/[\s\p{Z}\u2800]+/gu, ' ')
    .replace(/[\p{C}\p{Default_Ignorable_Code_Point}]/gu, '')
    .trim();
}

/** Word processors and chats replace plain characters by these. */
function lookAlike(text: string): string {
  return text
    .normalize('NFKC')
    .replace(/[\u2010-\u2015\u2212]/g, '-')
    .replace(/[\u2018-\u201b\u2032]/g, "'")
    .replace(/[\u201c-\u201f\u2033]/g, '"');
}

/** How a text is encoded when it is copied from an address bar, a form or a page. */
const encodings: readonly { readonly name: string; readonly decode: (text: string) => string }[] = [
  { name: 'percent-encoded (%20 stands for a blank)', decode: decodePercents },
  { name: 'encoded as in a form (+ stands for a blank)', decode: (text) => decodePercents(text.replaceAll('+', ' ')) },
  { name: 'encoded as in HTML (&amp; stands for &)', decode: decodeEntities },
];

function decodePercents(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function decodeEntities(text: string): string {
  const entities: Readonly<Record<string, string>> = {
    amp: '&',
    quot: '"',
    apos: "'",
    '#39': "'",
    lt: '<',
    gt: '>',
    nbsp: ' ',
  };
  return text.replace(/&(#?\w+);/g, (whole, name: string) => entities[name] ?? whole);
}

const NAMES: Readonly<Record<string, string>> = {
  '\t': 'a tab',
  '\n': 'a line feed',
  '\r': 'a carriage return',
  ' ': 'a blank',
  '\u00a0': 'a no-break space',
  '\u00ad': 'a soft hyphen',
  '\u200b': 'a zero-width space',
  '\u200c': 'a zero-width non-joiner',
  '\u200d': 'a zero-width joiner',
  '\ufe0f': 'a variation selector',
  '\ufeff': 'a byte order mark',
};

/** Which invisible characters `text` has more of than `other`, and where. */
function sentence(whose: string, text: string, other: string): string | undefined {
  const left = new Map<string, number>();
  for (const character of other.match(INVISIBLE) ?? []) {
    left.set(character, (left.get(character) ?? 0) + 1);
  }
  const extra = [...text.matchAll(INVISIBLE)].filter(([character]) => {
    const count = left.get(character) ?? 0;
    left.set(character, count - 1);
    return count <= 0;
  });
  const first = extra.at(0);
  const last = extra.at(-1);
  if (first === undefined || last === undefined) {
    // The same characters, at other positions.
    return text === other || other.match(INVISIBLE)?.length !== text.match(INVISIBLE)?.length
      ? undefined
      : `${whose} them at other places`;
  }
  const names = [...new Set(extra.map(([character]) => nameOf(character)))];
  const where =
    withoutInvisible(text.slice(first.index)) === ''
      ? 'at its end'
      : withoutInvisible(text.slice(0, last.index)) === ''
        ? 'at its beginning'
        : 'inside';
  return `${whose} ${names.join(', ')} ${where}`;
}

function nameOf(character: string): string {
  const point = (character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0');
  const name = NAMES[character];
  return name === undefined ? `U+${point}` : `${name} (U+${point})`;
}
