import { randomUUID } from 'node:crypto';
import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { errorCode, Failure } from '../failure/failure.ts';
import type { Secret } from '../text/secret.ts';
import { TOKEN_FILE, tryRemove } from './token-folder.ts';

/** Windows refuses to replace a file while another process has it open. */
const REPLACE_TRIES = 10;

/** Replaces the token atomically: a reader finds the old one or the new one, complete. Throws ET_TOKEN_FILE. */
export function writeTokenFile(folder: string, token: Secret): void {
  writeWhole(folder, TOKEN_FILE, token.reveal());
}

/** Writes a file of the folder beside its place, 0600, and renames it. Throws ET_TOKEN_FILE. */
export function writeWhole(folder: string, name: string, text: string): void {
  const place = join(folder, name);
  const beside = join(folder, `.${name}-${randomUUID()}`);
  try {
    writeFileSync(beside, text, { mode: 0o600, flag: 'wx' });
    for (let tries = 1; ; tries++) {
      try {
        renameSync(beside, place);
        return;
      } catch (error) {
        if (tries === REPLACE_TRIES || !['EPERM', 'EACCES', 'EBUSY'].includes(errorCode(error) ?? '')) {
          throw error;
        }
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
      }
    }
  } catch (error) {
    tryRemove(beside);
    throw new Failure('ET_TOKEN_FILE', `The file ${place} cannot be written (${errorCode(error) ?? 'no error code'}).`);
  }
}
