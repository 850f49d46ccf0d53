import type { Agent } from './agent/agent.ts';
import type { Surroundings } from './agent/surroundings.ts';
import { type AccessToken, loadExchange } from './exchange/exchange.ts';
import { unforeseen } from './failure/failure.ts';
import { ConnectionPool } from './network/pool.ts';
import { type Network, proxyFor, readNetwork } from './network/settings.ts';
import { agentTrust } from './network/trust.ts';
import { createWire } from './network/wire.ts';
import { explain, type WayToEntra } from './publish/explain.ts';
import { exportFacts } from './publish/exports.ts';
import { provideForLaterSteps } from './publish/later-steps.ts';
import { publish } from './publish/outputs.ts';
import { reportFederation, reportIdentity, reportRetirement, reportTokens } from './publish/report.ts';
import { reportEndpoint } from './publish/report-endpoint.ts';
import { setExports } from './publish/set-exports.ts';
import type { Source } from './request/identity.ts';
import { rememberPod } from './request/pod.ts';
import { type Request, readRequest } from './request/request.ts';
import type { ScopeLine } from './request/scopes.ts';
import { type OpenSource, openSource } from './source/source.ts';

/** The step, from its inputs to its outputs. Throws a Failure where it cannot give all that it was asked for. */
export async function run(agent: Agent, surroundings: Surroundings): Promise<void> {
  const request = readRequest(agent);
  reportIdentity(request, agent);
  const network = readNetwork(agent);
  warnOfSkippedValidation(network, agent);
  const pool = new ConnectionPool({
    network,
    trust: agentTrust(network),
    skipCertificateValidation: network.skipCertificateValidation,
  });
  const sent = new Signal();
  const wire = { ...surroundings, pool: () => pool, log: agent.log, onSent: sent.give };
  const send = createWire(wire);

  const opening = openSource(request, { ...wire, send, mask: agent.mask, warn: agent.warn });
  // MSAL is loaded during the request to Azure DevOps, and not before it is sent, because loading blocks everything
  // else.
  await Promise.race([sent.given, opening.catch(() => {})]);
  // No connection is opened to a host that only a service connection names before the ID token has arrived.
  if (!mayBeBound(request.source) && request.cloud.name !== 'AzureStack') {
    pool.warm(new URL(request.authority));
  }
  const createExchange = await loadExchange();
  const exchange = createExchange({
    authority: request.authority,
    tenantId: request.tenantId,
    clientId: request.clientId,
    claims: request.claims,
    enableCae: request.enableCae,
    idToken: async () => (await opening).idToken(),
    send: async (message) => (await opening).sendToEntra(message),
    mask: agent.mask,
  });
  // MSAL starts its requests already; they wait for the ID token.
  const exchanging = Promise.allSettled(request.scopes.map((line) => exchange(line.scope)));
  const source = await opening;
  reportRetirement(request, source, agent);
  const reportDetails = (isOpen: boolean): void => reportFederation(request, source, surroundings.now(), isOpen, agent);

  const proxy = proxyFor(network, new URL(request.authority))?.url;
  const tokens = tokensByLine(request, source, await exchanging, { proxy }, () => reportDetails(true));
  reportDetails(agent.variable('System.Debug')?.toLowerCase() === 'true');
  reportTokens(tokens, request.job.stepName, surroundings.now(), agent);
  const facts = exportFacts(request, source);
  const provided = await provideForLaterSteps(request, source, facts, network, agent, surroundings);
  if (provided.endpoint !== undefined) {
    reportEndpoint(provided.endpoint, request.job, agent);
  }
  publish(request, source, tokens, provided, agent);
  if (request.exports.size > 0) {
    setExports(facts, provided.tokenFile, agent);
    rememberPod(facts.kinds, request.pod, agent);
  }
}

/** The pod's token may be sent to the proxy of an identity binding, and then nothing is sent to Entra directly. */
function mayBeBound(source: Source): boolean {
  return source.kind === 'kubernetes' || source.fallback?.binding.proxy !== undefined;
}

/** A promise that is resolved from outside. */
class Signal {
  readonly given: Promise<void>;
  give: () => void = () => {};

  constructor() {
    this.given = new Promise((resolve) => {
      this.give = resolve;
    });
  }
}

function warnOfSkippedValidation(network: Network, agent: Agent): void {
  if (network.skipCertificateValidation) {
    agent.warn(
      'The agent is configured to skip the validation of TLS certificates (Agent.SkipCertValidation): anyone on ' +
        'the network path can read the tokens. Configure the agent with the certificate of the authority instead.',
    );
  }
}

/** The token of each line; the first line that failed, in the order of the input, fails the step. */
function tokensByLine(
  request: Request,
  source: OpenSource,
  results: readonly PromiseSettledResult<AccessToken>[],
  way: WayToEntra,
  onFailure: () => void,
): ReadonlyMap<ScopeLine, AccessToken> {
  const tokens = new Map<ScopeLine, AccessToken>();
  for (const [index, line] of request.scopes.entries()) {
    const result = results[index];
    if (result?.status !== 'fulfilled') {
      onFailure();
      throw explain(unforeseen(result?.reason), line, request, source, way);
    }
    tokens.set(line, result.value);
  }
  return tokens;
}
