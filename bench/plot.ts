import { spread } from './measure.ts';
import type { Results } from './results.ts';

const WIDTH = 900;
const LEFT = 270;
const BAR = 16;
const GAP = 6;
const COLOURS: Readonly<Record<string, string>> = { '20': '#6b9bd1', '24': '#1f5fa8' };

/**
 * The wall times as a picture (SVG): for each latency one bar for each contender, with its quartiles. A bar that would
 * press all others into a corner is cut off, and its figure says so.
 */
export function plot({ figures, titles, withoutNode, date, machine }: Results): string {
  const latencies = [...new Set(figures.map((it) => it.latencyMs))].toSorted((a, b) => a - b);
  const usual = spread(figures.map((it) => it.wallMs.median)).median;
  const longest = Math.min(4 * usual, Math.max(...figures.map((it) => it.wallMs.upper)));
  const x = (milliseconds: number): number => LEFT + ((WIDTH - LEFT - 90) * Math.min(milliseconds, longest)) / longest;
  const parts: string[] = [];
  let y = 34;
  const say = (text: string, at: number, extra = ''): void => {
    parts.push(`<text x="${at.toFixed(1)}" y="${y}" ${extra}>${escaped(text)}</text>`);
  };
  for (const latencyMs of latencies) {
    y += 24;
    say(`${latencyMs} ms added to each request`, 12, 'font-weight="bold"');
    y += 10;
    for (const figure of figures.filter((it) => it.latencyMs === latencyMs)) {
      const { median, lower, upper } = figure.wallMs;
      const [start, end, middle] = [x(0), x(median), y + BAR / 2];
      parts.push(
        `<rect x="${start}" y="${y}" width="${(end - start).toFixed(1)}" height="${BAR}" fill="${COLOURS[figure.node]}"/>`,
        `<path d="M${x(lower).toFixed(1)} ${middle}H${x(upper).toFixed(1)}" stroke="#222" stroke-width="1.5"/>`,
      );
      y += BAR - 3;
      const title = titles[figure.contender] ?? figure.contender;
      const label = withoutNode.includes(figure.contender) ? title : `${title}, Node ${figure.node}`;
      say(label, LEFT - 8, 'text-anchor="end"');
      say(`${median > longest ? '… ' : ''}${median.toFixed(0)} ms`, Math.max(end, x(upper)) + 6);
      y += GAP + 3;
    }
  }
  const height = y + 16;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="system-ui, sans-serif" font-size="12" fill="#222">
<title>Wall time of each contender at three latencies</title>
<rect width="${WIDTH}" height="${height}" fill="#fff"/>
<text x="12" y="24" font-size="15">One token, the whole process: median and quartiles (${escaped(`${date}, ${machine}`)})</text>
${parts.join('\n')}
</svg>
`;
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}
