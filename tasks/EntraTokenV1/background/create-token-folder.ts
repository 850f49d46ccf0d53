import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { errorCode, Failure } from '../failure/failure.ts';

/**
 * Makes the folder of a token file, for the agent's user alone. Throws ET_TOKEN_FILE.
 * @param systemRoot where Windows is, as the machine says: programs of it are run
 */
export function createTokenFolder(folder: string, systemRoot: string | undefined): void {
  try {
    mkdirSync(folder, { mode: 0o700 });
    if (process.platform === 'win32') {
      closeOnWindows(folder, systemRoot);
    } else {
      chmodSync(folder, 0o700);
    }
  } catch (error) {
    const code = errorCode(error) ?? 'no error code';
    throw new Failure('ET_TOKEN_FILE', `The folder for the token file cannot be made (${code}).`);
  }
}

/**
 * Windows has no modes: a new folder takes over whom its parent lets in, and below C:\ that is every user. The grants
 * that it took over are removed, and the one user is named by the number that no language or domain changes.
 */
function closeOnWindows(folder: string, systemRoot = 'C:\\Windows'): void {
  const system = join(systemRoot, 'System32');
  const options = { encoding: 'utf8', windowsHide: true, stdio: 'pipe' } as const;
  const user = execFileSync(join(system, 'whoami.exe'), ['/user', '/fo', 'csv', '/nh'], options);
  const sid = /S-1-[0-9-]+/.exec(user)?.[0];
  if (sid === undefined) {
    throw new Error('no security identifier');
  }
  execFileSync(join(system, 'icacls.exe'), [folder, '/inheritance:r', '/grant:r', `*${sid}:(OI)(CI)F`], options);
}
