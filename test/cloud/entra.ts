import { randomBytes, randomUUID } from 'node:crypto';
import type { Application, Directory, Tenant } from './directory.ts';
import { acceptAssertion, type Channel } from './entra-assertion.ts';
import { findApplication, findTenant, guid, requireResource } from './entra-lookup.ts';
import { configuration, discoverInstance } from './entra-metadata.ts';
import { invalidClient, invalidRequest, Refusal } from './entra-refusal.ts';
import { publicJwk, signJwt } from './keys.ts';
import type { CloudName } from './national-clouds.ts';
import { type Answer, type Handler, json, type ServiceRequest } from './server.ts';

const jwtBearer = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';

/**
 * One cloud's Entra. `channel` says what the tokens come through: the public endpoint, or the token proxy of a
 * cluster with identity bindings, which serves the token endpoint alone.
 */
export function entra(directory: Directory, cloud: CloudName, channel: Channel = 'public'): Handler {
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
  channel: Channel,
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
  channel: Channel,
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
