import type { Agent } from '../agent/agent.ts';
import type { AccessToken } from '../exchange/exchange.ts';
import type { Request } from '../request/request.ts';
import type { ScopeLine } from '../request/scopes.ts';
import type { OpenSource } from '../source/source.ts';
import { instant } from '../text/text.ts';
import type { Provided } from './later-steps.ts';
import { outputName } from './report.ts';

/** Sets the outputs of the step. Every secret among them was masked when it was made. */
export function publish(
  request: Request,
  source: OpenSource,
  tokens: ReadonlyMap<ScopeLine, AccessToken>,
  { tokenFile, endpoint }: Provided,
  agent: Pick<Agent, 'setOutput'>,
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
  agent.setOutput('tokenType', 'Bearer');
  agent.setOutput('tenantId', request.tenantId);
  agent.setOutput('clientId', request.clientId);
  if ('connection' in request.source && request.source.connection.subscriptionId !== undefined) {
    agent.setOutput('subscriptionId', request.source.connection.subscriptionId);
  }
  agent.setOutput('credentialSource', source.kind);
  agent.setOutput('authorityHost', `${request.authority}/`);
}
