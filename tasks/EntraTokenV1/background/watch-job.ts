import { statSync } from 'node:fs';
import type { Orders } from './orders.ts';
import { isRunning, type JobMark } from './processes.ts';
import { removeTokenFolder } from './token-folder.ts';

/** How often the folder and the job's processes are looked at. Milliseconds. */
const LOOK_MS = 500;

/** In this time after the step, what only wrapped it in a container has ended too. Milliseconds. */
const WITH_STEP_MS = 5000;

/**
 * Ends the process with its folder, and with the agent; a folder whose job is over goes with it.
 * @param elapsed the clock that nobody can set, in milliseconds
 * @param onLook called each time when the job still runs
 */
export function watchJob(
  { folder, step, job }: Pick<Orders, 'folder' | 'step' | 'job'>,
  elapsed: () => number,
  onLook: () => void,
): void {
  let stepEndedAt: number | undefined;
  let isAgentWatched = true;
  const look = (): void => {
    if (!isThere(folder)) {
      process.exit(0);
    }
    if (step !== undefined && stepEndedAt === undefined && !isRunning(step)) {
      stepEndedAt = elapsed();
    }
    if (isAgentWatched && !isRunning(job.agent)) {
      if (!endedWithStep(job, stepEndedAt, elapsed())) {
        removeTokenFolder(folder);
        process.exit(0);
      }
      // Not the agent, but what started the step in a job container; the end of the container ends this process too.
      isAgentWatched = false;
    }
    onLook();
    setTimeout(look, LOOK_MS);
  };
  look();
}

function endedWithStep({ mayEndWithStep }: JobMark, stepEndedAt: number | undefined, now: number): boolean {
  return mayEndWithStep && stepEndedAt !== undefined && now - stepEndedAt <= WITH_STEP_MS;
}

function isThere(folder: string): boolean {
  try {
    return statSync(folder).isDirectory();
  } catch {
    return false;
  }
}
