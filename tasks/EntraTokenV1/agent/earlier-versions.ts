import { lstatSync, rmSync } from 'node:fs';
import { userInfo } from 'node:os';
import { isAbsolute, join } from 'node:path';

/**
 * Removes the code that versions before 1.1 cached in the home folder of the agent's user; nothing reads it any more.
 * Follows no link, and never throws.
 * @param home the home folder; by default the one that the system names, because a pipeline can set the variable HOME
 */
export function removeKeptCode(home: () => string = () => userInfo().homedir): void {
  try {
    const cache = join(home(), '.cache');
    const folder = join(cache, 'entra-token');
    if (isAbsolute(folder) && lstatSync(cache).isDirectory() && lstatSync(folder).isDirectory()) {
      rmSync(folder, { recursive: true, force: true });
    }
  } catch {
    // It usually does not exist, or must not be removed.
  }
}
