import { randomBytes, randomUUID } from 'node:crypto';
import { decodeJwt, type JWTPayload } from 'jose';
import {
  type Application,
  authorityHost,
  type CloudName,
  entraIssuer,
  type FederatedCredential,
  identityBindingAudience,
  type Resource,
  type Tenant,
  tokenExchangeAudience,
} from './directory.ts';
import { publicJwk, type Signer, signJwt, verifyJwt } from './keys.ts';
import { type Answer, type Handler, json, type ServiceRequest } from './server.ts';

/** What Entra knows, shared by the listeners of all clouds. */
export interface Directory {
  tenants: Tenant[];
  applications: Application[];
  resources: Resource[];
  federatedCredentials: FederatedCredential[];
  /** What an identity binding of AKS allows: only the token proxy of a cluster asks with these. */
  identityBindings: FederatedCredential[];
  /** Whose key signs the tokens of an issuer. An issuer that is not here cannot be reached. */
  issuers: Record<string, Signer>;
  /** In seconds; without it 3600, and 86400 for a token with continuous access evaluation. */
  accessTokenLifetimeSeconds?: number;
  /** The services' clock, in milliseconds. */
  now(): number;
}

/** A refusal: everything that its body and status are made of. */
class Refusal extends Error {
  readonly code: number;
  readonly error: string;
  readonly status: number;

  constructor(code: number, message: string, error: string, status: number) {
    super(message);
    this.code = code;
    this.error = error;
    this.status = status;
  }
}

const invalidClient = (code: number, message: string) => new Refusal(code, message, 'invalid_client', 401);
const invalidRequest = (code: number, message: string) => new Refusal(code, message, 'invalid_request', 400);

const guid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const jwtBearer = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';
const maximumAssertionSeconds = 25 * 3600;
const federationPage = 'https://learn.microsoft.com/entra/workload-id/workload-identity-federation';
const assertionPage = 'https://learn.microsoft.com/entra/identity-platform/certificate-credentials';

/** Names of Entra that instance discovery knows, by cloud; the first is the preferred one. */
const instances: string[][] = [
  ['login.microsoftonline.com', 'login.windows.net', 'login.microsoft.com', 'sts.windows.net'],
  ['login.partner.microsoftonline.cn', 'login.chinacloudapi.cn'],
  ['login.microsoftonline.us', 'login.usgovcloudapi.net'],
];

/**
 * One cloud's Entra. `channel` says what the tokens come through: the public endpoint, or the token proxy of a
 * cluster with identity bindings, which serves the token endpoint alone.
 */
export function entra(
  directory: Directory,
  cloud: CloudName,
  channel: 'public' | 'identityBinding' = 'public',
): Handler {
  return async (request) => {
    const headers = commonHeaders(request);
    try {
      return await route(directory, cloud, channel, request, headers);
    } catch (error) {
      if (error instanceof Refusal) return refuse(error, directory, request, headers);
      throw error;
    }
  };
}

async function route(
  directory: Directory,
  cloud: CloudName,
  channel: 'public' | 'identityBinding',
  request: ServiceRequest,
  headers: Answer['headers'],
): Promise<Answer> {
  const path = request.url.pathname;
  const token = /^\/([^/]+)\/oauth2\/v2\.0\/token\/?$/.exec(path);
  if (token?.[1] !== undefined) {
    if (request.method !== 'POST') {
      throw invalidRequest(900561, `The endpoint only accepts POST requests. Received a ${request.method} request.`);
    }
    return json(200, await exchange(directory, cloud, channel, token[1], request), headers);
  }
  if (channel === 'public' && request.method === 'GET') {
    if (path === '/common/discovery/instance') return discoverInstance(cloud, request, headers);
    const metadata = /^\/([^/]+)(\/v2\.0)?\/\.well-known\/openid-configuration$/.exec(path);
    if (metadata?.[1] !== undefined) {
      return json(200, configuration(directory, cloud, metadata[1], request.host), headers);
    }
    if (/^\/[^/]+\/discovery\/(v2\.0\/)?keys$/.test(path)) {
      return json(200, { keys: [await publicJwk('entra')] }, headers);
    }
  }
  return { status: 404, headers: { ...headers, 'content-type': 'text/html' }, body: '' };
}

async function exchange(
  directory: Directory,
  cloud: CloudName,
  channel: 'public' | 'identityBinding',
  tenantName: string,
  request: ServiceRequest,
): Promise<Record<string, unknown>> {
  const form = request.form ?? {};
  const tenant = findTenant(directory, cloud, tenantName);
  const required = (name: string): string => {
    const value = form[name];
    if (value) return value;
    throw invalidRequest(900144, `The request body must contain the following parameter: '${name}'.`);
  };
  const grant = required('grant_type');
  if (grant !== 'client_credentials') {
    throw new Refusal(70003, `The app requested an unsupported grant type '${grant}'.`, 'unsupported_grant_type', 400);
  }
  const clientId = required('client_id');
  const application = findApplication(directory, tenant, clientId);
  const resource = resourceOf(required('scope'), application);
  const assertion = presentedAssertion(form);
  const capabilities = requestedCapabilities(form['claims']);
  await acceptAssertion({ directory, cloud, channel, tenant, application, assertion });
  requireResource(directory, cloud, tenant, resource);
  return issue(directory, tenant, application, resource, capabilities);
}

function findTenant(directory: Directory, cloud: CloudName, name: string): Tenant {
  if (!guid.test(name) && !name.includes('.')) {
    throw invalidRequest(
      900023,
      `Specified tenant identifier '${name}' is neither a valid DNS name, nor a valid external domain.`,
    );
  }
  const wanted = name.toLowerCase();
  const found = directory.tenants.find((t) => t.cloud === cloud && [t.id, t.domain].includes(wanted));
  if (found) return found;
  throw invalidRequest(
    90002,
    `Tenant '${name}' not found. Check to make sure you have the correct tenant ID and are signing into the correct ` +
      'cloud. Check with your subscription administrator, this may happen if there are no active subscriptions for ' +
      'the tenant.',
  );
}

function findApplication(directory: Directory, tenant: Tenant, clientId: string): Application {
  const wanted = clientId.toLowerCase();
  const found = directory.applications.find(
    (a) => a.clientId === wanted && (a.tenantId === tenant.id || a.otherTenants?.includes(tenant.id)),
  );
  if (found) return found;
  throw new Refusal(
    700016,
    `Application with identifier '${clientId}' was not found in the directory '${tenant.domain}'. This can happen if ` +
      'the application has not been installed by the administrator of the tenant or consented to by any user in the ' +
      'tenant. You may have sent your authentication request to the wrong tenant.',
    'unauthorized_client',
    400,
  );
}

/** The resource that the only scope names: what is left without one trailing `/.default`. */
function resourceOf(scope: string, application: Application): string {
  const scopes = scope.split(' ').filter((one) => one !== '' && !/^(openid|profile|offline_access)$/.test(one));
  if (scopes.length > 1) {
    throw new Refusal(
      70011,
      `The provided request must include a 'scope' input parameter. The provided value for the input parameter ` +
        `'scope' is not valid. The scope '${scope}' is not valid: one resource is possible in a request.`,
      'invalid_scope',
      400,
    );
  }
  const only = scopes[0] ?? '';
  if (!only.endsWith('/.default')) {
    throw new Refusal(
      1002012,
      `The provided value for scope ${only || scope} is not valid. Client credential flows must have a scope value ` +
        `with /.default suffixed to the resource identifier (application ID URI). Application '${application.clientId}'.`,
      'invalid_scope',
      400,
    );
  }
  return only.slice(0, -'/.default'.length);
}

function presentedAssertion(form: Record<string, string>): string {
  if (form['client_secret']) {
    throw invalidClient(7000215, 'Invalid client secret provided. Ensure the secret being sent is the secret value.');
  }
  const assertion = form['client_assertion'];
  if (!assertion) {
    throw invalidClient(
      7000216,
      `'client_assertion', 'client_secret' or 'request' is required for the 'client_credentials' grant type.`,
    );
  }
  if (form['client_assertion_type'] !== jwtBearer) {
    throw invalidRequest(
      900144,
      `The request body must contain the following parameter: 'client_assertion_type' with the value '${jwtBearer}'.`,
    );
  }
  return assertion;
}

/** The client capabilities (`xms_cc`) that the `claims` parameter asks to have in the access token. */
function requestedCapabilities(claims: string | undefined): string[] {
  if (claims === undefined || claims === '') return [];
  const malformed = () => invalidRequest(9002313, 'Invalid request. Request is malformed or invalid.');
  let value: unknown;
  try {
    value = JSON.parse(claims);
  } catch {
    throw malformed();
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw malformed();
  const wanted = (value as { access_token?: { xms_cc?: { values?: unknown } } }).access_token?.xms_cc?.values;
  return Array.isArray(wanted) ? wanted.filter((one) => typeof one === 'string') : [];
}

interface Presented {
  directory: Directory;
  cloud: CloudName;
  channel: 'public' | 'identityBinding';
  tenant: Tenant;
  application: Application;
  assertion: string;
}

/** Judges an assertion as Entra does. Throws the refusal. */
async function acceptAssertion(presented: Presented): Promise<void> {
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
    channel: 'public' | 'identityBinding';
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

function requireResource(directory: Directory, cloud: CloudName, tenant: Tenant, resource: string): void {
  const bare = resource.replace(/\/$/, '').toLowerCase();
  const found = directory.resources.some(
    (r) => r.cloud === cloud && r.resource.toLowerCase() === bare && (r.tenants?.includes(tenant.id) ?? true),
  );
  if (found) return;
  throw new Refusal(
    500011,
    `The resource principal named ${resource} was not found in the tenant named ${tenant.domain}. This can happen if ` +
      'the application has not been installed by the administrator of the tenant or consented to by any user in the ' +
      'tenant. You might have sent your authentication request to the wrong tenant.',
    'invalid_resource',
    400,
  );
}

async function issue(
  directory: Directory,
  tenant: Tenant,
  application: Application,
  resource: string,
  capabilities: string[],
): Promise<Record<string, unknown>> {
  const lifetime = directory.accessTokenLifetimeSeconds ?? (capabilities.length > 0 ? 86400 : 3600);
  const now = Math.floor(directory.now() / 1000);
  const issuer = `https://sts.${{ public: 'windows.net', usGov: 'windows.net', china: 'chinacloudapi.cn' }[tenant.cloud]}/${tenant.id}/`;
  const accessToken = await signJwt('entra', {
    aud: resource,
    iss: issuer,
    iat: now,
    nbf: now,
    exp: now + lifetime,
    aio: randomBytes(24).toString('base64'),
    appid: application.clientId,
    appidacr: '2',
    idp: issuer,
    idtyp: 'app',
    oid: application.objectId,
    rh: `1.${randomBytes(24).toString('base64url')}.`,
    sub: application.objectId,
    tid: tenant.id,
    uti: randomBytes(16).toString('base64url'),
    ver: '1.0',
    ...(capabilities.length > 0 ? { xms_cc: capabilities } : {}),
  });
  return {
    token_type: 'Bearer',
    expires_in: lifetime,
    ext_expires_in: lifetime,
    ...(lifetime > 7200 ? { refresh_in: Math.floor(lifetime / 2) } : {}),
    access_token: accessToken,
  };
}

function discoverInstance(cloud: CloudName, request: ServiceRequest, headers: Answer['headers']): Answer {
  const endpoint = request.url.searchParams.get('authorization_endpoint') ?? '';
  const host = URL.canParse(endpoint) ? new URL(endpoint).host : '';
  if (!instances.flat().includes(host)) throw invalidInstance();
  return json(
    200,
    {
      tenant_discovery_endpoint: `https://${host}${new URL(endpoint).pathname.replace(/\/oauth2\/.*$/, '')}/v2.0/.well-known/openid-configuration`,
      'api-version': '1.1',
      metadata: (cloud === 'public'
        ? instances
        : instances.filter((names) => names.includes(authorityHost[cloud]))
      ).map((aliases) => ({ preferred_network: aliases[0], preferred_cache: aliases[1] ?? aliases[0], aliases })),
    },
    headers,
  );
}

const invalidInstance = () => new Refusal(50049, 'Unknown or invalid instance.', 'invalid_instance', 400);

function configuration(directory: Directory, cloud: CloudName, tenantName: string, host: string): unknown {
  const shared = ['common', 'organizations', 'consumers'].includes(tenantName);
  const id = shared ? '{tenantid}' : findTenant(directory, cloud, tenantName).id;
  const base = `https://${host}/${shared ? tenantName : id}`;
  return {
    token_endpoint: `${base}/oauth2/v2.0/token`,
    token_endpoint_auth_methods_supported: ['client_secret_post', 'private_key_jwt', 'client_secret_basic'],
    jwks_uri: `${base}/discovery/v2.0/keys`,
    response_modes_supported: ['query', 'fragment', 'form_post'],
    subject_types_supported: ['pairwise'],
    id_token_signing_alg_values_supported: ['RS256'],
    response_types_supported: ['code', 'id_token', 'code id_token', 'id_token token'],
    scopes_supported: ['openid', 'profile', 'email', 'offline_access'],
    issuer: cloud === 'public' ? entraIssuer(id) : `https://${authorityHost[cloud]}/${id}/v2.0`,
    authorization_endpoint: `${base}/oauth2/v2.0/authorize`,
    device_authorization_endpoint: `${base}/oauth2/v2.0/devicecode`,
    end_session_endpoint: `${base}/oauth2/v2.0/logout`,
    claims_supported: ['sub', 'iss', 'aud', 'exp', 'iat', 'nonce', 'tid', 'ver'],
    tenant_region_scope: null,
    cloud_instance_name: {
      public: 'microsoftonline.com',
      usGov: 'microsoftonline.us',
      china: 'partner.microsoftonline.cn',
    }[cloud],
  };
}

function commonHeaders(request: ServiceRequest): Answer['headers'] {
  const correlation = correlationOf(request);
  const echoed = String(
    request.headers['return-client-request-id'] ?? request.form?.['return-client-request-id'] ?? '',
  );
  return {
    'cache-control': 'no-store, no-cache',
    pragma: 'no-cache',
    expires: '-1',
    'strict-transport-security': 'max-age=31536000; includeSubDomains',
    'x-content-type-options': 'nosniff',
    'x-ms-request-id': randomUUID(),
    'x-ms-ests-server': '2.1.22549.3 - NEULR1 ProdSlices',
    'x-ms-srs': '1.P',
    ...(correlation !== undefined && echoed !== 'false' ? { 'client-request-id': correlation } : {}),
    'set-cookie': [
      'fpc=AhU2bU0gT3RoaW5n; path=/; secure; HttpOnly; SameSite=None',
      'stsservicecookie=estsfd; path=/; secure',
    ],
  };
}

function correlationOf(request: ServiceRequest): string | undefined {
  const given = request.headers['client-request-id'] ?? request.form?.['client-request-id'];
  return typeof given === 'string' && guid.test(given) ? given : undefined;
}

function refuse(refusal: Refusal, directory: Directory, request: ServiceRequest, headers: Answer['headers']): Answer {
  const traceId = headers['x-ms-request-id'];
  const correlationId = correlationOf(request) ?? randomUUID();
  const timestamp = `${new Date(directory.now()).toISOString().slice(0, 19).replace('T', ' ')}Z`;
  return json(
    refusal.status,
    {
      error: refusal.error,
      error_description: `AADSTS${refusal.code}: ${refusal.message} Trace ID: ${traceId} Correlation ID: ${correlationId} Timestamp: ${timestamp}`,
      error_codes: [refusal.code],
      timestamp,
      trace_id: traceId,
      correlation_id: correlationId,
      error_uri: `https://${request.host}/error?code=${refusal.code}`,
    },
    headers,
  );
}
