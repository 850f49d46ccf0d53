import { constants } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { errorCode, Failure } from '../failure/failure.ts';
import type { Mask } from '../text/secret.ts';
import { instant, printable } from '../text/text.ts';
import { type IdToken, readIdToken } from './id-token.ts';

const LARGEST_TOKEN = 64 * 1024;

/** Between writing the folder and renaming the link, a rotation can show an old or empty file for a moment. */
const ROTATION_RETRIES_MS = [50, 150, 300];

export interface TokenFileReader {
  readonly path: string;
  readonly now: () => number;
  readonly sleep: (milliseconds: number) => Promise<void>;
  readonly mask: Mask;
}

/**
 * Reads the service account token anew, through the links of a projected volume, and checks its size, shape, expiry
 * and that the token is not one for the API server of the cluster. Entra decides whether another audience is right.
 * Throws a Failure with a code for each kind of fault; one that a rotation can cause is checked again first.
 */
export async function readTokenFile(reader: TokenFileReader): Promise<IdToken> {
  for (const wait of ROTATION_RETRIES_MS) {
    try {
      return await readOnce(reader);
    } catch (error) {
      if (!(error instanceof Failure) || !MAY_PASS.has(error.code)) {
        throw error;
      }
      await reader.sleep(wait);
    }
  }
  return readOnce(reader);
}

const MAY_PASS: ReadonlySet<string> = new Set([
  'ET_KUBERNETES_FILE_MISSING',
  'ET_KUBERNETES_FILE_EMPTY',
  'ET_KUBERNETES_TOKEN_EXPIRED',
]);

async function readOnce(reader: TokenFileReader): Promise<IdToken> {
  const file = `The Kubernetes token file ${printable(reader.path, 300)}`;
  const text = (await readText(reader.path, file)).trim();
  if (text === '') {
    throw new Failure('ET_KUBERNETES_FILE_EMPTY', `${file} is empty.`);
  }
  const idToken = readIdToken(text, reader.mask);
  if (idToken === undefined) {
    throw new Failure(
      'ET_KUBERNETES_FILE_WRONG',
      `${file} contains no service account token (not a JWT with issuer, subject, audience and expiry).`,
    );
  }
  if (idToken.expiresAt <= reader.now()) {
    throw new Failure(
      'ET_KUBERNETES_TOKEN_EXPIRED',
      `${file} contains a token that expired at ${instant(idToken.expiresAt)}.`,
    );
  }
  if (idToken.audiences.length === 0) {
    throw new Failure('ET_KUBERNETES_TOKEN_AUDIENCE', `${file} contains a token that names no audience.`);
  }
  const forApi = idToken.audiences.find((audience) => isOfApiServer(audience, idToken.issuer));
  if (forApi !== undefined) {
    throw new Failure(
      'ET_KUBERNETES_TOKEN_AUDIENCE',
      `${file} contains a token for the API server of the cluster (audience ${printable(forApi, 120)}).`,
    );
  }
  return idToken;
}

/**
 * Such a token gives the service account's permissions in the cluster. The default audience of an API server is its
 * issuer (kube-apiserver, `--api-audiences`); AKS names it by its address.
 */
function isOfApiServer(audience: string, issuer: string): boolean {
  const bare = (text: string): string =>
    text
      .trim()
      .toLowerCase()
      .replaceAll('"', '')
      .replace(/^https:\/\//, '')
      .replace(/\/+$/, '');
  const name = bare(audience);
  const host = name.replace(/[:/].*$/, '');
  return (
    name === bare(issuer) ||
    /^kubernetes(?:\.default(?:\.svc(?:\.[a-z0-9.-]+)?)?)?$/.test(host) ||
    /\.(?:azmk8s\.io|azmk8s\.us|azmk8s\.cn|cx\.aks\.containerservice\.azure\.(?:us|cn))$/.test(host) ||
    ['k3s', 'rke2', 'api'].includes(name)
  );
}

async function readText(path: string, file: string): Promise<string> {
  let handle: FileHandle | undefined;
  try {
    // A pipe instead of the file would block the read forever.
    handle = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
    const stats = await handle.stat();
    if (stats.isDirectory()) {
      throw new Failure('ET_KUBERNETES_FILE_WRONG', `${file} is a folder.`);
    }
    if (!stats.isFile()) {
      throw new Failure('ET_KUBERNETES_FILE_WRONG', `${file} is not a regular file.`);
    }
    const buffer = Buffer.alloc(LARGEST_TOKEN + 1);
    let length = 0;
    for (;;) {
      const { bytesRead } = await handle.read(buffer, length, buffer.length - length, null);
      length += bytesRead;
      if (bytesRead === 0 || length === buffer.length) {
        break;
      }
    }
    if (length > LARGEST_TOKEN) {
      throw new Failure('ET_KUBERNETES_FILE_WRONG', `${file} is larger than 64 KiB.`);
    }
    return buffer.toString('utf8', 0, length);
  } catch (error) {
    throw error instanceof Failure ? error : await describe(path, file, errorCode(error));
  } finally {
    await handle?.close();
  }
}

async function describe(path: string, file: string, code: string | undefined): Promise<Failure> {
  switch (code) {
    case 'ENOENT':
    case 'ENOTDIR':
      return new Failure('ET_KUBERNETES_FILE_MISSING', `${file} does not exist.`);
    case 'EISDIR':
      return new Failure('ET_KUBERNETES_FILE_WRONG', `${file} is a folder.`);
    case 'EACCES':
    case 'EPERM':
      return new Failure(
        'ET_KUBERNETES_FILE_UNREADABLE',
        `${file} cannot be read by ${whoWeAre()}; ${await modeOf(path)}.`,
      );
    default:
      return new Failure('ET_KUBERNETES_FILE_WRONG', `${file} cannot be read (${code ?? 'no error code'}).`);
  }
}

function whoWeAre(): string {
  try {
    const { username, uid, gid } = userInfo();
    return `the user ${printable(username, 60)} (uid ${uid}, gid ${gid})`;
  } catch {
    return `the user with uid ${process.getuid?.() ?? 'unknown'}`;
  }
}

async function modeOf(path: string): Promise<string> {
  try {
    const { mode, uid, gid } = await stat(path);
    return `its mode is ${(mode & 0o777).toString(8).padStart(4, '0')}, its owner uid ${uid}, gid ${gid}`;
  } catch {
    return 'a folder on the way to it is closed to that user';
  }
}
