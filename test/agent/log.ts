import type { Masker } from './masker.ts';
import type { TaskResult } from './result.ts';

/** When a step runs: before all others, in its turn, or after all others; `job` is the agent's own part. */
export type Stage = 'pre' | 'main' | 'post' | 'job';

export type LineKind = 'section' | 'command' | 'error' | 'warning' | 'debug' | 'group' | 'endgroup' | 'plain';

/** One line of the job's log. */
export interface LogLine {
  time: Date;
  /** The display name of the step. */
  step: string;
  stage: Stage;
  kind: LineKind;
  /** The masked line as the portal stores it, with its tag, without its time. */
  text: string;
}

/** An error or a warning on a step's record. */
export interface Issue {
  type: 'error' | 'warning';
  /** Masked. */
  message: string;
  /** Not masked, as in the agent. */
  data: Record<string, string>;
}

/** A file that a step asked to upload; read at the end of the job, as the agent's queue may do. */
export interface Attachment {
  type: string;
  name: string;
  path: string;
  /** Undefined where the file was gone by then. */
  content?: string;
}

const MAX_ISSUES_OF_A_TYPE = 10;

/** What the agent keeps of one stage of a step while it runs (agent: ExecutionContext.cs). */
export class StepRecord {
  readonly name: string;
  readonly displayName: string;
  readonly stage: Stage;
  readonly lines: string[] = [];
  readonly issues: Issue[] = [];
  readonly outputs: Record<string, string> = {};
  readonly attachments: Attachment[] = [];
  result: TaskResult | undefined;
  /** What failed commands make of the result; it is merged in at the end of the stage. */
  commandResult: TaskResult | undefined;
  currentOperation: string | undefined;
  progress = 0;
  readonly #masker: Masker;
  readonly #debug: boolean;
  readonly #onLine: (line: LogLine) => void;

  constructor(
    identity: { name: string; displayName: string; stage: Stage },
    log: { masker: Masker; debug: boolean; onLine: (line: LogLine) => void },
  ) {
    this.name = identity.name;
    this.displayName = identity.displayName;
    this.stage = identity.stage;
    this.#masker = log.masker;
    this.#debug = log.debug;
    this.#onLine = log.onLine;
  }

  /** Prints a text, masked unless it is the agent's own banner. */
  print(text: string, masked = true): void {
    this.#write(masked ? this.#masker.mask(text) : text);
  }

  section(text: string): void {
    this.print(`##[section]${text}`);
  }

  debug(text: string): void {
    if (this.#debug) this.print(`##[debug]${text}`);
  }

  error(message: string): void {
    this.issue('error', message);
  }

  warning(message: string): void {
    this.issue('warning', message);
  }

  /** Prints an issue and records it; of each type, the first ten are kept. */
  issue(type: Issue['type'], text: string, data: Record<string, string> = {}): void {
    const message = this.#masker.mask(text);
    if (message !== '') this.print(`##[${type}]${message}`);
    const kept = this.issues.filter((issue) => issue.type === type).length;
    if (kept < MAX_ISSUES_OF_A_TYPE) this.issues.push({ type, message, data });
  }

  /** Progress never goes back; a text, even an empty one, replaces the current operation. */
  advance(percent: number, operation: string): void {
    this.progress = Math.max(this.progress, Math.min(Math.max(percent, 0), 100));
    this.currentOperation = operation;
  }

  #write(masked: string): void {
    const kind = kindOf(masked);
    for (const text of masked.split(/\r\n|\r|\n/)) {
      this.lines.push(text);
      this.#onLine({ time: new Date(), step: this.displayName, stage: this.stage, kind, text });
    }
  }
}

function kindOf(text: string): LineKind {
  const tag = /^##\[(section|command|error|warning|debug|group|endgroup)\]/.exec(text)?.[1] as LineKind | undefined;
  return tag ?? (text.startsWith('[command]') ? 'command' : 'plain');
}
