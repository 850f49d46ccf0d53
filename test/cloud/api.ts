import { type Answer, type Handler, json, type ServiceRequest } from './server.ts';

export interface ProtectedApi {
  /** The audience that an access token must have, to the letter. */
  audience: string;
  /** Secrets by name. */
  secrets: Record<string, string>;
}

/** Where the signed, unexpired claims of an access token come from; throws for any other token. */
export type Verify = (token: string) => Promise<{ aud?: string | string[] }>;

/** Whom a request's bearer token is for: empty for a token that is good for nothing, undefined where there is none. */
export async function audienceOf(request: ServiceRequest, verify: Verify): Promise<string[] | undefined> {
  const token = /^Bearer (.+)$/i.exec(request.headers.authorization ?? '')?.[1];
  if (token === undefined) return undefined;
  try {
    return [(await verify(token)).aud ?? []].flat();
  } catch {
    return [];
  }
}

/** The request as Azure DevOps takes it: an access token may also be the password of Basic authentication. */
export function withBearer(request: ServiceRequest): ServiceRequest {
  const encoded = /^Basic (.+)$/i.exec(request.headers.authorization ?? '')?.[1];
  if (encoded === undefined) return request;
  const password = Buffer.from(encoded, 'base64')
    .toString('utf8')
    .replace(/^[^:]*:/, '');
  return { ...request, headers: { ...request.headers, authorization: `Bearer ${password}` } };
}

/** A small API in the manner of Key Vault: `GET /secrets/{name}` for whoever brings an access token for it. */
export function protectedApi(api: ProtectedApi, verify: Verify): Handler {
  return async (request) => {
    const audience = await audienceOf(request, verify);
    if (audience === undefined) return unauthorized(api, 'AKV10000: Request is missing a Bearer or PoP token.');
    if (audience.length === 0) return unauthorized(api, 'AKV10032: Invalid or expired token.', 'invalid_token');
    if (!audience.includes(api.audience)) {
      const message = `AKV10022: Invalid audience. Expected ${api.audience}, found: ${audience.join(' ')}.`;
      return unauthorized(api, message, 'invalid_token');
    }
    const name = /^\/secrets\/([^/]+)/.exec(request.url.pathname)?.[1];
    if (request.method !== 'GET' || name === undefined) return failure(404, 'NotFound', 'No such resource.');
    const value = Object.hasOwn(api.secrets, name) ? api.secrets[name] : undefined;
    if (value === undefined) {
      return failure(404, 'SecretNotFound', `A secret with (name/id) ${name} was not found in this key vault.`);
    }
    return json(200, { value, id: `https://${request.host}/secrets/${name}/0`, attributes: { enabled: true } });
  };
}

const failure = (status: number, code: string, message: string, headers: Answer['headers'] = {}): Answer =>
  json(status, { error: { code, message } }, headers);

function unauthorized(api: ProtectedApi, message: string, error?: string): Answer {
  const challenge = `Bearer authorization="https://login.microsoftonline.com/common", resource="${api.audience}"`;
  const suffix = error === undefined ? '' : `, error="${error}"`;
  return failure(401, 'Unauthorized', message, { 'www-authenticate': challenge + suffix });
}
