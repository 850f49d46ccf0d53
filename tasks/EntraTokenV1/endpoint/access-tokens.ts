import { randomUUID } from 'node:crypto';
import type { AccessToken } from '../exchange/exchange.ts';
import { Failure, unforeseen } from '../failure/failure.ts';
import { printable } from '../text/text.ts';
import { type EndpointAnswer, errorAnswer, failureAnswer, wrongRequest } from './answers.ts';
import { type CacheClocks, type Lent, TokenCache } from './cache.ts';
import { type Found, findOffer, type Offer } from './names.ts';

/** For which resources access tokens are issued, and how to get them. */
export interface AccessTokenOptions {
  readonly clientId: string;
  readonly offers: readonly Offer[];
  /** Gives an access token for a scope; throws a Failure. */
  readonly exchange: (scope: string, correlationId: string) => Promise<AccessToken>;
  readonly clocks: CacheClocks;
}

/** Answers one request of App Service's protocol; never throws. */
export type AnswerQuery = (query: URLSearchParams) => Promise<EndpointAnswer>;

/** The version of the protocol that every Azure SDK and MSAL uses. */
const API_VERSION = '2019-08-01';

/** The parameters by which clients select an identity other than by its client ID. */
const OTHER_SELECTORS = ['mi_res_id', 'msi_res_id', 'object_id', 'principal_id', 'clientid'];

/** Serves access tokens as App Service does to its managed identities. */
export function serveAccessTokens({ clientId, offers, exchange, clocks }: AccessTokenOptions): AnswerQuery {
  const caches = new Map<string, TokenCache>();
  /** The correlation ID of the last exchange for each scope. */
  const correlationIds = new Map<string, string>();

  const cacheOf = (scope: string): TokenCache => {
    const ask = (): Promise<AccessToken> => {
      const correlationId = randomUUID();
      correlationIds.set(scope, correlationId);
      return exchange(scope, correlationId);
    };
    const cache = caches.get(scope) ?? new TokenCache(ask, clocks);
    caches.set(scope, cache);
    return cache;
  };

  /** If this Entra does not know the tool's name of the resource, the step's own name is used. */
  const lend = async ({ scope, ownScope }: Found, skip: boolean): Promise<Lent> => {
    try {
      return await cacheOf(scope).lend(skip);
    } catch (error) {
      if (scope !== ownScope && error instanceof Failure && error.code === 'ET_RESOURCE_UNKNOWN') {
        return cacheOf(ownScope).lend(skip);
      }
      throw error;
    }
  };

  return async (query) => {
    const wrong = wrongQuery(query, clientId);
    if (wrong !== undefined) {
      return wrongRequest(wrong);
    }
    const resource = query.get('resource') ?? '';
    const found = findOffer(resource, offers);
    if (found === undefined) {
      return errorAnswer(
        400,
        'invalid_resource',
        `The step gives no tokens for ${printable(resource, 200)}; it gives them for ${offers.map(({ names }) => names[0]).join(', ')}. Add the resource to the scopes of the step.`,
      );
    }
    try {
      const { token, leftMs } = await lend(found, query.has('token_sha256_to_refresh'));
      return { status: 200, body: tokenBody({ token, leftMs }, resource, clientId, clocks.now()) };
    } catch (error) {
      return failureAnswer(unforeseen(error), correlationIds.get(found.scope));
    }
  };
}

/** What is wrong with a request, as a sentence; undefined where nothing is. Unknown parameters are ignored. */
function wrongQuery(query: URLSearchParams, clientId: string): string | undefined {
  const twice = ['api-version', 'resource', 'client_id'].find((name) => query.getAll(name).length > 1);
  if (twice !== undefined) {
    return `The parameter ${twice} stands twice.`;
  }
  if (query.get('api-version') !== API_VERSION) {
    return `The parameter api-version is not ${API_VERSION}.`;
  }
  if (!query.get('resource')?.trim()) {
    return 'The parameter resource is missing.';
  }
  const selector = OTHER_SELECTORS.find((name) => query.get(name));
  if (selector !== undefined) {
    return `The parameter ${selector} is not supported: the identity is that of the step, and may be named by client_id alone.`;
  }
  const asked = query.get('client_id');
  if (asked && asked.toLowerCase() !== clientId.toLowerCase()) {
    return `The parameter client_id is ${printable(asked, 80)}, but the step's identity is ${clientId}.`;
  }
  return undefined;
}

/**
 * Numbers are strings, as App Service writes them; expires_in is before expires_on, because MSAL.NET takes the last
 * one.
 */
function tokenBody({ token, leftMs }: Lent, resource: string, clientId: string, now: number): EndpointAnswer['body'] {
  return {
    access_token: token.token.reveal(),
    client_id: clientId,
    expires_in: String(Math.floor(leftMs / 1000)),
    expires_on: String(Math.floor((now + leftMs) / 1000)),
    resource,
    token_type: 'Bearer',
  };
}
