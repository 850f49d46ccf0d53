import { spawn } from 'node:child_process';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface GitServer {
  /** `http://127.0.0.1:PORT`: a repository `name.git` of the folder is at `/name.git`. */
  readonly url: string;
  /** The status of each answer. */
  readonly answers: readonly number[];
  close(): Promise<void>;
}

export interface GitServerOptions {
  /** The folder of the bare repositories. */
  readonly folder: string;
  /** Resolves for a bearer token that may read and write; rejects for any other. */
  readonly verify: (token: string) => Promise<void>;
  /** Called for each request before it is answered. */
  readonly onRequest?: () => void;
}

/** Git's smart HTTP over `git http-backend`, for whoever brings a bearer token; Azure Repos without the rest of it. */
export async function startGitServer({ folder, verify, onRequest }: GitServerOptions): Promise<GitServer> {
  const answers: number[] = [];
  const server = createServer((request, response) => {
    onRequest?.();
    response.on('finish', () => answers.push(response.statusCode));
    authorize(request, verify).then(
      () => backend(folder, request, response),
      () => response.writeHead(401, { 'www-authenticate': 'Bearer' }).end(),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    answers,
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

async function authorize(request: IncomingMessage, verify: GitServerOptions['verify']): Promise<void> {
  const token = /^Bearer (\S+)$/i.exec(request.headers.authorization ?? '')?.[1];
  if (token === undefined) throw new Error('no bearer token');
  await verify(token);
}

/** One run of the CGI program that comes with git (RFC 3875). */
function backend(folder: string, request: IncomingMessage, response: ServerResponse): void {
  const url = new URL(request.url ?? '/', 'http://localhost');
  const header = (name: string): string => String(request.headers[name] ?? '');
  const child = spawn('git', ['http-backend'], {
    env: {
      PATH: process.env['PATH'],
      GIT_PROJECT_ROOT: folder,
      GIT_HTTP_EXPORT_ALL: '1',
      REQUEST_METHOD: request.method,
      PATH_INFO: decodeURIComponent(url.pathname),
      QUERY_STRING: url.search.slice(1),
      CONTENT_TYPE: header('content-type'),
      HTTP_CONTENT_ENCODING: header('content-encoding'),
      GIT_PROTOCOL: header('git-protocol'),
      REMOTE_USER: 'bearer',
    },
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  request.pipe(child.stdin);
  child.stdin.on('error', () => {});
  const chunks: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  child.on('error', () => response.writeHead(500).end());
  child.on('close', () => {
    const output = Buffer.concat(chunks);
    const end = output.indexOf('\r\n\r\n');
    const fields = output.subarray(0, Math.max(0, end)).toString('latin1').split('\r\n');
    const status = fields.find((field) => /^Status:/i.test(field));
    response.statusCode = end < 0 ? 500 : Number(/\d{3}/.exec(status ?? '200')?.[0]);
    for (const field of fields.filter((one) => one !== status && one.includes(':'))) {
      const colon = field.indexOf(':');
      response.setHeader(field.slice(0, colon), field.slice(colon + 1).trim());
    }
    response.end(output.subarray(end + 4));
  });
}
