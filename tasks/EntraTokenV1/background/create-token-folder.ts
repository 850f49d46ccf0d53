import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { errorCode, Failure } from '../failure/failure.ts';

/**
 * Makes the folder of a token file, for the agent's user alone. Throws ET_TOKEN_FILE, and on Windows
 * ET_TOKEN_FILE_ACCESS.
 * @param systemRoot the folder of Windows, as the machine names it: a program in it is run
 */
export function createTokenFolder(folder: string, systemRoot: string | undefined): void {
  try {
    mkdirSync(folder, { mode: 0o700 });
    // The umask of the process may have removed bits of the mode.
    chmodSync(folder, 0o700);
  } catch (error) {
    const code = errorCode(error) ?? 'no error code';
    throw new Failure('ET_TOKEN_FILE', `The folder for the token file cannot be made (${code}).`);
  }
  if (process.platform === 'win32') {
    closeOnWindows(folder, systemRoot);
  }
}

/** Much longer than it takes. Milliseconds. */
const ICACLS_MS = 15_000;

/**
 * Windows has no modes: a new folder inherits the permissions of its parent, and below C:\ these are for every user.
 * The inherited permissions are removed, and one is granted: to the owner of what is in the folder. S-1-3-4 is that
 * owner in every language and domain (Microsoft: well-known SIDs, OWNER RIGHTS). Wine keeps no access lists;
 * azure-pipelines.yml looks at this one on Windows.
 */
function closeOnWindows(folder: string, systemRoot = 'C:\\Windows'): void {
  const icacls = join(systemRoot, 'System32', 'icacls.exe');
  const { error, status, signal } = spawnSync(icacls, [folder, '/inheritance:r', '/grant:r', '*S-1-3-4:(OI)(CI)F'], {
    windowsHide: true,
    // Nothing of the job's, whose connections and secrets stand in the environment of the step.
    env: { SystemRoot: systemRoot },
    stdio: 'ignore',
    timeout: ICACLS_MS,
  });
  if (status !== 0) {
    const why = error === undefined ? (signal ?? `exit code ${status}`) : (errorCode(error) ?? 'no error code');
    throw new Failure(
      'ET_TOKEN_FILE_ACCESS',
      `Windows could not limit the folder for the token file, ${folder}, to the agent’s user: icacls.exe failed (${why}).`,
    );
  }
}
