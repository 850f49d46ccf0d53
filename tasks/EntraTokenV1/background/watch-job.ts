import { statSync } from 'node:fs';
import { isAskedToEnd } from './end-process.ts';
import type { Orders } from './orders.ts';
import { isRunning, showsProcesses } from './processes.ts';
import { removeTokenFolder } from './token-folder.ts';

/**
 * How often the folder and the job's processes are checked; more often where post-job can send no signal.
 * Milliseconds.
 */
const LOOK_MS = showsProcesses() ? 500 : 100;

/**
 * Ends the process when its folder is gone, or when the agent is; then the folder is removed as well.
 * @param elapsed the monotonic clock, in milliseconds
 * @param onLook called at each check while the job runs, and before the end if post-job asks for it
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
    if (isAskedToEnd(folder)) {
      onLook();
      process.exit(0);
    }
    if (step !== undefined && stepEndedAt === undefined && !isRunning(step)) {
      stepEndedAt = elapsed();
    }
    if (isAgentWatched && !isRunning(job.agent)) {
      if (stepEndedAt === undefined || elapsed() - stepEndedAt >= job.withStepMs) {
        removeTokenFolder(folder);
        process.exit(0);
      }
      // Not the agent, but what started the step. The end of a job container ends this process too.
      isAgentWatched = false;
    }
    onLook();
    setTimeout(look, LOOK_MS);
  };
  look();
}

function isThere(folder: string): boolean {
  try {
    return statSync(folder).isDirectory();
  } catch {
    return false;
  }
}
