import type { Attachment, Issue } from './log.ts';
import type { ProcessName } from './orphans.ts';
import { mergeResults, type TaskResult } from './result.ts';
import type { UnexpandedMacro } from './step.ts';

/** How one stage of one step ended. */
export interface StepResult {
  /** The name of the job. */
  job: string;
  /** The reference name, given or generated. */
  name: string;
  displayName: string;
  stage: 'pre' | 'main' | 'post';
  result: TaskResult;
  /** The first ten errors and the first ten warnings. */
  issues: Issue[];
  /** The masked log. */
  lines: string[];
  /** What the process printed, before masking, with its commands. */
  rawOutput: { stdout: string; stderr: string };
  /** Null where no process ran to its end. */
  exitCode: number | null;
  durationMs: number;
  /** The text of `task.complete` or `task.setprogress`. */
  currentOperation?: string;
  progress: number;
  /** The output variables that this stage has set, not masked. */
  outputs: Record<string, string>;
  attachments: Attachment[];
}

export interface JobResult {
  result: TaskResult;
  steps: StepResult[];
  /** The whole masked log. */
  log: string[];
  /** By the names under which they were set last, after the last expansion. */
  variables: Record<string, { value: string; secret: boolean; readOnly: boolean }>;
  /** By `step.name`. */
  outputs: Record<string, { value: string; secret: boolean }>;
  /** The processes that were still there at the end of the job, and were killed. */
  orphans: ProcessName[];
  /** Files that were still in the agent's temporary folder at the end of the job, relative to it. */
  leftover: string[];
  /** Macros that scripts were started with, because the job had no variable of that name. */
  unexpanded: UnexpandedMacro[];
  /** Where the pipeline has several jobs: each on its own, by name. What is above is then all of them together. */
  jobs: Record<string, JobResult>;
}

/** The result of a job that has not run. */
export function emptyResult(): JobResult {
  return {
    result: 'Succeeded',
    steps: [],
    log: [],
    variables: {},
    outputs: {},
    orphans: [],
    leftover: [],
    unexpanded: [],
    jobs: {},
  };
}

/** The results of several jobs as one. */
export function together(results: ReadonlyMap<string, JobResult>): JobResult {
  const all = [...results.values()];
  return {
    result: all
      .map(({ result }) => result)
      .filter((result) => result !== 'Skipped')
      .reduce<TaskResult>(mergeResults, 'Succeeded'),
    steps: all.flatMap(({ steps }) => steps),
    log: all.flatMap(({ log }) => log),
    variables: Object.assign({}, ...all.map(({ variables }) => variables)),
    outputs: Object.assign({}, ...all.map(({ outputs }) => outputs)),
    orphans: all.flatMap(({ orphans }) => orphans),
    leftover: all.flatMap(({ leftover }) => leftover),
    unexpanded: all.flatMap(({ unexpanded }) => unexpanded),
    jobs: Object.fromEntries(results),
  };
}
