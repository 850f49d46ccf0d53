import type { NodeVersion } from './contenders.ts';
import type { Spread } from './measure.ts';

/** One contender on one version of Node at one latency. */
export interface Figure {
  readonly contender: string;
  readonly node: NodeVersion;
  readonly latencyMs: number;
  readonly runs: number;
  readonly wallMs: Spread;
  readonly processorMs: Spread;
  /** Of one run; every run made as many. */
  readonly requests: number;
}

/** The largest resident memory of one contender on one version of Node, in MiB. */
export interface Memory {
  readonly contender: string;
  readonly node: NodeVersion;
  readonly peak: Spread;
}

export interface Results {
  readonly date: string;
  readonly machine: string;
  /** How many programs were ready to run before the first and after the last one, on average over a minute. */
  readonly load: readonly [before: number, after: number];
  readonly figures: readonly Figure[];
  readonly memory: readonly Memory[];
  readonly sizes: readonly { readonly contender: string; readonly bytes: number }[];
  /** What the background process holds after some idle seconds, in MiB. */
  readonly refresher: readonly { readonly node: NodeVersion; readonly resident: number; readonly peak: number }[];
  readonly package: number;
  readonly titles: Readonly<Record<string, string>>;
  /** Those that do not run on Node: its version makes no difference to them. */
  readonly withoutNode: readonly string[];
}

/** Something that the task is measured by, as a ratio or a figure of its own. */
interface Target {
  readonly what: string;
  /** No more than this, on each version of Node. */
  readonly limit: number | Readonly<Record<NodeVersion, number>>;
  /** What it is to come near to, where that is less. */
  readonly toward?: number;
  /** Undefined where the run did not measure it. */
  readonly value: (results: Results, node: NodeVersion) => number | undefined;
}

function figureOf({ figures }: Results, contender: string, node: NodeVersion, latencyMs: number): Figure | undefined {
  return figures.find((it) => it.contender === contender && it.node === node && it.latencyMs === latencyMs);
}

function wallRatio(of: string, to: string, latencyMs: number): Target['value'] {
  return (results, node) => {
    const [above, below] = [of, to].map((name) => figureOf(results, name, node, latencyMs)?.wallMs.median);
    return above === undefined || below === undefined ? undefined : above / below;
  };
}

function requests(of: string): Target['value'] {
  return ({ figures }, node) => figures.find((it) => it.contender === of && it.node === node)?.requests;
}

function memoryRatio(of: string, to: string): Target['value'] {
  return ({ memory }, node) => {
    const [above, below] = [of, to].map(
      (name) => memory.find((it) => it.contender === name && it.node === node)?.peak.median,
    );
    return above === undefined || below === undefined ? undefined : above / below;
  };
}

const WALL = 'Wall time against';
const WALL_AS_PEERS = 'Wall time (trusting as the peers) against';

/** What the task is to keep to. */
export const targets: readonly Target[] = [
  {
    what: `${WALL} the floor, 0 ms`,
    limit: { 20: 1.6, 24: 1.85 },
    toward: 1.35,
    value: wallRatio('task', 'floor', 0),
  },
  {
    what: `${WALL} the floor, 20 ms`,
    limit: { 20: 1.3, 24: 1.45 },
    toward: 1.2,
    value: wallRatio('task', 'floor', 20),
  },
  ...[0, 20, 80].map((ms) => ({
    what: `${WALL_AS_PEERS} azure-arm-rest, ${ms} ms`,
    limit: 0.45,
    value: wallRatio('task-system', 'arm-rest', ms),
  })),
  ...[0, 20, 80].map((ms) => ({
    what: `${WALL_AS_PEERS} AzurePipelinesCredential bundled, ${ms} ms`,
    limit: 0.7,
    value: wallRatio('task-system', 'identity-bundled', ms),
  })),
  { what: 'Ten tokens against one, 80 ms', limit: 1.4, value: wallRatio('ten', 'task', 80) },
  { what: 'Post-job against Node doing nothing, 0 ms', limit: 1.6, value: wallRatio('post-job', 'node', 0) },
  { what: 'Peak memory against the floor', limit: 1.4, value: memoryRatio('task', 'floor') },
  { what: 'Requests for one token', limit: 2, value: requests('task') },
  { what: 'Requests for ten tokens', limit: 11, value: requests('ten') },
  { what: 'Requests with a late-bound ID token', limit: 1, value: requests('late-bound') },
];

/** A figure against its target. */
export interface Judgement {
  readonly what: string;
  readonly node: NodeVersion;
  readonly value: number;
  readonly limit: number;
  readonly toward: number | undefined;
  readonly holds: boolean;
}

/** Every target that the results say something about, on each version of Node. */
export function judge(results: Results): Judgement[] {
  return targets.flatMap(({ what, limit: limits, toward, value }) =>
    (['20', '24'] as const).flatMap((node) => {
      const measured = value(results, node);
      const limit = typeof limits === 'number' ? limits : limits[node];
      return measured === undefined ? [] : [{ what, node, value: measured, limit, toward, holds: measured <= limit }];
    }),
  );
}

/** The results as tables of Markdown, which a terminal shows well enough. */
export function tables(results: Results): string {
  return [conditions(results), wallTable(results), costTable(results), targetTable(results)].join('\n');
}

function conditions({ date, machine, load, figures, refresher }: Results): string {
  const [most, least] = [Math.max(...figures.map((it) => it.runs)), Math.min(...figures.map((it) => it.runs))];
  const runs = most === least ? `${most} runs of each` : `${most} runs of each (${least} of what takes seconds)`;
  const background = refresher.map(
    ({ node, resident, peak }) => `Node ${node}: ${resident.toFixed(0)} MiB, at most ${peak.toFixed(0)}`,
  );
  return [
    `${date}, ${machine}; ${runs}, one after the other in turn; load average ${load.join(' before, ')} after.`,
    'Times are medians in milliseconds with the quartiles beside them.',
    ...(background.length === 0 ? [] : [`The background process, idle: ${background.join('; ')}.`]),
    '',
  ].join('\n');
}

function wallTable(results: Results): string {
  const latencies = [...new Set(results.figures.map((it) => it.latencyMs))].toSorted((a, b) => a - b);
  const rows = rowsOf(results).map(({ contender, node }) => {
    const cells = latencies.flatMap((latencyMs) => {
      const figure = figureOf(results, contender, node, latencyMs);
      const ratio = wallRatio(contender, 'floor', latencyMs)(results, node);
      return [figure === undefined ? '' : shown(figure.wallMs), ratio === undefined ? '' : ratio.toFixed(2)];
    });
    return [results.titles[contender] ?? contender, shownNode(results, contender, node), ...cells];
  });
  const head = latencies.flatMap((latencyMs) => [`Wall, ${latencyMs} ms`, 'of the floor']);
  return table(['', 'Node', ...head], rows);
}

function costTable(results: Results): string {
  const rows = rowsOf(results).map(({ contender, node }) => {
    const figure = results.figures.find((it) => it.contender === contender && it.node === node);
    const floor = figure && figureOf(results, 'floor', node, figure.latencyMs);
    const peak = results.memory.find((it) => it.contender === contender && it.node === node)?.peak;
    const size = results.sizes.find((it) => it.contender === contender)?.bytes;
    return [
      results.titles[contender] ?? contender,
      shownNode(results, contender, node),
      figure === undefined ? '' : shown(figure.processorMs),
      figure === undefined || floor === undefined
        ? ''
        : (figure.processorMs.median / floor.processorMs.median).toFixed(2),
      peak === undefined ? '' : peak.median.toFixed(0),
      figure === undefined ? '' : String(figure.requests),
      size === undefined ? '' : bytes(size),
    ];
  });
  const note = `The package (vsix) has ${bytes(results.package)}.\n`;
  return `${table(['', 'Node', 'Processor time', 'of the floor', 'Peak memory, MiB', 'Requests', 'On the disk'], rows)}\n${note}`;
}

function targetTable(results: Results): string {
  const rows = judge(results).map(({ what, node, value, limit, toward, holds }) => [
    what,
    node,
    what.startsWith('Requests') ? String(value) : value.toFixed(2),
    toward === undefined ? String(limit) : `${limit}, toward ${toward}`,
    holds ? 'holds' : '**missed**',
  ]);
  return table(['Target', 'Node', 'Measured', 'At most', ''], rows);
}

function shownNode({ withoutNode }: Results, contender: string, node: NodeVersion): string {
  return withoutNode.includes(contender) ? '–' : node;
}

function rowsOf({ figures }: Results): { contender: string; node: NodeVersion }[] {
  const seen = new Map(figures.map(({ contender, node }) => [`${contender} ${node}`, { contender, node }]));
  return [...seen.values()];
}

function shown({ median, lower, upper }: Spread): string {
  return `${median.toFixed(0)} (${lower.toFixed(0)}–${upper.toFixed(0)})`;
}

function bytes(count: number): string {
  return count < 10_000
    ? `${count} B`
    : count < 1e6
      ? `${(count / 1000).toFixed(0)} KB`
      : `${(count / 1e6).toFixed(1)} MB`;
}

/** A table of Markdown with even columns. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [head, ...rows];
  const widths = head.map((_, column) => Math.max(3, ...all.map((row) => (row[column] ?? '').length)));
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`;
  return `${[line(head), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('\n')}\n`;
}
