/**
 * Makes a text that came from outside safe to stand in a line of the log: control characters (which end a line for
 * the agent) and invisible ones (which it passes over) become blanks, the openings of agent commands and log tags are
 * broken, and it is cut at `longest`.
 */
export function printable(text: string, longest = 500): string {
  const oneLine = text
    .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu, ' ')
    .replace(/##(?=vso|\[)/gi, '# #');
  return oneLine.length > longest ? `${oneLine.slice(0, longest)}…` : oneLine;
}

/** What nobody sees, or tells from a blank. */
const HARD_TO_SEE = /(?! )[\p{C}\p{Z}\p{Default_Ignorable_Code_Point}\u2800]/u;

/** True for a character that nobody sees or tells from a blank. */
export function isHardToSee(character: string): boolean {
  return HARD_TO_SEE.test(character);
}

/** Makes a text that came from outside fit to be compared by eye: what is hard to see is an escape, `\u200d`. */
export function visible(text: string): string {
  return text.replace(new RegExp(HARD_TO_SEE, 'gu'), unicodeEscape);
}

/** The escapes of JSON: one for each of a character's UTF-16 units. */
export function unicodeEscape(character: string): string {
  return character
    .split('')
    .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
    .join('');
}

/** A length of time as a person says it: `59 s`, `9 min 58 s`, `1 h 2 min`. */
export function duration(milliseconds: number): string {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  if (seconds < 60) {
    return `${seconds} s`;
  }
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) {
    return seconds % 60 === 0 ? `${minutes} min` : `${minutes} min ${seconds % 60} s`;
  }
  return minutes % 60 === 0 ? `${Math.floor(minutes / 60)} h` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** ISO 8601 in UTC without fractions of a second: `2026-01-31T12:00:00Z`. */
export function instant(milliseconds: number): string {
  return `${new Date(milliseconds).toISOString().slice(0, 19)}Z`;
}

/**
 * Splits a text so that none of its parts holds a hidden value whole; one part where nothing of it is hidden. The agent
 * hides a value without the blanks around it as well.
 */
export function splitHidden(text: string, hidden: readonly string[]): string[] {
  const cuts = new Set<number>();
  const values = new Set(hidden.flatMap((value) => [value, value.trim()]));
  for (const value of [...values].filter((candidate) => [...candidate].length > 1)) {
    for (let at = text.indexOf(value); at >= 0; at = text.indexOf(value, at + 1)) {
      const middle = at + Math.ceil(value.length / 2);
      // Not between the two halves of a character.
      cuts.add(/^[\udc00-\udfff]/.test(text.slice(middle)) ? middle - 1 : middle);
    }
  }
  const bounds = [0, ...[...cuts].sort((a, b) => a - b), text.length];
  return bounds.slice(1).map((end, index) => text.slice(bounds[index], end));
}

/**
 * The agent replaces nearly every authorization parameter of a connection by `***`, secret or not: the client, the
 * issuer and the subject among them. What a person needs to see is therefore also given in parts:
 * `'/eid1/c/pub' + '/sc/…'`. Gives an empty text where nothing of `text` is hidden.
 */
export function alsoInParts(text: string, hidden: readonly string[]): string {
  const parts = splitHidden(text, hidden);
  return parts.length < 2
    ? ''
    : `in parts, because the agent hides the whole: ${parts.map((part) => `'${part}'`).join(' + ')}`;
}
