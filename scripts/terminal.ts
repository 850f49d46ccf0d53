/** The colours that the SGR codes of the log stand for, on a dark ground. */
const COLOURS: Readonly<Record<string, string>> = {
  1: 'font-weight:700;color:#fff',
  2: 'color:#8b949e',
  31: 'color:#ff7b72',
  32: 'color:#7ee787',
  33: 'color:#f2cc60',
  35: 'color:#d2a8ff',
  36: 'color:#79c0ff',
};

/** A page that shows a terminal's text with its colours (SGR codes, each ended by a reset). */
export function terminalPage(text: string): string {
  const escaped = text.trimEnd().replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
  const painted = escaped
    // biome-ignore lint/suspicious/noControlCharactersInRegex: the escape character begins each code
    .replace(/\x1b\[([\d;]+)m/g, (_, codes: string) =>
      codes === '0'
        ? '</span>'
        : `<span style="${codes
            .split(';')
            .map((code) => COLOURS[code] ?? '')
            .join(';')}">`,
    );
  return `<!doctype html><meta charset="utf-8"><style>
*{margin:0}
html{background:#0d1117}
pre{padding:18px 20px;color:#c9d1d9;font:13px/19px "DejaVu Sans Mono",Consolas,monospace;white-space:pre-wrap;overflow-wrap:anywhere}
</style><pre>${painted}</pre>`;
}
