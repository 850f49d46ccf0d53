import { randomUUID } from 'node:crypto';
import type { ConfidentialClientApplication, INetworkModule, NetworkRequestOptions } from '@azure/msal-node';
import { Failure } from '../failure/failure.ts';
import type { IdToken } from '../id-token/id-token.ts';
import type { Answer } from '../network/post.ts';
import type { Send } from '../network/wire.ts';
import { type Mask, Secret } from '../text/secret.ts';
import { isTransientAnswer, parse, refusal, saysError } from './refusal.ts';

/** An access token as later steps get it. Times are milliseconds since 1970. */
export interface AccessToken {
  readonly token: Secret;
  readonly tokenType: 'Bearer';
  readonly expiresAt: number;
  /** When Entra advises to request a new one, if it does. */
  readonly refreshAt: number | undefined;
}

export interface ExchangeOptions {
  /** Origin of Entra, `https://host`. */
  readonly authority: string;
  readonly tenantId: string;
  readonly clientId: string;
  readonly claims: string | undefined;
  readonly enableCae: boolean;
  /** Returns a valid ID token; called for each exchange. */
  readonly idToken: () => Promise<IdToken>;
  readonly send: Send;
  readonly mask: Mask;
}

/**
 * Returns an access token for a scope; throws a Failure. Several calls may run concurrently.
 * @param correlationId the ID under which Entra logs the request; generated if none is given
 */
export type Exchange = (scope: string, correlationId?: string) => Promise<AccessToken>;

/**
 * Loads MSAL, and returns a function that makes the exchange for one client in one tenant, with MSAL over our own
 * HTTP client.
 */
export async function loadExchange(): Promise<(options: ExchangeOptions) => Exchange> {
  const { ConfidentialClientApplication: Application } = await import('@azure/msal-node');
  return (options) => createExchange(Application, options);
}

function createExchange(Application: typeof ConfidentialClientApplication, options: ExchangeOptions): Exchange {
  const { authority, tenantId, clientId } = options;
  const tokenEndpoint = `${authority}/${tenantId}/oauth2/v2.0/token`;
  const seen = new Map<string, Failure>();
  const application = new Application({
    auth: {
      clientId,
      authority: `${authority}/${tenantId}`,
      clientAssertion: async () => (await options.idToken()).token.reveal(),
      clientCapabilities: options.enableCae ? ['CP1'] : [],
      // The metadata is given, so that MSAL makes only the token request, for any host.
      knownAuthorities: [new URL(authority).host],
      cloudDiscoveryMetadata: cloudDiscovery(authority),
      authorityMetadata: authorityMetadata(authority, tenantId),
    },
    system: { networkClient: entraClient(tokenEndpoint, options, seen) },
  });
  return async (scope, correlationId = randomUUID()) => {
    try {
      const result = await application.acquireTokenByClientCredential({
        scopes: [scope],
        correlationId,
        skipCache: true,
        // Keeps an inherited MSAL_FORCE_REGION from sending the ID token to another host.
        azureRegion: 'DisableMsalForceRegion',
        ...(options.claims === undefined ? {} : { claims: options.claims }),
      });
      if (result?.expiresOn) {
        return {
          token: Secret.masked(result.accessToken, options.mask),
          tokenType: 'Bearer',
          expiresAt: result.expiresOn.getTime(),
          refreshAt: result.refreshOn?.getTime(),
        };
      }
      throw new Failure('ET_ENTRA_ANSWER', 'Entra returned no access token.');
    } catch (error) {
      // MSAL wraps what its network client throws; the failure itself says more.
      const failure = seen.get(correlationId);
      seen.delete(correlationId);
      throw failure ?? error;
    }
  };
}

function cloudDiscovery(authority: string): string {
  const { host } = new URL(authority);
  return JSON.stringify({
    tenant_discovery_endpoint: `${authority}/common/v2.0/.well-known/openid-configuration`,
    'api-version': '1.1',
    metadata: [{ preferred_network: host, preferred_cache: host, aliases: [host] }],
  });
}

function authorityMetadata(authority: string, tenantId: string): string {
  return JSON.stringify({
    token_endpoint: `${authority}/${tenantId}/oauth2/v2.0/token`,
    authorization_endpoint: `${authority}/${tenantId}/oauth2/v2.0/authorize`,
    issuer: `${authority}/${tenantId}/v2.0`,
    jwks_uri: `${authority}/${tenantId}/discovery/v2.0/keys`,
  });
}

function entraClient(
  tokenEndpoint: string,
  { send, mask }: ExchangeOptions,
  seen: Map<string, Failure>,
): INetworkModule {
  const post = async (url: string, options?: NetworkRequestOptions): Promise<Record<string, unknown>> => {
    // The ID token goes to the token endpoint of the step's own authority, and nowhere else.
    if (url.split('?')[0] !== tokenEndpoint) {
      throw new Failure('ET_UNEXPECTED', 'MSAL asked for another address than the token endpoint.');
    }
    const answer = await send({
      url: new URL(url),
      headers: options?.headers ?? {},
      body: options?.body ?? '',
      service: 'Entra',
      isTransient: isTransientAnswer,
    });
    return readTokenAnswer(answer, mask);
  };
  return {
    sendGetRequestAsync: () =>
      Promise.reject(new Failure('ET_UNEXPECTED', 'MSAL asked for metadata that it was given.')),
    async sendPostRequestAsync<T>(url: string, options?: NetworkRequestOptions) {
      try {
        // MSAL names the type of the body that it expects; readTokenAnswer has checked that body.
        return { status: 200, headers: {}, body: (await post(url, options)) as T };
      } catch (error) {
        if (error instanceof Failure && options?.correlationId !== undefined) {
          seen.set(options.correlationId, error);
        }
        throw error;
      }
    },
  };
}

/**
 * RFC 6750, section 2.1: the syntax of a bearer token. It has no blank, line end or macro; a shorter one, once
 * masked, would hide ordinary words of the log.
 */
const BEARER_TOKEN = /^[A-Za-z0-9\-._~+/]{16,}=*$/;

/** The checked fields of a token response, the token masked; throws a Failure for any other response. */
function readTokenAnswer(answer: Answer, mask: Mask): Record<string, unknown> {
  const body = parse(answer.body);
  if (answer.status !== 200 || body === undefined || (body['access_token'] === undefined && saysError(answer))) {
    throw refusal(answer);
  }
  const { access_token: token, token_type: type, expires_in: expiresIn, refresh_in: refreshIn } = body;
  if (typeof token !== 'string' || !BEARER_TOKEN.test(token)) {
    throw new Failure('ET_ENTRA_ANSWER', 'Entra answered HTTP 200 without a usable access token.');
  }
  Secret.masked(token, mask);
  if (typeof type !== 'string' || type.toLowerCase() !== 'bearer') {
    throw new Failure(
      'ET_ENTRA_ANSWER',
      'Entra answered with a token that is not a bearer token, which the task does not use.',
    );
  }
  const seconds = Number(expiresIn);
  if (!(seconds > 0 && seconds < 10 * 366 * 24 * 3600)) {
    throw new Failure(
      'ET_ENTRA_ANSWER',
      'Entra answered with an access token that has no usable lifetime (expires_in).',
    );
  }
  const refresh = Number(refreshIn);
  return {
    token_type: 'Bearer',
    access_token: token,
    expires_in: seconds,
    ...(refresh > 0 && refresh <= seconds ? { refresh_in: refresh } : {}),
  };
}
