import { randomUUID } from 'node:crypto';
import { rmSync, truncateSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

/**
 * The prefix of the task variables that name the folders of a step for its post-job stage. Each folder has its own
 * variable, so that a retry does not overwrite that of an earlier attempt (retryCountOnTaskFailure).
 */
export const FOLDER_VARIABLES = 'EntraTokenFolder_';

/** The name of the task variable for a folder. */
export function folderVariable(folder: string): string {
  return `${FOLDER_VARIABLES}${basename(folder).slice(-12)}`;
}

/** What the background process leaves in the folder for the post-job stage. */
export const STATUS_FILE = 'status.json';

/** The one file of the folder that later steps are told of. */
export const TOKEN_FILE = 'id-token';

/** How often removal is tried: files that are written meanwhile have to be removed too. */
const REMOVE_TRIES = 10;

const FOLDER = /^entra-token-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** The folder of a step's token file: an unpredictable name below the agent's temporary folder. */
export function newTokenFolder(temporaryFolder: string): string {
  return join(temporaryFolder, `entra-token-${randomUUID()}`);
}

/** True for a path that only `newTokenFolder` makes: the clean-up removes nothing else. */
export function isTokenFolder(path: string): boolean {
  return FOLDER.test(basename(path));
}

/** The token file in a step's folder. */
export function tokenFileIn(folder: string): string {
  return join(folder, TOKEN_FILE);
}

/** True for a token file that a step of this task wrote, as against one of Kubernetes. */
export function isExportedTokenFile(path: string): boolean {
  return basename(path) === TOKEN_FILE && isTokenFolder(dirname(path));
}

/**
 * Removes the folder with all that is in it; does nothing where it is gone, and nothing to any other path. A background
 * process that has just begun may write its status after the files were listed: Node then fails with ENOTEMPTY however
 * often it retries, because it lists them once.
 */
export function removeTokenFolder(folder: string): void {
  if (!isTokenFolder(folder)) {
    return;
  }
  for (let tries = 1; ; tries++) {
    try {
      rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 10 });
      return;
    } catch (error) {
      if (tries === REMOVE_TRIES) {
        throw error;
      }
    }
  }
}

/**
 * Removes the token alone; the folder stays. Gives false where the system refuses for the moment, as Windows does while a
 * reader has the file open; the token is taken out of the file then, where that is possible.
 */
export function removeTokenFile(folder: string): boolean {
  const file = tokenFileIn(folder);
  if (tryRemove(file)) {
    return true;
  }
  try {
    truncateSync(file);
  } catch {
    // That failed too.
  }
  return false;
}

/** Removes a file; gives false where the system refuses. */
export function tryRemove(file: string): boolean {
  try {
    rmSync(file, { force: true });
    return true;
  } catch {
    return false;
  }
}
