import { type Directory, entraIssuer } from './directory.ts';
import { findTenant } from './entra-lookup.ts';
import { Refusal } from './entra-refusal.ts';
import { authorityHost, type CloudName } from './national-clouds.ts';
import { type Answer, json, type ServiceRequest } from './server.ts';

/** Names of Entra that instance discovery knows, by cloud; the first is the preferred one. */
const instances: string[][] = [
  ['login.microsoftonline.com', 'login.windows.net', 'login.microsoft.com', 'sts.windows.net'],
  ['login.partner.microsoftonline.cn', 'login.chinacloudapi.cn'],
  ['login.microsoftonline.us', 'login.usgovcloudapi.net'],
];

/** Instance discovery: which names belong to which cloud. */
export function discoverInstance(cloud: CloudName, request: ServiceRequest, headers: Answer['headers']): Answer {
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

/** The OpenID configuration of a tenant. */
export function configuration(directory: Directory, cloud: CloudName, tenantName: string, host: string): unknown {
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
