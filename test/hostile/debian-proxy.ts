import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net, { type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type HttpProxy, startProxy } from '../cloud/proxy.ts';

/** A proxy of the Debian distribution, as machines of companies run it. */
export interface DebianProxy {
  url: string;
  close(): Promise<void>;
}

export interface DebianProxyOptions {
  credentials?: { username: string; password: string };
  /** The real names, as `host:port`, and where each is. */
  resolve: Record<string, string>;
}

/** Where the package puts the program; undefined where the package is not installed. */
export function programOf(name: 'squid' | 'tinyproxy'): string | undefined {
  return ['/usr/sbin', '/usr/bin', '/usr/local/sbin', '/usr/local/bin']
    .map((folder) => join(folder, name))
    .find((file) => existsSync(file));
}

/** Neither proxy has a name service of its own, so tinyproxy asks the local cloud's proxy, which has. */
export async function startTinyproxy(program: string, options: DebianProxyOptions): Promise<DebianProxy> {
  const parent = await startProxy({ resolve: options.resolve });
  const { credentials } = options;
  const configuration = (port: number): string[] => [
    `Port ${port}`,
    'Listen 127.0.0.1',
    'Timeout 30',
    'Allow 127.0.0.1',
    'ConnectPort 443',
    `Upstream http 127.0.0.1:${parent.port}`,
    ...(credentials === undefined ? [] : [`BasicAuth ${credentials.username} ${credentials.password}`]),
  ];
  return started(
    program,
    (file) => ['-d', '-c', file],
    (_folder, port) => configuration(port),
    parent,
  );
}

/** As {@link startTinyproxy}; the users are asked of a program, which is how Squid is told of them. */
export async function startSquid(program: string, options: DebianProxyOptions): Promise<DebianProxy> {
  const parent = await startProxy({ resolve: options.resolve });
  const { credentials } = options;
  const configuration = (port: number): string[] => [
    `http_port 127.0.0.1:${port}`,
    'visible_hostname proxy.example',
    'pid_filename none',
    'access_log none',
    'cache_log /dev/null',
    'netdb_filename none',
    'pinger_enable off',
    'shutdown_lifetime 0 seconds',
    `cache_peer 127.0.0.1 parent ${parent.port} 0 no-query no-digest default`,
    'never_direct allow all',
  ];
  const allowed = credentials === undefined ? 'all' : 'known';
  const withUsers = (folder: string): string[] => {
    if (credentials === undefined) return [];
    const helper = join(folder, 'users.sh');
    const known = `${credentials.username} ${encodeURIComponent(credentials.password)}`;
    writeFileSync(helper, `#!/bin/sh\nwhile read -r line; do [ "$line" = '${known}' ] && echo OK || echo ERR; done\n`);
    chmodSync(helper, 0o755);
    return [`auth_param basic program ${helper}`, 'auth_param basic realm proxy', 'acl known proxy_auth REQUIRED'];
  };
  const rules = [`http_access allow ${allowed}`, 'http_access deny all'];
  return started(
    program,
    (file) => ['-N', '-f', file],
    (folder, port) => [...withUsers(folder), ...configuration(port), ...rules],
    parent,
  );
}

/** A port that is free now may be another's when the program takes it: then it is another port's turn. */
async function started(
  program: string,
  args: (file: string) => string[],
  configuration: (folder: string, port: number) => string[],
  parent: HttpProxy,
): Promise<DebianProxy> {
  const folder = mkdtempSync(join(tmpdir(), 'debian-proxy-'));
  // A proxy that is started by root reads its files as another user.
  chmodSync(folder, 0o755);
  const file = join(folder, 'proxy.conf');
  const said: Buffer[] = [];
  const closeAll = async (child?: ChildProcess): Promise<void> => {
    if (child !== undefined) await ended(child);
    await parent.close();
    rmSync(folder, { recursive: true });
  };
  for (let tries = 0; tries < 5; tries++) {
    const port = await freePort();
    writeFileSync(file, `${configuration(folder, port).join('\n')}\n`, { mode: 0o644 });
    const child = spawn(program, args(file), { stdio: ['ignore', 'pipe', 'pipe'], cwd: '/' });
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => said.push(chunk));
    while (child.exitCode === null) {
      if (await listens(port)) return { url: `http://127.0.0.1:${port}`, close: () => closeAll(child) };
      await sleep(50);
    }
  }
  await closeAll();
  throw new Error(`${program} does not listen: ${Buffer.concat(said).toString()}`);
}

function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => {
    child.once('exit', () => resolve());
    child.kill('SIGKILL');
  });
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = net.createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}
