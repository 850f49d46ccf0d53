import type { Agent } from '../agent/agent.ts';
import type { AccessToken } from '../exchange/exchange.ts';
import type { IdToken } from '../id-token/id-token.ts';
import type { Request } from '../request/request.ts';
import type { ScopeLine } from '../request/scopes.ts';
import type { OpenSource } from '../source/source.ts';
import { alsoInParts, duration, instant, printable, visible } from '../text/text.ts';
import { isOldIssuer } from './difference.ts';

type Log = Pick<Agent, 'log' | 'warn'>;

/** Prints whom the tokens are for. */
export function reportIdentity(request: Request, { log }: Log): void {
  log(`Source        ${describeSource(request)}`);
  log(`Client        ${request.clientId}`);
  logParts(request, request.clientId, log);
  log(`Tenant        ${request.tenantId} at ${request.authority}`);
}

function describeSource({ source }: Request): string {
  switch (source.kind) {
    case 'azureRM':
      return `azureRM, service connection ${printable(source.connection.id, 60)}`;
    case 'azureDevOps':
      return `azureDevOps, service connection ${printable(source.connection.id, 60)}`;
    case 'pipeline':
      return "pipeline, the pipeline's own identity";
    case 'kubernetes':
      return `kubernetes, ${printable(source.file.path, 300)}`;
  }
}

/** Prints what Entra compares with the federated credential, and warns of an issuer that will be retired. */
export function reportIdToken(request: Request, source: OpenSource, now: number, { log, warn }: Log): void {
  const { first } = source;
  log('ID token');
  log(`  issuer      ${visible(first.issuer)}`);
  logParts(request, first.issuer, log);
  log(`  subject     ${visible(first.subject)}`);
  logParts(request, first.subject, log);
  log(`  audience    ${first.audiences.map((audience) => printable(audience, 200)).join(', ')}`);
  log(`  expires     ${instant(first.expiresAt)} (in ${duration(first.expiresAt - now - (source.skewMs ?? 0))})`);
  reportRetirement(request, first, { log, warn });
}

function logParts({ source }: Request, text: string, log: Log['log']): void {
  const parts = alsoInParts(visible(text), 'connection' in source ? source.connection.hidden : []);
  if (parts !== '') {
    log(`              (${parts})`);
  }
}

/** Microsoft retires the issuer for what can move to Entra's: single-tenant applications and managed identities of the public cloud. */
function reportRetirement({ source, cloud, tenantId }: Request, idToken: IdToken, { log, warn }: Log): void {
  if (!('connection' in source) || !isOldIssuer(idToken.issuer)) {
    return;
  }
  if (cloud.name !== 'AzureCloud') {
    log('  (the issuer of Azure DevOps stays in use in this cloud)');
  } else if (source.connection.tenantId.toLowerCase() !== tenantId.toLowerCase()) {
    log('  (the issuer of Azure DevOps stays in use for multitenant applications)');
  } else {
    warn(
      'The service connection uses the issuer https://vstoken.dev.azure.com, which is retired on 1 July 2027 for ' +
        'single-tenant applications and managed identities. Convert the connection in the project settings: ' +
        'https://learn.microsoft.com/azure/devops/pipelines/release/convert-service-connections. ' +
        '(A multitenant application stays on it.)',
    );
  }
}

/** Prints each resource and when its token expires; and how a later step uses the first one. */
export function reportTokens(
  tokens: ReadonlyMap<ScopeLine, AccessToken>,
  stepName: string,
  now: number,
  { log }: Log,
): void {
  const step = stepName || '<step name>';
  for (const [line, token] of tokens) {
    const output = `$(${step}.${outputName(line, 'accessToken')})`;
    log(`Access token  ${printable(line.scope, 200)}`);
    log(`  expires     ${instant(token.expiresAt)} (in ${duration(token.expiresAt - now)})`);
    if (token.refreshAt !== undefined) {
      log(`  refresh     ${instant(token.refreshAt)}`);
    }
    log(`  output      ${output}`);
  }
  const [first] = tokens.keys();
  if (first !== undefined) {
    log('To use it in a later step:');
    // A block, because a plain scalar of YAML may not hold a colon and a blank.
    log('  - bash: |');
    log('      curl -fsS -H "Authorization: Bearer $TOKEN" "$URL"');
    log('    env:');
    log(`      TOKEN: $(${step}.${outputName(first, 'accessToken')})`);
    if (stepName === '') {
      log('  (give this step a name: to refer to it)');
    }
  }
}

/** `accessToken`, or `kv.accessToken` for a line with the name `kv`. */
export function outputName(line: ScopeLine, output: string): string {
  return line.name === undefined ? output : `${line.name}.${output}`;
}
