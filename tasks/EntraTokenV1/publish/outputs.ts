import type { Agent } from '../agent/agent.ts';
import type { AccessToken } from '../exchange/exchange.ts';
import type { Request } from '../request/request.ts';
import type { ScopeLine } from '../request/scopes.ts';
import type { OpenSource } from '../source/source.ts';
import { instant } from '../text/text.ts';
import { ownSubscription } from './exports.ts';
import type { Provided } from './later-steps.ts';
import { outputName } from './report.ts';

/** Sets the outputs of the step. Every secret among them was masked when it was made. */
export function publish(
  request: Request,
  source: OpenSource,
  tokens: ReadonlyMap<ScopeLine, AccessToken>,
  { tokenFile, endpoint }: Provided,
  agent: Pick<Agent, 'setOutput' | 'origins' | 'log'>,
): void {
  for (const [line, token] of tokens) {
    agent.setOutput(outputName(line, 'accessToken'), token.token);
    agent.setOutput(outputName(line, 'expiresOn'), instant(token.expiresAt));
    if (token.refreshAt !== undefined) {
      agent.setOutput(outputName(line, 'refreshOn'), instant(token.refreshAt));
    }
  }
  if (request.exportIdToken) {
    agent.setOutput('idToken', source.first.token);
  }
  if (tokenFile !== undefined) {
    agent.setOutput('federatedTokenFile', tokenFile);
  }
  if (endpoint?.accessTokens !== undefined) {
    agent.setOutput('identityEndpoint', endpoint.accessTokens.url);
    agent.setOutput('identityHeader', endpoint.accessTokens.secret);
  }
  if (endpoint?.idTokens !== undefined) {
    agent.setOutput('idTokenRequestUrl', endpoint.idTokens.url);
    agent.setOutput('idTokenRequestToken', endpoint.idTokens.secret);
  }
  informing(request, source, agent);
}

/**
 * Sets the outputs that only inform. The agent checks an output by its plain name, and fails the step if that is a
 * read-only variable of the job, such as one set when the run was queued; a task cannot find out which ones are.
 */
function informing(request: Request, source: OpenSource, agent: Pick<Agent, 'setOutput' | 'origins' | 'log'>): void {
  const outputs: readonly (readonly [string, string | undefined])[] = [
    ['tokenType', 'Bearer'],
    ['tenantId', request.tenantId],
    ['clientId', request.clientId],
    ['subscriptionId', ownSubscription(request)],
    ['credentialSource', source.kind],
    ['authorityHost', `${request.authority}/`],
  ];
  const taken: string[] = [];
  for (const [name, value] of outputs) {
    if (value !== undefined && agent.origins.variables.has(name)) {
      taken.push(name);
    } else if (value !== undefined) {
      agent.setOutput(name, value);
    }
  }
  if (taken.length > 0) {
    agent.log(
      `Not set       ${taken.join(', ')}: the job has variables of these names, and the agent refuses an output with the ` +
        'name of a read-only one',
    );
  }
}
