import { type SpawnOptions, spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import type { Answer, ServiceRequest } from './server.ts';

const contents = `commit refs/heads/main
committer Contoso <contoso@example.com> 1760000000 +0000
data <<END
The first commit
END
M 100644 inline README.md
data <<END
Storefront
END
`;

/** Makes a bare repository with one commit, where there is none yet. Throws where git is not installed. */
export function ensureRepository(folder: string): void {
  if (existsSync(folder)) return;
  git(['init', '--quiet', '--bare', '--initial-branch=main', folder]);
  git(['-C', folder, 'fast-import', '--quiet'], contents);
}

function git(given: string[], input = ''): void {
  const { error, status, stderr } = spawnSync('git', given, { ...surroundings(), input, encoding: 'utf8' });
  if (error !== undefined || status !== 0) throw error ?? new Error(stderr);
}

/** Git's smart HTTP for the repositories of a folder: one run of the CGI program that comes with git (RFC 3875). */
export async function gitBackend(folder: string, path: string, request: ServiceRequest): Promise<Answer> {
  const header = (name: string): string => String(request.headers[name] ?? '');
  const child = spawn('git', ['http-backend'], {
    ...surroundings({
      GIT_PROJECT_ROOT: folder,
      GIT_HTTP_EXPORT_ALL: '1',
      REQUEST_METHOD: request.method,
      PATH_INFO: path,
      QUERY_STRING: request.url.search.slice(1),
      CONTENT_TYPE: header('content-type'),
      HTTP_CONTENT_ENCODING: header('content-encoding'),
      GIT_PROTOCOL: header('git-protocol'),
      REMOTE_USER: 'bearer',
    }),
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  child.stdin.on('error', () => {}).end(request.body);
  const chunks: Buffer[] = [];
  for await (const chunk of child.stdout) chunks.push(chunk);
  return answerOf(Buffer.concat(chunks));
}

function answerOf(output: Buffer): Answer {
  const end = output.indexOf('\r\n\r\n');
  if (end < 0) return { status: 500, headers: {}, body: '' };
  const headers = Object.fromEntries(
    output
      .toString('latin1', 0, end)
      .split('\r\n')
      .map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]),
  );
  const { status = '200', ...others } = headers;
  return { status: Number.parseInt(status, 10), headers: others, body: output.subarray(end + 4) };
}

/** Nothing of whoever runs this: neither their configuration nor their repository. */
function surroundings(more: NodeJS.ProcessEnv = {}): Pick<SpawnOptions, 'env'> {
  return { env: { PATH: process.env['PATH'], GIT_CONFIG_NOSYSTEM: '1', ...more } };
}
