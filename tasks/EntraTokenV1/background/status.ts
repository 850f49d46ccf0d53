import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isRecord } from '../text/json.ts';
import { STATUS_FILE } from './token-folder.ts';

/** What the background process leaves in its folder for the post-job stage. */
export interface Status {
  readonly pid: number;
  /** If there is a token file: how often it was renewed, and the code of the failure if the last renewal failed. */
  readonly file?: { readonly renewed: number; readonly failing?: string };
  /** If there is an endpoint: how many tokens it issued. */
  readonly endpoint?: { readonly given: number };
}

/** Reads the status of the background process; undefined if there is none, or none that is valid. */
export function readStatus(folder: string): Status | undefined {
  try {
    const status: unknown = JSON.parse(readFileSync(join(folder, STATUS_FILE), 'utf8'));
    if (!isRecord(status) || !isCount(status['pid'])) {
      return undefined;
    }
    const { pid, file, endpoint } = status;
    return {
      pid,
      ...(isRecord(file) && isCount(file['renewed']) ? { file: { renewed: file['renewed'], ...failing(file) } } : {}),
      ...(isRecord(endpoint) && isCount(endpoint['given']) ? { endpoint: { given: endpoint['given'] } } : {}),
    };
  } catch {
    return undefined;
  }
}

function failing({ failing: code }: Record<string, unknown>): { failing?: string } {
  return typeof code === 'string' && /^ET_[A-Z_]+$/.test(code) ? { failing: code } : {};
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}
