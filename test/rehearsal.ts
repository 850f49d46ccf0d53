import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { distFolder, readJson, root } from '../scripts/layout.ts';
import { loadExtension, taskCache } from './agent/extension.ts';
import { type JobOptions, type JobResult, runJob, type ServiceConnection } from './agent/job.ts';
import { faultsOfSteps } from './agent/job-check.ts';
import { type PipelineDefinition, PipelineError, parsePipeline } from './agent/pipeline.ts';
import type { Cloud } from './cloud/cloud.ts';
import { authorityHost, identityBindingAudience } from './cloud/national-clouds.ts';
import { organization } from './cloud/organization.ts';
import { startProxy } from './cloud/proxy.ts';
import { startTokenProxy } from './cloud/token-proxy.ts';
import { testMachine } from './on-windows.ts';

/** The package that `npm run package` left. */
export function packagedExtension(): string {
  const { publisher, id, version } = readJson('vss-extension.json');
  return join(distFolder, `${publisher}.${id}-${version}.vsix`);
}

/** A service connection of the cloud by its name. Throws where there is none. */
export function connectionNamed(cloud: Cloud, name: string): ServiceConnection {
  const connection = Object.values(cloud.connections).find((candidate) => candidate.name === name);
  if (connection === undefined) {
    throw new Error(`the local cloud has no service connection '${name}'`);
  }
  return connection;
}

/** The variables that a server sends with the cloud's one job. */
export function jobVariables(cloud: Cloud): Record<string, string> {
  return {
    'System.TeamProjectId': cloud.job.projectId,
    'System.TeamProject': cloud.job.project,
    'System.PlanId': cloud.job.planId,
    'System.JobId': cloud.job.jobId,
    'System.HostType': 'build',
    'System.ServerType': 'Hosted',
    'System.OidcRequestUri': cloud.job.oidcRequestUri,
  };
}

/** Everything that a test's pipelines find in their organization: connections, variables, and the way to the cloud. */
export function rehearsalOptions(cloud: Cloud): Omit<JobOptions, 'pipeline'> {
  const machine = testMachine();
  return {
    ...(machine === undefined ? {} : { machine }),
    vsix: packagedExtension(),
    // Nothing is to be kept in the home of whoever runs this.
    isHosted: true,
    collectionUri: cloud.devOpsUrl,
    jobToken: cloud.job.jobToken,
    connections: Object.values(cloud.connections),
    variables: { ...jobVariables(cloud), vault: cloud.apiUrl.replace(/\/$/, '') },
    certificates: { ca: cloud.caFile },
    scriptEnvironment: toolEnvironment(cloud),
  };
}

/** What the tools of scripts need to trust the local cloud, each by the name that it knows, and the packages of npm. */
function toolEnvironment({ caFile }: Cloud): Record<string, string> {
  const trusting = ['CURL_CA_BUNDLE', 'GIT_SSL_CAINFO', 'NODE_EXTRA_CA_CERTS', 'REQUESTS_CA_BUNDLE', 'SSL_CERT_FILE'];
  return {
    ...Object.fromEntries(trusting.map((name) => [name, caFile])),
    NODE_PATH: join(root, 'node_modules'),
    // It would be sent by a process that outlives the step.
    AZURE_CORE_COLLECT_TELEMETRY: 'no',
    AZURE_DEV_COLLECT_TELEMETRY: 'no',
  };
}

/** Sends what scripts ask of other hosts to the proxy, which knows the local cloud alone. Tools differ in spelling. */
function proxyEnvironment(url: string): Record<string, string> {
  const settings = { HTTPS_PROXY: url, HTTP_PROXY: url, NO_PROXY: 'localhost,127.0.0.1' };
  return Object.fromEntries(
    Object.entries(settings).flatMap(([name, value]) => [
      [name, value],
      [name.toLowerCase(), value],
    ]),
  );
}

/** Pools of the rehearsal's organization whose agents run as pods on AKS; agents of any other pool are plain machines. */
const pools = { pod: 'aks-agents', boundPod: 'aks-bound-agents' };

/** Tools ask for these to learn whether they are online or there is a newer version, and go on where they get no answer. */
const askedInVain = [
  'azure.microsoft.com:443',
  'azcliprod.blob.core.windows.net:443',
  'checkpoint-api.hashicorp.com:443',
];

/** What a run of a pipeline is started with. */
export interface RunInputs {
  /** Values of the pipeline's template parameters. */
  parameters?: Readonly<Record<string, string>>;
  /** Variables that are set when the pipeline is queued; they win over those of the YAML. */
  variables?: Readonly<Record<string, string>>;
  /** The branch, with or without `refs/heads/`; default `main`. */
  branch?: string;
}

/** The variables that Azure Pipelines sets for the run of a pipeline. */
function buildVariables({ branch = 'main', variables = {} }: RunInputs): Record<string, string> {
  const ref = branch.startsWith('refs/') ? branch : `refs/heads/${branch}`;
  const today = new Date().toISOString().slice(0, 10).replaceAll('-', '');
  return {
    'Build.BuildId': '1',
    'Build.BuildNumber': `${today}.1`,
    'Build.DefinitionName': organization.pipeline,
    'Build.Reason': ref.startsWith('refs/pull/') ? 'PullRequest' : 'Manual',
    'Build.Repository.Name': organization.project,
    'Build.Repository.Provider': 'TfsGit',
    'Build.RequestedFor': 'You',
    'Build.SourceBranch': ref,
    'Build.SourceBranchName': ref.split('/').at(-1) ?? ref,
    'Build.SourceVersion': '5f0a3f1b7c01d2e94b1a4d638e5cf6a7b8c9d0e1',
    'System.DefinitionId': '7',
    'System.DefinitionName': organization.pipeline,
    ...variables,
  };
}

/** A job by the real names of Azure DevOps and Entra, which only a proxy of the local cloud leads to. */
export function realNames(cloud: Cloud): Pick<JobOptions, 'collectionUri' | 'connections' | 'variables'> {
  const collectionUri = `https://dev.azure.com/${cloud.job.organization}/`;
  const named = new Map(
    Object.entries(authorityHost).map(([name, host]) => [
      Object.entries(cloud.authorities).find(([key]) => key === name)?.[1],
      `https://${host}/`,
    ]),
  );
  return {
    collectionUri,
    connections: Object.values(cloud.connections).map((connection: ServiceConnection) => {
      const authority = connection.data?.['activeDirectoryAuthority'];
      const real = named.get(authority);
      return real === undefined
        ? connection
        : { ...connection, data: { ...connection.data, activeDirectoryAuthority: real } };
    }),
    variables: {
      ...jobVariables(cloud),
      'System.OidcRequestUri': cloud.job.oidcRequestUri.replace(cloud.devOpsUrl, collectionUri),
    },
  };
}

/**
 * Reads a pipeline whole, as the server does before it queues a job. Throws a {@link PipelineError} with everything that is
 * wrong with it: YAML, keys, tasks, service connections.
 */
export function readPipelineFile(cloud: Cloud, file: string, inputs: RunInputs = {}, shown = file): PipelineDefinition {
  const variables = buildVariables(inputs);
  const parameters = inputs.parameters ?? {};
  const pipeline = parsePipeline(readFileSync(file, 'utf8'), { file: shown, parameters, variables });
  const tasks = loadExtension(packagedExtension(), taskCache(undefined));
  const faults = faultsOfSteps(pipeline, { tasks, connections: Object.values(cloud.connections), variables });
  if (faults.length > 0) {
    throw new PipelineError(shown, faults);
  }
  return pipeline;
}

/** How a pipeline ended on the rehearsal. */
export interface Rehearsal extends JobResult {
  /** The hosts, with their ports, that scripts asked for and that the local cloud does not have. */
  unknownHosts: string[];
}

/** Reads a file and runs it, as {@link runPipeline} does. */
export function runPipelineFile(cloud: Cloud, file: string, options: Partial<JobOptions> = {}): Promise<Rehearsal> {
  return runPipeline(cloud, readPipelineFile(cloud, file), options);
}

/**
 * Runs a pipeline on the local agent against the local cloud. The agent and its scripts reach real names, as behind a
 * proxy, and find the local cloud there. `pool: aks-agents` makes it a pod with a workload identity, and
 * `pool: aks-bound-agents` one with an identity binding.
 */
export async function runPipeline(
  cloud: Cloud,
  given: string | PipelineDefinition,
  options: Partial<JobOptions> = {},
  inputs: RunInputs = {},
): Promise<Rehearsal> {
  const pipeline = typeof given === 'string' ? parsePipeline(given) : given;
  const proxy = await startProxy({ resolve: cloud.hosts });
  const pod = await podOf(cloud, pipeline);
  const names = realNames(cloud);
  const tools = { ...toolEnvironment(cloud), ...proxyEnvironment(proxy.url) };
  try {
    const result = await runJob({
      ...rehearsalOptions(cloud),
      ...names,
      variables: { ...names.variables, ...buildVariables(inputs) },
      pipeline,
      proxy: { url: proxy.url, bypass: ['localhost', '127\\.0\\.0\\.1'] },
      ...options,
      environment: { ...pod.environment, ...options.environment },
      scriptEnvironment: { ...tools, ...options.scriptEnvironment },
    });
    const unknown = new Set(proxy.connects.filter(({ status }) => status === 502).map(({ target }) => target));
    for (const host of askedInVain) unknown.delete(host);
    return { ...result, unknownHosts: [...unknown] };
  } finally {
    await Promise.all([proxy.close(), pod.close()]);
  }
}

/** What AKS gives an agent that runs as a pod: its variables, and behind them a volume that outlives the job. */
interface Pod {
  environment: Record<string, string>;
  close(): Promise<void>;
}

async function podOf(cloud: Cloud, { jobs }: PipelineDefinition): Promise<Pod> {
  const pool = jobs.map((job) => job.pool).find((name) => name === pools.pod || name === pools.boundPod);
  if (pool === undefined) return { environment: {}, close: () => Promise.resolve() };
  const folder = await mkdtemp(join(tmpdir(), 'pod-'));
  const isBound = pool === pools.boundPod;
  const audience = isBound ? { audience: identityBindingAudience } : {};
  const volume = await cloud.kubernetes.writeProjectedVolume(folder, await cloud.kubernetes.issueToken(audience));
  const proxy = isBound ? await startTokenProxy({ cloud }) : undefined;
  return {
    environment: {
      AZURE_CLIENT_ID: cloud.clientId,
      AZURE_TENANT_ID: cloud.tenantId,
      AZURE_AUTHORITY_HOST: 'https://login.microsoftonline.com/',
      AZURE_FEDERATED_TOKEN_FILE: volume.file,
      ...(proxy === undefined
        ? {}
        : {
            AZURE_KUBERNETES_TOKEN_PROXY: proxy.url,
            AZURE_KUBERNETES_SNI_NAME: proxy.serverName,
            AZURE_KUBERNETES_CA_FILE: proxy.caFile,
          }),
    },
    async close() {
      await proxy?.close();
      await rm(folder, { recursive: true });
    },
  };
}
