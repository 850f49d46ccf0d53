/**
 * The post-job stage: ends the background process and removes its folder. It runs for every step, also where main was
 * skipped or killed, so it is small, loads no library, and never fails a job.
 */
import { existsSync } from 'node:fs';
import { endProcess } from './background/end-process.ts';
import { readStatus, type Status } from './background/status.ts';
import {
  FOLDER_VARIABLES,
  isTokenFolder,
  removeTokenFile,
  removeTokenFolder,
  tokenFileIn,
} from './background/token-folder.ts';
import { taskVariables } from './origins/process.ts';

function main(): void {
  for (const folder of taskVariables(FOLDER_VARIABLES).filter(isTokenFolder)) {
    try {
      cleanUp(folder);
    } catch {
      // Windows does not remove a file that a program has open, but may allow to empty it.
      removeTokenFile(folder);
      process.stdout.write(
        'The token file could not be removed; the agent empties its temporary folder after the job.\n',
      );
    }
  }
}

function cleanUp(folder: string): void {
  const pid = readStatus(folder)?.pid;
  const wasRunning = pid !== undefined && endProcess(pid, folder);
  const status = readStatus(folder);
  const hadFile = existsSync(tokenFileIn(folder));
  removeTokenFolder(folder);
  for (const line of summary(status, hadFile, wasRunning)) {
    process.stdout.write(`${line}\n`);
  }
}

/**
 * One line for the token file and one for the endpoint. An expired file is gone, and one that exists may not have
 * been renewed.
 */
function summary(status: Status | undefined, hadFile: boolean, wasRunning: boolean): string[] {
  const lines: string[] = [];
  if (status?.file !== undefined || hadFile) {
    lines.push(fileSummary(status?.file, wasRunning));
  }
  if (status?.endpoint !== undefined) {
    const { given } = status.endpoint;
    const count = given === 0 ? 'no token' : given === 1 ? 'one token' : `${given} tokens`;
    const state = wasRunning ? 'is closed' : 'had ended before';
    lines.push(`The token endpoint gave out ${count} and ${state}.`);
  }
  return lines;
}

function fileSummary(file: Status['file'], wasRunning: boolean): string {
  if (file === undefined) {
    return 'The token file is removed; it was not renewed.';
  }
  const { renewed, failing } = file;
  const renewals = renewed === 0 ? 'not yet renewed' : renewed === 1 ? 'renewed once' : `renewed ${renewed} times`;
  const state =
    failing !== undefined
      ? `renewal was failing at the end (${failing})`
      : wasRunning
        ? 'renewal was working to the end'
        : 'the process that renewed it had ended before';
  return `The token file was ${renewals} and is removed; ${state}.`;
}

main();
