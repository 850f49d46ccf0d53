import { evaluateExpression, isTrue, traceOf } from './condition.ts';
import type { JobOptions } from './job-options.ts';
import type { StepResult } from './job-result.ts';
import type { Stage, StepRecord } from './log.ts';
import { mergeResults, type TaskResult } from './result.ts';
import { type Run, runScript, runTask, type StepHost, type StepInstance } from './step.ts';

/** A stage of a step, beside what the agent itself does in the job. */
export type StepStage = Exclude<Stage, 'job'>;

/** The job that a stage runs in. */
export interface StageJob {
  readonly name: string;
  readonly options: Pick<JobOptions, 'cancel' | 'onProcess'>;
  /** The job's result so far, which conditions and `Agent.JobStatus` see. */
  result: TaskResult | undefined;
  /** Starts the record of a stage. */
  record(name: string, displayName: string, stage: Stage): StepRecord;
}

/** Runs one stage of one step, where its condition holds; what goes wrong in it is in the result. */
export async function runStage(
  job: StageJob,
  step: StepInstance,
  stage: StepStage,
  host: StepHost,
): Promise<StepResult> {
  const started = performance.now();
  const prefix = { pre: 'Pre-job: ', main: '', post: 'Post-job: ' }[stage];
  const record = job.record(step.name, `${prefix}${step.displayName}`, stage);
  const run: Run = { exitCode: null, rawOutput: { stdout: '', stderr: '' } };
  for (const warning of host.variables.recalculate()) record.warning(warning);

  const condition = stage === 'post' ? 'always()' : (step.definition.condition ?? 'succeeded()');
  const evaluate = () =>
    evaluateExpression(condition, {
      status: job.result ?? 'Succeeded',
      variable: (name) => host.variables.get(name),
    });
  const stop = new AbortController();
  const onCancel = (): void => {
    job.result = 'Canceled';
    if (isTrue(evaluate().value)) return;
    record.error('The Operation will be canceled. The next steps may not contain expected logs.');
    stop.abort();
  };
  const { cancel } = job.options;
  if (cancel?.aborted === true) job.result = 'Canceled';
  else cancel?.addEventListener('abort', onCancel);

  try {
    const evaluation = evaluate();
    if (isTrue(evaluation.value)) {
      await runBody(job, step, stage, host, record, run, stop);
    } else {
      record.print(['Skipping step due to condition evaluation.', ...traceOf(condition, evaluation)].join('\n'));
      record.result = 'Skipped';
    }
  } catch (error) {
    record.error(messageOf(error));
    record.result = 'Failed';
  } finally {
    cancel?.removeEventListener('abort', onCancel);
  }

  const result = record.result ?? 'Succeeded';
  if (result === 'SucceededWithIssues' || result === 'Failed') job.result = mergeResults(job.result, result);
  return {
    job: job.name,
    name: step.name,
    displayName: record.displayName,
    stage,
    result,
    issues: record.issues,
    lines: record.lines,
    rawOutput: run.rawOutput,
    exitCode: run.exitCode,
    durationMs: performance.now() - started,
    ...(record.currentOperation === undefined ? {} : { currentOperation: record.currentOperation }),
    progress: record.progress,
    outputs: record.outputs,
    attachments: record.attachments,
  };
}

async function runBody(
  job: StageJob,
  step: StepInstance,
  stage: StepStage,
  jobHost: StepHost,
  record: StepRecord,
  run: Run,
  stop: AbortController,
): Promise<void> {
  const { definition, task } = step;
  // The record is named after its stage; the heading in its log is not.
  record.section(`Starting: ${step.displayName}`);
  const timer = definition.timeoutMs === undefined ? undefined : setTimeout(() => stop.abort(), definition.timeoutMs);
  const host: StepHost = {
    ...jobHost,
    onProcess: (pid, environment, terminate) =>
      job.options.onProcess?.({ pid, step: step.name, stage, environment, terminate }),
  };
  const taskNames = {
    'task.displayname': step.displayName,
    'task.publishTelemetry': 'False',
    'task.skipTranslatorForCheckout': 'False',
    'system.taskInstanceId': step.id,
    'system.taskDisplayName': step.displayName,
    'system.taskInstanceName': step.name,
  };
  try {
    await host.variables.scoped(taskNames, async () => {
      if (definition.kind !== 'task') await runScript({ ...step, definition }, host, record, run, stop.signal);
      else if (task !== undefined) await runTask({ ...step, task, definition }, stage, host, record, run, stop.signal);
    });
    if (stop.signal.aborted) throw new Error('The operation was canceled.');
  } catch (error) {
    if (stop.signal.aborted && job.options.cancel?.aborted !== true) {
      record.error('The task has timed out.');
      record.result = 'Failed';
    } else {
      record.error(stop.signal.aborted ? 'The operation was canceled.' : messageOf(error));
      record.result = stop.signal.aborted ? 'Canceled' : 'Failed';
    }
  } finally {
    clearTimeout(timer);
  }
  if (record.commandResult !== undefined) record.result = mergeResults(record.result, record.commandResult);
  if (record.result === 'Failed' && definition.continueOnError) record.result = 'SucceededWithIssues';
  record.section(`Finishing: ${step.displayName}`);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
