import { type ClientAnswer, send } from './client.ts';
import type { Cloud } from './cloud.ts';

const jwtBearer = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';

export interface OidcTokenRequest {
  /** Path below the collection; default: the job's endpoint. */
  url?: string;
  query?: Record<string, string>;
  method?: string;
  /** Default: the job's token. Empty: no `Authorization`. */
  authorization?: string;
  headers?: Record<string, string>;
  body?: string;
}

/** Asks the `oidctoken` endpoint as a careful client does, apart from what the test says otherwise. */
export function askOidcToken(cloud: Cloud, request: OidcTokenRequest = {}): Promise<ClientAnswer> {
  const query = new URLSearchParams(
    request.query ?? { serviceConnectionId: cloud.connections.azureRM.id, 'api-version': '7.1' },
  );
  const authorization = request.authorization ?? `Bearer ${cloud.job.jobToken}`;
  return send(`${request.url ?? cloud.job.oidcRequestUri}?${query}`, {
    method: request.method ?? 'POST',
    ca: cloud.ca.pem,
    headers: {
      'content-type': 'application/json',
      'x-tfs-fedauthredirect': 'Suppress',
      ...(authorization === '' ? {} : { authorization }),
      ...request.headers,
    },
    ...(request.body === undefined ? {} : { body: request.body }),
  });
}

/** The form of a token request with an assertion; `undefined` takes a field away. */
export function tokenForm(
  cloud: Cloud,
  assertion: string,
  fields: Record<string, string | undefined> = {},
): Record<string, string> {
  const form: Record<string, string | undefined> = {
    grant_type: 'client_credentials',
    client_id: cloud.clientId,
    scope: 'https://vault.azure.net/.default',
    client_assertion_type: jwtBearer,
    client_assertion: assertion,
    ...fields,
  };
  const given = Object.entries(form).filter((entry): entry is [string, string] => entry[1] !== undefined);
  return Object.fromEntries(given);
}

/** Posts a form to the token endpoint of a tenant; by default the public cloud's, and the cloud's own tenant. */
export function askToken(
  cloud: Cloud,
  form: Record<string, string>,
  { authority = cloud.authorityUrl, tenant = cloud.tenantId, headers = {} } = {},
): Promise<ClientAnswer> {
  return send(`${authority}${tenant}/oauth2/v2.0/token`, { ca: cloud.ca.pem, form, headers });
}
