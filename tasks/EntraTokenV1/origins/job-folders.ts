import { realpathSync } from 'node:fs';
import { isAbsolute, relative, resolve, sep } from 'node:path';

/** Returns whether a path leads into one of the folders whose content a job decides. */
export type IsInJobFolders = (path: string) => boolean;

/**
 * The system shows the environment, and with it every variable, as a file; so nothing below these is a file that an
 * administrator put there.
 */
const NO_FILES_OF_ANYONE = ['/proc', '/sys', '/dev'];

/**
 * @param folders the folders that the job fills: its work folder, its sources; paths that are not absolute are
 * ignored
 */
export function jobFolders(folders: readonly (string | undefined)[]): IsInJobFolders {
  const closed = [...new Set([...folders, ...NO_FILES_OF_ANYONE])].flatMap((folder) =>
    folder !== undefined && isAbsolute(folder) ? [resolve(folder), real(folder)] : [],
  );
  // A link inside of these folders belongs to the job wherever it leads; so does a link outside of them that leads
  // into them.
  return (path) => [resolve(path), real(path)].some((form) => closed.some((folder) => isBelow(form, folder)));
}

function isBelow(path: string, folder: string): boolean {
  // The root folder would include every path.
  if (resolve(folder) === resolve(folder, '..')) {
    return false;
  }
  const inside = relative(folder, path);
  return inside === '' || (inside !== '..' && !inside.startsWith(`..${sep}`) && !isAbsolute(inside));
}

function real(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return resolve(path);
  }
}
