import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import type { Agent } from '../agent/agent.ts';
import type { Surroundings } from '../agent/surroundings.ts';
import { createTokenFolder } from '../background/create-token-folder.ts';
import { type EndpointOrders, type FileOrders, networkOrders, type SourceOrders } from '../background/orders.ts';
import { findAgent, markProcess } from '../background/processes.ts';
import { startBackground } from '../background/start.ts';
import { writeTokenFile } from '../background/token-file.ts';
import { folderVariable, newTokenFolder, removeTokenFolder, tokenFileIn } from '../background/token-folder.ts';
import { ADDRESS, paths } from '../endpoint/address.ts';
import { Failure } from '../failure/failure.ts';
import type { Network } from '../network/settings.ts';
import { podFileOf, type TokenFile } from '../request/identity.ts';
import type { Request } from '../request/request.ts';
import { resourceNames } from '../request/resource-names.ts';
import type { OpenSource } from '../source/source.ts';
import { Secret } from '../text/secret.ts';
import { type ExportFacts, needsTokenFile } from './exports.ts';
import { placeOf } from './place.ts';

/** What later steps find besides the outputs of the tokens. */
export interface Provided {
  readonly tokenFile: string | undefined;
  readonly endpoint: Endpoint | undefined;
}

/** Where tokens are served until the job ends, and the secrets with which they are asked for. */
export interface Endpoint {
  readonly accessTokens: { readonly url: string; readonly secret: Secret } | undefined;
  readonly idTokens: { readonly url: string; readonly secret: Secret } | undefined;
}

/**
 * Makes what was asked for to outlive the step, if anything: a token file where a tool reads one, the endpoint, and
 * the background process that serves both. Sets no output and no variable. Throws a Failure.
 */
export async function provideForLaterSteps(
  request: Request,
  source: OpenSource,
  facts: ExportFacts,
  network: Network,
  agent: Agent,
  surroundings: Surroundings,
): Promise<Provided> {
  const needsFile = needsTokenFile(facts);
  const podFile = needsFile ? podTokenFile(request, source) : undefined;
  if (podFile !== undefined) {
    agent.log(`Token file    ${podFile} (the pod's own; the kubelet renews it)`);
  }
  const writesFile = needsFile && podFile === undefined;
  const secrets = endpointSecrets(request, agent);
  if (!writesFile && secrets === undefined) {
    return { tokenFile: podFile, endpoint: undefined };
  }
  const keepsFresh = writesFile && request.keepTokenFileFresh && source.renewal !== undefined;
  // On Windows that takes a moment, in which the folder is made.
  const findingAgent = keepsFresh || secrets !== undefined ? findAgentAbove(request, agent, surroundings) : undefined;
  const folder = makeFolder(request, agent, surroundings);
  const file = writesFile ? await writeFirst(folder, source, surroundings) : undefined;
  if (writesFile && !keepsFresh) {
    const why = request.keepTokenFileFresh ? 'Azure DevOps cannot be asked' : 'keepTokenFileFresh is false';
    agent.log(`Token file    ${tokenFileIn(folder)} (not renewed: ${why})`);
  }
  const tokenFile = writesFile ? tokenFileIn(folder) : podFile;
  if (findingAgent === undefined) {
    return { tokenFile, endpoint: undefined };
  }
  const job = await findingAgent;
  if (job === undefined) {
    throw new Failure('ET_REFRESHER', 'The agent that started the step has ended.');
  }
  const { pid, port } = await startBackground(
    surroundings.backgroundScript,
    {
      folder,
      step: markProcess(process.pid),
      job,
      network: networkOrders(network),
      source: sourceOrders(request, source),
      file: keepsFresh ? file : undefined,
      endpoint: secrets && endpointOrders(request, secrets),
    },
    // What this step does not trust is not carried on either.
    (name) => (name === 'NODE_EXTRA_CA_CERTS' ? network.extraAuthoritiesFile : agent.origins.environment(name)?.value),
    (child) => surroundings.onFailure(() => end(child)),
  );
  if (keepsFresh) {
    agent.log(`Token file    ${tokenFileIn(folder)} (renewed by process ${pid} until the job ends)`);
  }
  return { tokenFile, endpoint: secrets && endpointAt(port ?? 0, secrets, request) };
}

function findAgentAbove({ job }: Request, { origins }: Agent, { parent }: Surroundings): ReturnType<typeof findAgent> {
  const lookupId = origins.environment('VSTS_PROCESS_LOOKUP_ID')?.value;
  return findAgent(parent, lookupId, placeOf(job, origins) === 'in a container', origins.machine('SystemRoot'));
}

function makeFolder(request: Request, agent: Agent, surroundings: Surroundings): string {
  if (request.job.temporaryFolder === undefined) {
    throw new Failure('ET_TOKEN_FILE', 'The agent does not name a temporary folder (Agent.TempDirectory).');
  }
  const folder = newTokenFolder(request.job.temporaryFolder);
  // Told to the agent before there is anything to clean up, so that even a killed step leaves nothing behind.
  agent.setTaskVariable(folderVariable(folder), folder);
  surroundings.onFailure(() => removeTokenFolder(folder));
  createTokenFolder(folder, agent.origins.machine('SystemRoot'));
  return folder;
}

async function writeFirst(folder: string, source: OpenSource, { now }: Surroundings): Promise<FileOrders> {
  const idToken = await source.idToken();
  writeTokenFile(folder, idToken.token);
  const expiresAt = idToken.expiresAt - (source.skewMs ?? 0);
  return { expiresAt, lifeMs: expiresAt - now() };
}

interface EndpointSecrets {
  readonly accessTokens: Secret | undefined;
  readonly idTokens: Secret | undefined;
}

/** Secrets of 256 random bits, one for each kind; undefined where no endpoint is asked for. */
function endpointSecrets({ endpoint }: Request, { mask }: Agent): EndpointSecrets | undefined {
  if (endpoint.size === 0) {
    return undefined;
  }
  const secret = (): Secret => Secret.masked(randomBytes(32).toString('base64url'), mask);
  return {
    accessTokens: endpoint.has('accessTokens') ? secret() : undefined,
    idTokens: endpoint.has('idTokens') ? secret() : undefined,
  };
}

function endpointOrders(request: Request, { accessTokens, idTokens }: EndpointSecrets): EndpointOrders {
  const { clientId, tenantId, authority, claims, enableCae, cloud, scopes } = request;
  return {
    clientId,
    accessTokens: accessTokens && {
      secret: accessTokens.reveal(),
      authority,
      tenantId,
      claims,
      enableCae,
      resources: scopes.map(({ scope }) => ({ scope, names: resourceNames(scope, cloud) })),
    },
    idTokens: idTokens && { secret: idTokens.reveal(), audience: cloud.idTokenAudience },
  };
}

/**
 * The address of ID tokens has a query already, because some tools add the audience as text. It names the audience, because
 * Terraform's providers else add that of the public cloud.
 */
function endpointAt(port: number, { accessTokens, idTokens }: EndpointSecrets, { cloud }: Request): Endpoint {
  const at = `http://${ADDRESS}:${port}`;
  const query = new URLSearchParams({ audience: cloud.idTokenAudience });
  return {
    accessTokens: accessTokens && { url: `${at}${paths.accessTokens}`, secret: accessTokens },
    idTokens: idTokens && { url: `${at}${paths.idTokens}?${query}`, secret: idTokens },
  };
}

/** How the background process has ID tokens of the source that the step really used. */
function sourceOrders(request: Request, source: OpenSource): SourceOrders {
  const file = podSource(request, source);
  if (file !== undefined) {
    return { kind: 'kubernetes', path: file.path, binding: file.binding };
  }
  if (source.renewal === undefined) {
    return { kind: 'lateBound', token: source.first.token.reveal() };
  }
  return { kind: 'azureDevOps', ...source.renewal, jobToken: source.renewal.jobToken.reveal() };
}

function podSource({ source }: Request, { kind }: OpenSource): TokenFile | undefined {
  return kind === 'kubernetes' ? podFileOf(source) : undefined;
}

function podTokenFile(request: Request, source: OpenSource): string | undefined {
  return podSource(request, source)?.path;
}

function end(child: ChildProcess): void {
  child.kill('SIGKILL');
}
