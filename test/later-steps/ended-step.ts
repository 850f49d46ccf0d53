import assert from 'node:assert/strict';
import { type JobOptions, runJob, type StepResult } from '../agent/job.ts';
import { LOOKUP_ID } from '../agent/orphans.ts';
import type { Cloud } from '../cloud/cloud.ts';
import { onWindows } from '../on-windows.ts';
import { rehearsalOptions } from '../rehearsal.ts';
import { exportingStep } from './held-job.ts';
import { PATIENCE_MS, processesOf, within } from './processes.ts';

/** How the step is told to end. */
export type Ending =
  /** As the agent does it: SIGINT, and SIGTERM only much later. */
  | 'SIGINT'
  /** As an agent in a hurry: both, one right after the other. */
  | 'SIGINT and SIGTERM'
  /** Not by the agent. */
  | 'SIGTERM'
  /** Without a chance to clean up. */
  | 'SIGKILL';

/** What came of it. */
export interface EndedStep {
  /** From the signal to the end of the step; 0 where the step was quicker. Milliseconds. */
  readonly tookMs: number;
  /** What a process that does next to nothing took on this machine right after that. Milliseconds. */
  readonly bareMs: number;
  /** Ended by the signal itself, because Node had not begun to run the task. */
  readonly beforeItBegan: boolean;
  /** There was something to clean up. */
  readonly hadFile: boolean;
}

/** Starts a step that exports a token file, ends it after so many milliseconds, and makes sure that nothing is left. */
export async function endStep(
  cloud: Cloud,
  ending: Ending,
  delayMs: number,
  options: Pick<JobOptions, 'node' | 'node10'> = {},
): Promise<EndedStep> {
  const stop = new AbortController();
  let lookupId = '';
  let endedAt = 0;
  let overAt = 0;
  let mainIsOver = false;
  const job = await runJob({
    ...rehearsalOptions(cloud),
    ...options,
    pipeline: `steps:\n${exportingStep}`,
    cancel: stop.signal,
    signalTimeouts: { interruptMs: ending === 'SIGINT' ? 30_000 : 1, terminateMs: 30_000 },
    onProcess: ({ pid, stage, environment, terminate }) => {
      mainIsOver = stage === 'post';
      if (mainIsOver) {
        overAt = performance.now();
        return;
      }
      lookupId = environment[LOOKUP_ID] ?? '';
      setTimeout(() => {
        if (mainIsOver) return;
        endedAt = performance.now();
        if (ending === 'SIGKILL') terminate();
        else if (ending === 'SIGTERM') kill(pid, ending);
        else stop.abort();
      }, delayMs);
    },
  });
  const { steps, orphans, leftover } = job;
  const main = steps.find(({ stage }) => stage === 'main');
  const post = steps.find(({ stage }) => stage === 'post');
  assert.ok(main !== undefined && post !== undefined);
  const at = `${ending} after ${delayMs} ms`;

  // Wine ends with 0 what CTRL+C ends.
  const beforeItBegan = main.exitCode !== 0 || (onWindows && main.rawOutput.stdout === '');
  if (ending === 'SIGKILL') {
    assert.ok(main.exitCode === (onWindows ? 1 : 137) || main.exitCode === 0, `${at}: exit code ${main.exitCode}`);
  } else if (beforeItBegan && !onWindows) {
    // 128 and the signal's number: Node had set no handler yet, and the task had done nothing.
    assert.ok(main.exitCode === 130 || main.exitCode === 143, `${at}: exit code ${main.exitCode}`);
    assert.equal(main.rawOutput.stdout, '', at);
  }
  const wasQuicker = /task\.complete result=Succeeded/.test(main.rawOutput.stdout);
  if (stop.signal.aborted && !wasQuicker) assert.equal(main.result, 'Canceled', at);
  if (endedAt > 0 && !wasQuicker) assert.notEqual(main.result, 'Succeeded', `${at}: no outputs, so no success`);
  assert.equal(main.rawOutput.stderr, '', at);
  assert.doesNotMatch(main.rawOutput.stdout, /^\s+at .*[:(]\d+/m, `${at}: no stack`);
  assert.equal(post.result, 'Succeeded', at);
  assert.ok(printedBy(post).length <= 1, at);
  // A process that was never given its orders ends by itself once Node has started, before the agent looks or after.
  // Windows takes its time to end one.
  if (ending === 'SIGKILL' || onWindows) await within(PATIENCE_MS, () => processesOf(lookupId).length === 0);
  else assert.deepEqual(orphans, [], at);
  assert.deepEqual(leftover, [], `${at}; post-job: ${post.rawOutput.stdout}`);
  assert.deepEqual(processesOf(lookupId), [], at);
  return {
    tookMs: endedAt === 0 ? 0 : overAt - endedAt,
    bareMs: post.durationMs,
    beforeItBegan,
    hadFile: printedBy(post).length > 0,
  };
}

function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // The step was quicker.
  }
}

/** The lines that a step printed itself. */
export function printedBy(step: StepResult): string[] {
  return step.rawOutput.stdout.split('\n').filter((line) => line !== '');
}
