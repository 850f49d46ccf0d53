import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath, pathToFileURL } from 'node:url';

/** What a reader of a token file found. */
export interface Reads {
  reads: number;
  /** No file. */
  missing: number;
  /** Neither nothing nor a whole JWT. */
  partial: number;
  /** A token that had expired before it was read. */
  expired: number;
  /** How long the worst of those had been expired. Milliseconds. */
  worstMs: number;
  /** Different tokens. */
  tokens: number;
}

/** So many tokens and reads are enough. */
export type Enough = Pick<Reads, 'tokens' | 'reads'>;

export function isEnough({ tokens, reads }: Reads, enough: Enough): boolean {
  return tokens >= enough.tokens && reads >= enough.reads;
}

export function noReads(): Reads {
  return { reads: 0, missing: 0, partial: 0, expired: 0, worstMs: 0, tokens: 0 };
}

/**
 * Counts one read.
 * @param text what stood in the file, undefined where there was none
 * @param now the time before the read
 * @param seen the tokens found until now
 */
export function judgeToken(text: string | undefined, now: number, reads: Reads, seen: Set<string>): void {
  reads.reads++;
  if (text === undefined) {
    reads.missing++;
    return;
  }
  const expiresAt = expiryOf(text);
  if (expiresAt === undefined) {
    reads.partial++;
    return;
  }
  if (expiresAt <= now) {
    reads.expired++;
    reads.worstMs = Math.max(reads.worstMs, now - expiresAt);
  }
  if (!seen.has(text)) {
    seen.add(text);
    reads.tokens++;
  }
}

/** What stands in a token file; undefined where there is none. */
export function readToken(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}

/** When a whole JWT expires, in milliseconds; undefined for any other text. A signature of RS256 is 342 characters long. */
export function expiryOf(text: string): number | undefined {
  const payload = /^[\w-]+\.([\w-]+)\.[\w-]{342}$/.exec(text)?.[1];
  if (payload === undefined) return undefined;
  try {
    const claims: unknown = JSON.parse(Buffer.from(payload, 'base64url').toString('utf8'));
    return typeof claims === 'object' && claims !== null && 'exp' in claims ? Number(claims.exp) * 1000 : undefined;
  } catch {
    return undefined;
  }
}

/** Reads a file every few milliseconds beside everything else, until it is stopped. */
export function pollTokens(file: string): { readonly reads: Reads; stop(): Reads } {
  const reads = noReads();
  const seen = new Set<string>();
  const timer = setInterval(() => {
    const now = Date.now();
    judgeToken(readToken(file), now, reads, seen);
  }, 5);
  // A test that fails before it stops this must still come to its end.
  timer.unref();
  return {
    reads,
    stop: () => {
      clearInterval(timer);
      return reads;
    },
  };
}

/** Reads in a process of its own, as fast as that can, for so long or until it is enough. */
export async function readFast(file: string, seconds: number, enough?: Enough): Promise<Reads> {
  const tsx = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;
  const script = fileURLToPath(new URL('reader.ts', import.meta.url));
  const child = spawn(
    process.execPath,
    ['--import', tsx, script, file, String(seconds), JSON.stringify(enough ?? null)],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  let text = '';
  for await (const chunk of child.stdout) text += String(chunk);
  return JSON.parse(text) as Reads;
}
