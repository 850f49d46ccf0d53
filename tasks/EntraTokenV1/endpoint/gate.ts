import { createHash, timingSafeEqual } from 'node:crypto';
import { type Kind, paths } from './address.ts';
import { type EndpointAnswer, errorAnswer, wrongRequest } from './answers.ts';

/** The checked parts of a request. Headers by their names in lower case, each with all of its values. */
export interface Asked {
  readonly method: string;
  /** The target as it stands in the request line. */
  readonly target: string;
  readonly headers: Readonly<NodeJS.Dict<string[]>>;
}

/** The secrets of the kinds that are served. */
export type Secrets = Readonly<Partial<Record<Kind, string>>>;

/** An accepted request, or the response to one that is refused. */
export type Judged = { readonly kind: Kind; readonly query: URLSearchParams } | { readonly refusal: EndpointAnswer };

/**
 * Decides whether a request is accepted, before anything in it is used. The secret is checked first, and a client
 * without it learns nothing else. The other checks stop requests that an attacker makes somebody with the secret
 * send: a page in a browser on this machine (DNS rebinding, forged requests), and a proxy that forwards requests from
 * elsewhere.
 * @param host what the header `Host` must be
 */
export function judge({ method, target, headers }: Asked, host: string, secrets: Secrets): Judged {
  const kind = whoAsks(headers, secrets);
  if (kind === undefined) {
    return { refusal: errorAnswer(401, 'unauthorized', NOT_AUTHORIZED) };
  }
  if (only(headers['host']) !== host) {
    return { refusal: wrongRequest(`The header Host is not ${host}.`) };
  }
  const foreign = Object.keys(headers).find((name) => isForeign(name, headers[name] ?? []));
  if (foreign !== undefined) {
    return {
      refusal: wrongRequest(`The request has the header ${foreign}: it comes from a browser or through a proxy.`),
    };
  }
  if (method !== 'GET') {
    return { refusal: { ...errorAnswer(405, 'invalid_request', 'Only GET is answered.'), headers: { Allow: 'GET' } } };
  }
  if (headers['transfer-encoding'] !== undefined || !['0', undefined].includes(only(headers['content-length']))) {
    return { refusal: wrongRequest('The request has a body.') };
  }
  const [path, ...rest] = target.split('?');
  if (path !== paths[kind]) {
    return { refusal: wrongRequest(`The path is not ${paths[kind]}.`) };
  }
  return { kind, query: new URLSearchParams(rest.join('?')) };
}

const NOT_AUTHORIZED =
  'The request does not carry the secret of this token endpoint. Map the outputs of the step that serves it into the ' +
  'environment of the step that asks.';

function whoAsks(headers: Asked['headers'], secrets: Secrets): Kind | undefined {
  const forAccess = only(headers['x-identity-header']);
  const forId = only(headers['authorization']);
  // Both comparisons are always made, so that the response time does not reveal which secret was sent.
  const isAccess = isSecret(forAccess, secrets.accessTokens);
  const isId = isSecret(forId?.replace(/^bearer +/i, ''), secrets.idTokens);
  return isAccess ? 'accessTokens' : isId ? 'idTokens' : undefined;
}

/** Compares digests, which have the same length, in constant time. */
function isSecret(given: string | undefined, secret: string | undefined): boolean {
  const digest = (text: string | undefined): Buffer =>
    createHash('sha256')
      .update(text ?? '')
      .digest();
  return timingSafeEqual(digest(given), digest(secret)) && given !== undefined && secret !== undefined;
}

/** The value of a header that occurs once; undefined for one that is missing or repeated. */
function only(values: readonly string[] | undefined): string | undefined {
  return values?.length === 1 ? values[0] : undefined;
}

/**
 * Browsers send several headers Sec-Fetch-*, which pages cannot remove. The one exception is the `fetch` of Node,
 * which MSAL for Node sends its requests with: it sends `Sec-Fetch-Mode: cors` alone.
 */
function isForeign(name: string, values: readonly string[]): boolean {
  return (
    ['origin', 'forwarded', 'via'].includes(name) ||
    name.startsWith('x-forwarded') ||
    (name.startsWith('sec-fetch-') && !(name === 'sec-fetch-mode' && only(values) === 'cors'))
  );
}
