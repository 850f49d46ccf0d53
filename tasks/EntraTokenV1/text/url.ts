/** The absolute address that a text is; undefined for any other text. `URL.parse` does the same from Node 22 on. */
export function tryUrl(text: string | undefined): URL | undefined {
  try {
    return new URL(text ?? '');
  } catch {
    return undefined;
  }
}
