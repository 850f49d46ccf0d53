import { lstatSync, rmSync } from 'node:fs';
import { userInfo } from 'node:os';
import { isAbsolute, join } from 'node:path';

/**
 * Removes the code that versions before 1.1 kept in the home of the agent's user; nothing reads it any more. Follows no
 * link, and never throws.
 * @param home where the home is; by default as the system knows it, because a pipeline can set the variable HOME
 */
export function removeKeptCode(home: () => string = () => userInfo().homedir): void {
  try {
    const cache = join(home(), '.cache');
    const folder = join(cache, 'entra-token');
    if (isAbsolute(folder) && lstatSync(cache).isDirectory() && lstatSync(folder).isDirectory()) {
      rmSync(folder, { recursive: true, force: true });
    }
  } catch {
    // There is none, as nearly everywhere; or it is not ours to remove.
  }
}
