import type { Asked } from './gate.ts';

/** The limit for request line and headers; the largest that known clients send are below one KB. Bytes. */
export const LARGEST_HEAD = 8 * 1024;

/** RFC 9112, 3: the syntax of a request line, in the versions that close a connection on request. */
const REQUEST_LINE = /^([A-Za-z]{1,20}) ([\x21-\x7e]+) HTTP\/1\.[01]$/;

/**
 * RFC 9110, 5: the syntax of a name, and what a value must not contain. A continuation line begins with a blank, so
 * it is not a name.
 */
const HEADER_NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const NO_VALUE = /[^\t\x20-\x7e\x80-\xff]/;

/** What has been received: an incomplete head, one that is too large, something else, or a complete head. */
export type Head = 'incomplete' | 'too large' | 'wrong' | Asked;

/**
 * Reads the head of a request, strictly: what only a lenient parser would accept is refused.
 * @param text what has been received so far, a character for each byte
 */
export function readHead(text: string): Head {
  // Another protocol, or wrong line ends: there is no need to wait for more.
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

/** Without a regular expression, which would take quadratic time before the secret is checked. */
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
