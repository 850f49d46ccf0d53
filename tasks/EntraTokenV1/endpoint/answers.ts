import { type Code, entryOf } from '../failure/catalogue.ts';
import type { Failure } from '../failure/failure.ts';

/** What a client of the endpoint gets. */
export interface EndpointAnswer {
  readonly status: number;
  readonly body: Readonly<Record<string, string | number>>;
  /** Further headers; the server adds those that every response has. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** After this time a client may ask again. Seconds. */
const RETRY_AFTER_S = 5;

/** A later request may succeed: a service, or the network to it, has an outage. */
const outages: ReadonlySet<Code> = new Set<Code>([
  'ET_DEVOPS_UNAVAILABLE',
  'ET_DEVOPS_THROTTLED',
  'ET_DEVOPS_ANSWER',
  'ET_ENTRA_UNAVAILABLE',
  'ET_ENTRA_THROTTLED',
  'ET_ENTRA_ANSWER',
  'ET_ISSUER_UNREACHABLE',
  'ET_NAME_NOT_FOUND',
  'ET_CONNECTION',
  'ET_TIMEOUT',
  'ET_PROXY',
  'ET_CERTIFICATE',
  'ET_TLS',
  'ET_KUBERNETES_FILE_MISSING',
  'ET_KUBERNETES_FILE_EMPTY',
  'ET_KUBERNETES_TOKEN_EXPIRED',
]);

/** True where the failure is an outage, and false where a service, or this task, has refused. */
export function isOutage({ code }: Failure): boolean {
  return outages.has(code);
}

/**
 * The one body in which all clients find an error: MSAL of every language, the Azure SDKs, the Azure CLI, Terraform. They
 * retry 404, 410 and 429, which are therefore never used.
 * @param error one of OAuth's words (RFC 6749, 5.2 and 4.1.2.1)
 */
export function errorAnswer(status: number, error: string, message: string, correlationId?: string): EndpointAnswer {
  return {
    status,
    body: {
      statusCode: status,
      error,
      message,
      error_description: message,
      ...(correlationId === undefined ? {} : { correlationId }),
    },
  };
}

/** A request that is invalid in itself: always 400. */
export function wrongRequest(message: string): EndpointAnswer {
  return errorAnswer(400, 'invalid_request', message);
}

/** No token: 503 in an outage, which clients retry; 400 for a refusal, which none of them retries. */
export function failureAnswer(failure: Failure, correlationId?: string): EndpointAnswer {
  const { reason, remedy } = entryOf(failure.code);
  const message = `${failure.code}: ${failure.happened} ${reason} ${failure.advice ?? remedy}`;
  if (failure.code === 'ET_UNEXPECTED') {
    return errorAnswer(500, 'server_error', message, correlationId);
  }
  return isOutage(failure)
    ? {
        ...errorAnswer(503, 'temporarily_unavailable', message, correlationId),
        headers: { 'Retry-After': String(RETRY_AFTER_S) },
      }
    : errorAnswer(400, 'unauthorized_client', message, correlationId);
}
