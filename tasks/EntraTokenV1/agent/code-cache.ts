import { createHash } from 'node:crypto';
import { lstatSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, isAbsolute, join } from 'node:path';
import { Script } from 'node:vm';

/** Keeps the code that V8 has compiled by now for the next step, where there is none yet. Never throws. */
export type KeepCode = () => void;

const HANDOVER = Symbol.for('EntraToken.keepCode');
const DIGEST_BYTES = 32;
const UNUSED_MS = 30 * 24 * 3600 * 1000;

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Starts a CommonJS file once more, from the code that V8 compiled of it in an earlier step on this agent: a third of a
 * step's processor time is compiling. Gives true where it was started; false where no code is kept, so that the caller
 * goes on by itself. In the file that was started, `startedFromCache` gives a function.
 */
export function startFromCache(file: string, require: NodeJS.Require, folder: string | undefined): boolean {
  if (folder === undefined) {
    return false;
  }
  let script: Script;
  let keep: KeepCode = () => {};
  try {
    const source = readFileSync(file, 'utf8');
    const store = join(folder, `${sourceMark(source)}-${nodeMark()}`);
    const cachedData = readStore(store, source);
    script = new Script(`(function (require, __filename, __dirname) {${source}\n})`, {
      filename: file,
      ...(cachedData === undefined ? {} : { cachedData }),
    });
    if (cachedData === undefined || script.cachedDataRejected === true) {
      keep = () => writeStore(store, script, source);
    }
  } catch {
    return false;
  }
  Object.assign(globalThis, { [HANDOVER]: keep });
  script.runInThisContext()(require, file, dirname(file));
  return true;
}

/** The function to call when all has run, in a file that `startFromCache` started; undefined in any other. */
export function startedFromCache(): KeepCode | undefined {
  const keep: unknown = Reflect.get(globalThis, HANDOVER);
  return typeof keep === 'function' ? () => void keep() : undefined;
}

/**
 * A folder of our own in the home of the agent's user, which lives between the jobs of a self-hosted agent; a hosted
 * one never has a second job. The home is the one that the system knows: no variable of a pipeline can choose the
 * folder, because compiled code is run without being looked at. It must belong to the user and be closed to others for
 * writing; whoever has that user can replace the task itself. Windows has no user numbers by which to tell.
 */
export function cacheFolder(environment: Environment, home: string): string | undefined {
  if (environment['AGENT_ISSELFHOSTED'] === '0' || process.getuid === undefined || !isAbsolute(home)) {
    return undefined;
  }
  const folder = join(home, '.cache', 'entra-token');
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const { uid, mode } = lstatSync(folder);
    return uid === process.getuid() && (mode & 0o170022) === 0o040000 ? folder : undefined;
  } catch {
    return undefined;
  }
}

function sourceMark(source: string): string {
  return createHash('sha256').update(source).digest('hex').slice(0, 16);
}

/** Names this very build of Node: V8's own check knows the version of V8, but not how it was built. */
function nodeMark(): string {
  const { size, mtimeMs } = statSync(process.execPath);
  return `${process.version}-${process.arch}-${size}-${Math.trunc(mtimeMs)}`;
}

/** V8 compares only lengths, and damaged code ends the process: so a digest over source and code stands before it. */
function digest(source: string, code: Buffer): Buffer {
  return createHash('sha256').update(source).update('\0').update(code).digest();
}

function readStore(store: string, source: string): Buffer | undefined {
  try {
    const bytes = readFileSync(store);
    const code = bytes.subarray(DIGEST_BYTES);
    return digest(source, code).equals(bytes.subarray(0, DIGEST_BYTES)) ? code : undefined;
  } catch {
    return undefined;
  }
}

/** Code of versions that no step has run for a month. */
function removeUnused(folder: string): void {
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    if (Date.now() - statSync(path).atimeMs > UNUSED_MS && Date.now() - statSync(path).mtimeMs > UNUSED_MS) {
      rmSync(path, { force: true });
    }
  }
}

function writeStore(store: string, script: Script, source: string): void {
  const draft = `${store}.${process.pid}`;
  try {
    const code = script.createCachedData();
    writeFileSync(draft, Buffer.concat([digest(source, code), code]), { mode: 0o600, flag: 'wx' });
    renameSync(draft, store);
    removeUnused(dirname(store));
  } catch {
    rmSync(draft, { force: true });
  }
}
