import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';
import { send } from '../cloud/client.ts';
import type { Cloud } from '../cloud/cloud.ts';
import { askToken, tokenForm } from '../cloud/tokens.ts';
import type { Installed } from './install.ts';

const host = 'contoso.blob.core.windows.net';

/** Azurite with one account and its containers. It asks for access tokens for Azure Storage. */
export interface BlobService {
  /** The text of a blob. Throws where it is not there. */
  read(path: string): Promise<string>;
  close(): Promise<void>;
}

/** Starts the blob service, at its real name, for the cloud's tools. */
export async function startBlobService(
  cloud: Cloud,
  azurite: Installed,
  folder: string,
  containers: readonly string[],
): Promise<BlobService> {
  const { cert, key } = await cloud.ca.issue({ name: 'storage', hosts: [host] });
  const files = { cert: join(folder, 'storage.pem'), key: join(folder, 'storage.key') };
  writeFileSync(files.cert, cert);
  writeFileSync(files.key, key, { mode: 0o600 });
  const port = await freePort();
  const tls = ['--oauth', 'basic', '--cert', files.cert, '--key', files.key];
  const given = ['--blobPort', String(port), '--inMemoryPersistence', '--skipApiVersionCheck', '--disableTelemetry'];
  const child = spawn('azurite-blob', [...given, ...tls], {
    cwd: folder,
    env: {
      PATH: [...azurite.path, process.env['PATH']].join(delimiter),
      AZURITE_ACCOUNTS: `contoso:${Buffer.from('the key that nobody uses').toString('base64')}`,
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const close = async (): Promise<void> => {
    const ended = once(child, 'exit');
    child.kill();
    await ended;
  };
  await listening(createInterface(child.stdout));
  cloud.hosts[`${host}:443`] = `127.0.0.1:${port}`;

  const ask = async (method: string, path: string): Promise<string> => {
    const form = tokenForm(cloud, await cloud.issueIdToken(), { scope: 'https://storage.azure.com/.default' });
    const token = String((await askToken(cloud, form)).json()['access_token']);
    const { status, text } = await send(`https://127.0.0.1:${port}${path}`, {
      method,
      headers: { host, authorization: `Bearer ${token}`, 'x-ms-version': '2025-01-05' },
      ca: cloud.ca.pem,
      serverName: host,
    });
    if (status >= 300) throw new Error(`${method} ${path}: ${status} ${text}`);
    return text;
  };
  try {
    for (const container of containers) await ask('PUT', `/${container}?restype=container`);
  } catch (error) {
    await close();
    throw error;
  }
  return { read: (path) => ask('GET', `/${path}`), close };
}

async function listening(lines: AsyncIterable<string>): Promise<void> {
  for await (const line of lines) if (line.includes('successfully listens')) return;
  throw new Error('Azurite ended before it listened');
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}
