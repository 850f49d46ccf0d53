import type { ChildProcess } from 'node:child_process';
import type { Agent } from './agent.ts';
import type { AccessToken } from './exchange.ts';
import { explain } from './explain.ts';
import { exportFacts, needsTokenFile, setExports } from './exports.ts';
import { Failure, unforeseen } from './failure.ts';
import { type Network, readNetwork } from './network.ts';
import { agentSecureContext, ConnectionPool } from './pool.ts';
import { findAgent, markProcess } from './processes.ts';
import { publish } from './publish.ts';
import { networkOrders, renewalOrders, startRefresher } from './refresher.ts';
import { reportIdentity, reportIdToken, reportTokens } from './report.ts';
import { type Request, readRequest } from './request.ts';
import type { ScopeLine } from './scopes.ts';
import { type OpenSource, openSource } from './source.ts';
import { createTokenFolder, writeTokenFile } from './token-file.ts';
import { FOLDER_VARIABLE, newTokenFolder, removeTokenFolder, tokenFileIn } from './token-folder.ts';
import { createWire, type WireSurroundings } from './wire.ts';

/** What the step needs besides the agent. */
export interface Surroundings extends Pick<WireSurroundings, 'now' | 'sleep' | 'random'> {
  /** The process that started the step, as its number was when the step began. */
  readonly parent: number;
  /** The file of the background process. */
  readonly refresherScript: string;
  /** Told how to undo each thing that must not outlive a step that is cancelled or fails. */
  readonly onFailure: (undo: () => void) => void;
}

/** The step, from its inputs to its outputs. Throws a Failure where it cannot give all that it was asked for. */
export async function run(agent: Agent, surroundings: Surroundings): Promise<void> {
  const request = readRequest(agent);
  reportIdentity(request, agent);
  const network = readNetwork(agent);
  warnOfSkippedValidation(network, agent);
  const pool = new ConnectionPool({
    network,
    secureContext: agentSecureContext(network),
    skipCertificateValidation: network.skipCertificateValidation,
  });
  const wire = { ...surroundings, pool: () => pool, log: agent.log };
  const send = createWire(wire);

  const opening = openSource(request, { ...wire, send, mask: agent.mask, warn: agent.warn });
  // MSAL is loaded while Azure DevOps is asked.
  const [source, { createExchange }] = await Promise.all([opening, import('./exchange.ts')]);
  reportIdToken(request, source, surroundings.now(), agent);

  const exchange = createExchange({
    authority: request.authority,
    tenantId: request.tenantId,
    clientId: request.clientId,
    claims: request.claims,
    enableCae: request.enableCae,
    idToken: source.idToken,
    send: source.sendToEntra,
    mask: agent.mask,
  });
  const tokens = await exchangeAll(request, source, exchange);
  reportTokens(tokens, request.job.stepName, surroundings.now(), agent);
  publish(request, source, tokens, agent);
  if (request.exports.size > 0) {
    await exportToLaterSteps(request, source, network, agent, surroundings);
  }
}

function warnOfSkippedValidation(network: Network, agent: Agent): void {
  if (network.skipCertificateValidation) {
    agent.warn(
      'The agent is configured to skip the validation of TLS certificates (Agent.SkipCertValidation): whoever stands ' +
        'between it and the services can read the tokens. Give the agent the authority’s certificate instead.',
    );
  }
}

/** All tokens side by side; the first line that fails, in the order of the input, fails the step. */
async function exchangeAll(
  request: Request,
  source: OpenSource,
  exchange: (scope: string) => Promise<AccessToken>,
): Promise<ReadonlyMap<ScopeLine, AccessToken>> {
  const results = await Promise.allSettled(request.scopes.map((line) => exchange(line.scope)));
  const tokens = new Map<ScopeLine, AccessToken>();
  for (const [index, line] of request.scopes.entries()) {
    const result = results[index];
    if (result?.status === 'fulfilled') {
      tokens.set(line, result.value);
    } else {
      throw explain(unforeseen(result?.reason), line, request, source);
    }
  }
  return tokens;
}

async function exportToLaterSteps(
  request: Request,
  source: OpenSource,
  network: Network,
  agent: Agent,
  surroundings: Surroundings,
): Promise<void> {
  const facts = exportFacts(request, source);
  const tokenFile = needsTokenFile(facts)
    ? await provideTokenFile(request, source, network, agent, surroundings)
    : undefined;
  if (tokenFile !== undefined) {
    agent.setOutput('federatedTokenFile', tokenFile);
  }
  setExports(facts, tokenFile, agent);
}

/** The pod's own file, which the kubelet renews; or a file of this step's, kept fresh by a process of its own. */
async function provideTokenFile(
  request: Request,
  source: OpenSource,
  network: Network,
  agent: Agent,
  surroundings: Surroundings,
): Promise<string> {
  const podFile = podTokenFile(request, source);
  if (podFile !== undefined) {
    agent.log(`Token file    ${podFile} (the pod's own; the kubelet renews it)`);
    return podFile;
  }
  if (request.job.temporaryFolder === undefined) {
    throw new Failure('ET_TOKEN_FILE', 'The agent names no temporary folder (Agent.TempDirectory).');
  }
  const folder = newTokenFolder(request.job.temporaryFolder);
  // Told to the agent before there is anything to clean up, so that even a killed step leaves nothing behind.
  agent.setTaskVariable(FOLDER_VARIABLE, folder);
  surroundings.onFailure(() => removeTokenFolder(folder));
  const idToken = await source.idToken();
  createTokenFolder(folder);
  writeTokenFile(folder, idToken.token);
  const file = tokenFileIn(folder);
  if (!request.keepTokenFileFresh || source.renewal === undefined) {
    const why = request.keepTokenFileFresh ? 'Azure DevOps cannot be asked' : 'keepTokenFileFresh is false';
    agent.log(`Token file    ${file} (not renewed: ${why})`);
    return file;
  }
  const job = findAgent(surroundings.parent, agent.environment('VSTS_PROCESS_LOOKUP_ID'));
  if (job === undefined) {
    throw new Failure('ET_REFRESHER', 'The agent that started the step has ended.');
  }
  const now = surroundings.now();
  const expiresAt = idToken.expiresAt - (source.skewMs ?? 0);
  const pid = await startRefresher(
    surroundings.refresherScript,
    {
      ...renewalOrders(source.renewal),
      folder,
      expiresAt,
      lifeMs: expiresAt - now,
      step: markProcess(process.pid),
      job,
      network: networkOrders(network),
    },
    agent.environment,
    (child) => surroundings.onFailure(() => end(child)),
  );
  agent.log(`Token file    ${file} (kept fresh by process ${pid} until the job ends)`);
  return file;
}

function podTokenFile(request: Request, source: OpenSource): string | undefined {
  if (source.kind !== 'kubernetes') {
    return undefined;
  }
  return request.source.kind === 'kubernetes' ? request.source.file.path : request.source.fallback?.path;
}

function end(child: ChildProcess): void {
  child.kill('SIGKILL');
}
