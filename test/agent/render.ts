import type { JobResult, StepResult } from './job-result.ts';
import type { LineKind, LogLine } from './log.ts';
import type { TaskResult } from './result.ts';

/** Where a log is shown. */
export interface Screen {
  write(text: string): unknown;
  colours: boolean;
}

/**
 * Whether a stream takes colours: a terminal does, unless NO_COLOR (no-color.org) forbids it; anything else only where
 * FORCE_COLOR (force-color.org) asks for them.
 */
export function takesColours(stream: { isTTY?: boolean }, environment: NodeJS.ProcessEnv = process.env): boolean {
  if ((environment['NO_COLOR'] ?? '') !== '') {
    return false;
  }
  return (environment['FORCE_COLOR'] ?? '') !== '' || (stream.isTTY === true && environment['TERM'] !== 'dumb');
}

// SGR codes: https://www.ecma-international.org/publications-and-standards/standards/ecma-48/
const BOLD = '1';
const DIM = '2';
const COLOURS: Record<LineKind, string | undefined> = {
  section: '32',
  command: '36',
  error: '31',
  warning: '33',
  debug: '35',
  group: BOLD,
  endgroup: undefined,
  plain: undefined,
};
const RESULTS: Record<TaskResult, { sign: string; colour: string }> = {
  Succeeded: { sign: '✓', colour: '32' },
  SucceededWithIssues: { sign: '!', colour: '33' },
  Failed: { sign: '✗', colour: '31' },
  Canceled: { sign: '■', colour: '31' },
  Skipped: { sign: '-', colour: DIM },
  Abandoned: { sign: '✗', colour: '31' },
};

/** The line of signs around the task's name, version and help that the agent prints before each step. */
const HEADER_RULE = /^={20,}$/;

/**
 * Shows a log line by line, as the portal does: a heading for each step, groups indented, problems marked, and the
 * header of each task dim, because it says the same every time.
 */
export function renderer(screen: Screen): (line: LogLine) => void {
  const paint = painter(screen.colours);
  let current = '';
  let depth = 0;
  let isHeader = false;
  return ({ time, step, stage, kind, text }) => {
    if (current !== `${stage} ${step}` || text.startsWith('##[section]Starting: ')) {
      current = `${stage} ${step}`;
      depth = 0;
      isHeader = false;
      screen.write(`\n${paint(BOLD, `── ${step} ${'─'.repeat(Math.max(3, 74 - step.length))}`)}\n`);
    }
    const isRule = kind === 'plain' && HEADER_RULE.test(text);
    const isDim = isHeader || isRule;
    isHeader = isRule ? !isHeader : isHeader;
    if (kind === 'endgroup') {
      depth = 0;
      return;
    }
    if (kind === 'section' || kind === 'group') depth = 0;
    const shown = text
      .replace(/^##\[(section|command|debug|group)\]/, (_, tag) => (tag === 'group' ? '▾ ' : ''))
      .replace(/^##\[(error|warning)\]/, '$1: ');
    const clock = paint(DIM, time.toISOString().slice(11, 23));
    screen.write(`${clock} ${'  '.repeat(depth)}${paint(isDim ? DIM : COLOURS[kind], shown)}\n`);
    if (kind === 'group') depth = 1;
  };
}

/** A table of the steps, their results and durations, with the first error of each that failed, and the job's result. */
export function summary(result: JobResult, colours = false): string[] {
  const paint = painter(colours);
  const severalJobs = Object.keys(result.jobs).length > 0;
  const title = ({ job, displayName, name, stage }: StepResult): string => {
    const reference = stage === 'main' && name !== displayName ? ` (${name})` : '';
    return `${severalJobs ? `${job}: ` : ''}${displayName}${reference}`;
  };
  const width = Math.max(0, ...result.steps.map((step) => title(step).length));
  const total = result.steps.reduce((sum, { durationMs }) => sum + durationMs, 0);
  const rows = result.steps.flatMap((step) => {
    const { sign, colour } = RESULTS[step.result];
    const duration = step.result === 'Skipped' ? '' : seconds(step.durationMs).padStart(9);
    const row = `  ${sign} ${title(step).padEnd(width)}  ${step.result.padEnd(19)}${duration}`.trimEnd();
    const fault = step.issues.find(({ type }) => type === 'error')?.message.split(/\r\n|\r|\n/)[0];
    return [paint(colour, row), ...(fault === undefined ? [] : [`      ${fault}`])];
  });
  const { sign, colour } = RESULTS[result.result];
  return [...rows, paint(colour, `${sign} ${result.result} in ${seconds(total)}`)];
}

function painter(colours: boolean): (code: string | undefined, text: string) => string {
  return (code, text) => (colours && code !== undefined ? `\x1b[${code}m${text}\x1b[0m` : text);
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
