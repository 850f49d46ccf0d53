/**
 * Makes a text that came from outside safe to stand in a line of the log: control characters (which end a line for
 * the agent) become blanks, the openings of agent commands and log tags are broken, and it is cut at `longest`.
 */
export function printable(text: string, longest = 500): string {
  const oneLine = text
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what this removes
    .replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u200b-\u200f\u202a-\u202e\ufeff]/g, ' ')
    .replace(/##(?=vso\[|\[)/gi, '# #');
  return oneLine.length > longest ? `${oneLine.slice(0, longest)}…` : oneLine;
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
