import { decodeJwt, type JWTPayload } from 'jose';
import type { Application, Directory, FederatedCredential, Tenant } from './directory.ts';
import { invalidClient, invalidRequest, type Refusal } from './entra-refusal.ts';
import { verifyJwt } from './keys.ts';
import { authorityHost, type CloudName, identityBindingAudience, tokenExchangeAudience } from './national-clouds.ts';

/** What an assertion comes through: the public endpoint, or the token proxy of a cluster with identity bindings. */
export type Channel = 'public' | 'identityBinding';

const maximumAssertionSeconds = 25 * 3600;
const federationPage = 'https://learn.microsoft.com/entra/workload-id/workload-identity-federation';
const assertionPage = 'https://learn.microsoft.com/entra/identity-platform/certificate-credentials';

interface Presented {
  directory: Directory;
  cloud: CloudName;
  channel: Channel;
  tenant: Tenant;
  application: Application;
  assertion: string;
}

/** Judges an assertion as Entra does. Throws the refusal. */
export async function acceptAssertion(presented: Presented): Promise<void> {
  const { directory, cloud, channel, tenant, application, assertion } = presented;
  let claims: JWTPayload;
  try {
    claims = decodeJwt(assertion);
  } catch {
    throw invalidClient(50027, 'JWT token is invalid or malformed.');
  }
  const { iss: issuer = '', sub: subject = '' } = claims;
  if (issuer === '' || subject === '') throw invalidClient(50027, 'JWT token is invalid or malformed.');
  if (!issuer.startsWith('https://')) throw selfSignedRefusal(presented, claims);
  refuseAccessTokens(claims);
  const audience = [claims.aud ?? ''].flat();
  if (cloud !== 'public' && subject.startsWith('/eid1/')) {
    throw invalidClient(900382, 'Confidential Client is not supported in Cross Cloud request.');
  }
  if (tenant.id !== application.tenantId && subject.startsWith('/eid1/')) {
    throw invalidClient(
      70052,
      `The identity must be a managed identity, single tenant app, or service account. Application '${application.clientId}' is a multi-tenant application.`,
    );
  }
  const table = channel === 'public' ? directory.federatedCredentials : directory.identityBindings;
  const trusted = table.filter((c) => c.clientId === application.clientId && c.tenantId === application.tenantId);
  requireCredential(trusted, { issuer, subject, audience, directory, cloud, channel, application });

  const signer = directory.issuers[issuer];
  if (signer === undefined) throw invalidRequest(50166, 'Request to External OIDC endpoint failed.');
  try {
    await verifyJwt(signer, assertion);
  } catch {
    throw invalidClient(50013, 'Assertion failed signature validation. [Reason - The key was not found.]');
  }
  requireTimes(claims, directory.now());
}

function requireCredential(
  trusted: FederatedCredential[],
  presented: {
    issuer: string;
    subject: string;
    audience: string[];
    directory: Directory;
    cloud: CloudName;
    channel: Channel;
    application: Application;
  },
): void {
  const { issuer, subject, audience, directory, cloud, channel, application } = presented;
  const check = `Check your federated identity credential Subject, Audience and Issuer against the presented assertion. ${federationPage}`;
  if (trusted.length === 0) {
    throw invalidClient(
      70025,
      `The client '${application.clientId}' has no configured federated identity credentials.`,
    );
  }
  const none = invalidClient(
    70021,
    'No matching federated identity record found for presented assertion. ' +
      `Assertion Issuer: '${issuer}'. Assertion Subject: '${subject}'. Assertion Audience: '${audience.join(' ')}'. ${federationPage}`,
  );
  const ofIssuer = trusted.filter((c) => c.issuer === issuer);
  if (ofIssuer.length === 0) {
    const bare = (url: string) => url.replace(/\/$/, '');
    if (trusted.some((c) => bare(c.issuer) === bare(issuer))) throw none;
    throw invalidClient(
      700211,
      `No matching federated identity record found for presented assertion issuer '${issuer}'. ${check}`,
    );
  }
  const ofSubject = ofIssuer.filter((c) => c.subject === subject);
  if (ofSubject.length === 0) {
    throw invalidClient(
      700213,
      `No matching federated identity record found for presented assertion subject '${subject}'. ${check} ` +
        'The matching is done using a case-sensitive comparison.',
    );
  }
  const expected = channel === 'public' ? tokenExchangeAudience[cloud] : identityBindingAudience;
  const ofAudience = ofSubject.filter((c) => audience.includes(c.audience) && c.audience === expected);
  if (ofAudience.length === 0) {
    throw invalidClient(
      700212,
      `No matching federated identity record found for presented assertion audience '${audience.join(' ')}'. ${check}`,
    );
  }
  if (ofAudience.every((c) => (c.visibleFrom ?? 0) > directory.now())) throw none;
}

/** An assertion that no identity provider issued is judged as one that the application signed itself. */
function selfSignedRefusal({ tenant, application }: Presented, claims: JWTPayload): Refusal {
  if (claims.iss !== application.clientId || claims.sub !== application.clientId) {
    return invalidClient(
      700021,
      `Client assertion application identifier doesn't match 'client_id' parameter. Review the documentation at ${assertionPage} .`,
    );
  }
  const host = authorityHost[tenant.cloud];
  const realms = [`https://${host}/${tenant.id}/v2.0`, `https://${host}/${tenant.id}/oauth2/v2.0/token`];
  if (![claims.aud ?? ''].flat().some((audience) => realms.includes(audience))) {
    return invalidClient(
      700023,
      `Client assertion audience claim does not match Realm issuer. Review the documentation at ${assertionPage} .`,
    );
  }
  return invalidClient(
    700027,
    'The certificate with identifier used to sign the client assertion is not registered on application.',
  );
}

/** Entra's access tokens are no assertions: neither those for a resource, nor those that were made from one. */
function refuseAccessTokens(claims: JWTPayload): void {
  const ownToken =
    /^https:\/\/(sts\.windows\.net|sts\.chinacloudapi\.cn|login\.microsoftonline\.(com|us)|login\.partner\.microsoftonline\.cn)\//;
  if (!ownToken.test(claims.iss ?? '') || claims.sub?.startsWith('/eid1/')) return;
  const exchanged = [claims.aud].flat().some((aud) => aud?.startsWith('api://AzureADTokenExchange'));
  if (exchanged) {
    throw invalidClient(
      700231,
      'Token obtained using another federated identity credential may not be used as federated identity credential.',
    );
  }
  throw invalidClient(700222, 'AAD-issued tokens may not be used for federated identity flows.');
}

function requireTimes(claims: JWTPayload, now: number): void {
  const at = (seconds: number | undefined) => new Date((seconds ?? 0) * 1000).toISOString();
  const start = claims.nbf ?? claims.iat ?? 0;
  const end = claims.exp ?? 0;
  if (end - start > maximumAssertionSeconds) {
    throw invalidClient(70023, 'The client assertion must have a lifetime of less than or equal to 1.01:00:00.');
  }
  if (end * 1000 <= now || start * 1000 > now) {
    throw invalidClient(
      700024,
      `Client assertion is not within its valid time range. Current time: ${new Date(now).toISOString()}, assertion ` +
        `valid from ${at(start)}, expiry time of assertion ${at(claims.exp)}. Review the documentation at ${assertionPage} .`,
    );
  }
}
