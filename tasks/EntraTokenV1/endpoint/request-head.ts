import type { Asked } from './gate.ts';

/** Request line and headers; the longest that a client sends have less than one. Bytes. */
export const LARGEST_HEAD = 8 * 1024;

/** RFC 9112, 3: what a request line may be made of, in the versions that close a connection when they are told to. */
const REQUEST_LINE = /^([A-Za-z]{1,20}) ([\x21-\x7e]+) HTTP\/1\.[01]$/;

/** RFC 9110, 5: a name, and what no value has. A value that goes on in the next line begins with a blank: that is no name. */
const HEADER_NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const NO_VALUE = /[^\t\x20-\x7e\x80-\xff]/;

/** What has come of a request: not all of it yet, more than is read, something else, or its head. */
export type Head = 'incomplete' | 'too large' | 'wrong' | Asked;

/**
 * Reads the head of a request, by the letter: what a lenient reader would take for a request is none here.
 * @param text what has come so far, a character for each byte
 */
export function readHead(text: string): Head {
  // Another protocol, or line ends that are none: no more of it is waited for.
  if (/^[^A-Za-z]|(?:^|[^\r])\n/.test(text)) {
    return 'wrong';
  }
  const end = text.indexOf('\r\n\r\n');
  if (end < 0 || end > LARGEST_HEAD) {
    return text.length > LARGEST_HEAD ? 'too large' : 'incomplete';
  }
  const [line = '', ...lines] = text.slice(0, end).split('\r\n');
  const [, method, target] = REQUEST_LINE.exec(line) ?? [];
  const headers: Record<string, string[]> = Object.create(null);
  for (const header of lines) {
    const colon = header.indexOf(':');
    const name = header.slice(0, Math.max(0, colon));
    const value = withoutBlanks(header.slice(colon + 1));
    if (!HEADER_NAME.test(name) || NO_VALUE.test(value)) {
      return 'wrong';
    }
    const key = name.toLowerCase();
    headers[key] = [...(headers[key] ?? []), value];
  }
  return method === undefined || target === undefined ? 'wrong' : { method, target, headers };
}

/** By hand: an expression would take the square of the time, and nobody has shown a secret yet. */
function withoutBlanks(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && isBlank(text[start])) {
    start++;
  }
  while (end > start && isBlank(text[end - 1])) {
    end--;
  }
  return text.slice(start, end);
}

function isBlank(character: string | undefined): boolean {
  return character === ' ' || character === '\t';
}
