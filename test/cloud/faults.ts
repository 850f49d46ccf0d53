/**
 * Faults as data: where one strikes, when, and what happens instead of (or to) the genuine answer.
 * server.ts applies them. The named answers below are those that the services, or things between, really give.
 */

export type ServiceName = 'devops' | 'entra' | 'api' | 'proxy' | 'tokenProxy';

export interface Fault {
  /** Default: every service. */
  service?: ServiceName | ServiceName[];
  /** Only requests of this method. */
  method?: string;
  /** Only requests whose path and query contain this text, or match it. Not seen by a connection fault. */
  path?: string | RegExp;
  /** Which of the matching requests (for a connection fault: connections) are struck, counted from 1. Default: every. */
  when?: 'every' | { nth: number | number[] } | { first: number } | { after: number };
  do: ConnectionFault | RequestFault;
}

/** What goes wrong before a byte of HTTP: the other side sees it in the connection or in the TLS handshake. */
export type ConnectionFault =
  | { kind: 'closeConnection' }
  | { kind: 'resetConnection' }
  | { kind: 'silentConnection' }
  | { kind: 'plainHttp' }
  | { kind: 'certificate'; which: WrongCertificate };

export type WrongCertificate = 'selfSigned' | 'otherAuthority' | 'otherName' | 'expired' | 'notYetValid';

/** What goes wrong once the whole request has been read. */
export type RequestFault =
  | { kind: 'close' }
  | { kind: 'reset' }
  | { kind: 'silence' }
  /** Once what begins with the request has ended: the genuine answer, or what else is to happen then. */
  | { kind: 'hold'; until: () => Promise<unknown>; answer?: RequestFault }
  | ({ kind: 'answer' } & AnswerFault)
  /** The genuine answer with changes to its status, headers and JSON. */
  | {
      kind: 'alter';
      status?: number;
      headers?: Record<string, string>;
      set?: Record<string, unknown>;
      remove?: string[];
      body?: BodyFault;
    }
  /** These bytes (latin1) and no HTTP library between; for what one would refuse to send. */
  | { kind: 'raw'; text: string; afterwards?: 'close' | 'silence' | 'drip' };

export interface AnswerFault {
  /** Default 200. */
  status?: number;
  statusText?: string;
  headers?: Record<string, string | string[]>;
  /** Adds `Retry-After`: a number of seconds, or the date that many seconds from now by the service's clock. */
  retryAfter?: { seconds: number } | { dateIn: number };
  text?: string;
  /** JSON to send instead of `text`. */
  json?: unknown;
  /** Sends the request's own line, headers and body back, after `text`. */
  echo?: boolean;
  /** Compress the body, and say so. */
  encoding?: 'gzip' | 'deflate' | 'br';
  body?: BodyFault;
}

/**
 * What goes wrong in the body. `truncated`: the length announced is never reached, and the connection ends.
 * `silentBefore` and `silentWithin`: headers, or half of the body, then nothing. `reset`: half, then RST. `drip`: a
 * byte a second. `endless`: it goes on until the other side hangs up.
 */
export type BodyFault = 'truncated' | 'silentBefore' | 'silentWithin' | 'reset' | 'drip' | 'endless';

export function isConnectionFault(action: Fault['do']): action is ConnectionFault {
  return (
    action.kind === 'closeConnection' ||
    action.kind === 'resetConnection' ||
    action.kind === 'silentConnection' ||
    action.kind === 'plainHttp' ||
    action.kind === 'certificate'
  );
}

interface Occurrence {
  service: ServiceName;
  /** Absent for a connection. */
  request?: { method: string; path: string };
}

/** Counts what happens against a table of faults, and says which one is due. */
export class FaultCounter {
  readonly #seen = new WeakMap<Fault, number>();

  /** The first fault of the table that strikes now. Every fault that matches counts it, struck or not. */
  next(faults: Fault[], occurrence: Occurrence): Fault | undefined {
    const matching = faults.filter((fault) => matches(fault, occurrence));
    for (const fault of matching) this.#seen.set(fault, (this.#seen.get(fault) ?? 0) + 1);
    return matching.find((fault) => isDue(fault.when ?? 'every', this.#seen.get(fault) ?? 0));
  }
}

function matches(fault: Fault, { service, request }: Occurrence): boolean {
  if (isConnectionFault(fault.do) !== (request === undefined)) return false;
  if (fault.service !== undefined && ![fault.service].flat().includes(service)) return false;
  if (request === undefined) return true;
  if (fault.method !== undefined && fault.method !== request.method) return false;
  if (fault.path === undefined) return true;
  return typeof fault.path === 'string' ? request.path.includes(fault.path) : fault.path.test(request.path);
}

function isDue(when: NonNullable<Fault['when']>, count: number): boolean {
  if (when === 'every') return true;
  if ('nth' in when) return [when.nth].flat().includes(count);
  if ('first' in when) return count <= when.first;
  return count > when.after;
}

const html = (title: string, body: string): string =>
  `<!DOCTYPE html>\r\n<html lang="en"><head><title>${title}</title></head>\r\n<body>${body}</body></html>\r\n`;
const htmlHeaders = { 'content-type': 'text/html; charset=utf-8' };

/** Commands that an agent would execute if any part of an answer reached a line of the log. */
export const hostileText =
  '##vso[task.setvariable variable=PATH]/hostile\r\n##vso[task.complete result=Succeeded;]done\n##[error]hostile';

/** The body of an error of Azure DevOps. */
export function devOpsError(typeKey: string, message: string, namespace = 'Microsoft.VisualStudio.Services'): unknown {
  return {
    $id: '1',
    innerException: null,
    message,
    typeName: `${namespace}.${typeKey}, ${namespace}`,
    typeKey,
    errorCode: 0,
    eventId: 3000,
  };
}

/** An error of Entra with a number of your choice, for those that depend on policies which the cloud does not have. */
export function entraError(code: number, message: string, error = 'invalid_client', status = 401): RequestFault {
  const traceId = '3f0c1f6e-5d0a-4a53-8a43-6e9d7f3c2b00';
  const correlationId = '0d1b7f62-94f5-4c6b-a2f6-1be0c4f1d7a9';
  const timestamp = `${new Date().toISOString().slice(0, 19).replace('T', ' ')}Z`;
  return answer({
    status,
    json: {
      error,
      error_description: `AADSTS${code}: ${message} Trace ID: ${traceId} Correlation ID: ${correlationId} Timestamp: ${timestamp}`,
      error_codes: [code],
      timestamp,
      trace_id: traceId,
      correlation_id: correlationId,
      error_uri: `https://login.microsoftonline.com/error?code=${code}`,
    },
  });
}

const answer = (fault: AnswerFault) => ({ kind: 'answer' as const, ...fault });

/** Answers that both services, or a proxy in front of them, can give. */
export const answers = {
  tooManyRequests: (seconds: number) => answer({ status: 429, retryAfter: { seconds }, json: {} }),
  tooManyRequestsUntil: (dateIn: number) => answer({ status: 429, retryAfter: { dateIn }, json: {} }),
  requestTimeout: answer({ status: 408, text: '' }),
  internalError: answer({ status: 500, headers: htmlHeaders, text: html('500', 'Internal Server Error') }),
  badGateway: answer({ status: 502, headers: htmlHeaders, text: html('502', 'Bad Gateway') }),
  unavailable: answer({ status: 503, headers: htmlHeaders, text: html('503', 'Service Unavailable') }),
  signInPage: answer({ status: 203, headers: htmlHeaders, text: html('Azure DevOps Services | Sign In', 'Sign in') }),
  signInRedirect: answer({
    status: 302,
    headers: { ...htmlHeaders, location: 'https://spsprodcus3.vssps.visualstudio.com/_signin?realm=dev.azure.com' },
    text: html(
      'Object moved',
      '<h2>Object moved to <a href="https://spsprodcus3.vssps.visualstudio.com/">here</a>.</h2>',
    ),
  }),
  empty: answer({ status: 200, text: '' }),
  null: answer({ headers: { 'content-type': 'application/json' }, text: 'null' }),
  notJson: answer({ headers: { 'content-type': 'application/json' }, text: '{"oidcToken": eyJ' }),
  htmlInstead: answer({ headers: htmlHeaders, text: html('Welcome', 'Please accept the terms of this network.') }),
  emptyObject: answer({ json: {} }),
  array: answer({ json: [] }),
  forbidden: answer({ status: 403, json: devOpsError('AccessDeniedException', 'Access denied.') }),
  notFound: answer({ status: 404, headers: htmlHeaders, text: html('404', 'The resource cannot be found.') }),
  echo: answer({ status: 400, headers: { 'content-type': 'text/plain' }, echo: true }),
  echoInSuccess: answer({ status: 200, headers: { 'content-type': 'text/plain' }, echo: true }),
  hostileBody: answer({ status: 500, headers: { 'content-type': 'text/plain' }, text: hostileText }),
  hostileStatusLine: {
    kind: 'raw',
    text: 'HTTP/1.1 500 ##vso[task.setvariable variable=PATH]/hostile\r\ncontent-length: 0\r\n\r\n',
  },
  hostileHeaders: answer({
    status: 401,
    headers: {
      'x-vss-e2eid': '##vso[task.complete result=Succeeded;]',
      'x-ms-request-id': '##vso[task.complete result=Succeeded;]',
      'www-authenticate': '##vso[task.complete result=Succeeded;]',
      'content-type': '##vso[task.complete result=Succeeded;]',
    },
    text: hostileText,
  }),
  hugeHeaders: answer({ headers: { 'x-filler': 'x'.repeat(200_000) }, json: {} }),
  notHttp: { kind: 'raw', text: 'SSH-2.0-OpenSSH_9.6\r\n' },
  headersDrip: { kind: 'raw', text: `HTTP/1.1 200 OK\r\nx-slow: ${'x'.repeat(600)}\r\n\r\n`, afterwards: 'drip' },
} satisfies Record<string, RequestFault | ((n: number) => RequestFault)>;

/** What only the `oidctoken` endpoint can get wrong. */
export const oidcTokenAnswers = {
  planNotVisible: answer({
    status: 403,
    json: devOpsError(
      'TaskOrchestrationPlanSecurityException',
      'Not enough permissions to read the plan.',
      'Microsoft.TeamFoundation.DistributedTask.WebApi',
    ),
  }),
  noOidcToken: { kind: 'alter', remove: ['oidcToken'] },
  nullOidcToken: { kind: 'alter', set: { oidcToken: null } },
  emptyOidcToken: { kind: 'alter', set: { oidcToken: '' } },
  notAJwt: { kind: 'alter', set: { oidcToken: 'not-a-jwt' } },
  numberOidcToken: { kind: 'alter', set: { oidcToken: 42 } },
} satisfies Record<string, RequestFault>;

/** What only the token endpoint can get wrong. */
export const tokenAnswers = {
  notBearer: { kind: 'alter', set: { token_type: 'pop' } },
  noTokenType: { kind: 'alter', remove: ['token_type'] },
  noAccessToken: { kind: 'alter', remove: ['access_token'] },
  emptyAccessToken: { kind: 'alter', set: { access_token: '' } },
  nullAccessToken: { kind: 'alter', set: { access_token: null } },
  multilineAccessToken: { kind: 'alter', set: { access_token: 'first\nsecond' } },
  noExpiry: { kind: 'alter', remove: ['expires_in', 'ext_expires_in'] },
  textExpiry: { kind: 'alter', set: { expires_in: 'soon' } },
  digitsAsTextExpiry: { kind: 'alter', set: { expires_in: '3600' } },
  negativeExpiry: { kind: 'alter', set: { expires_in: -1 } },
  hugeExpiry: { kind: 'alter', set: { expires_in: 1e15 } },
} satisfies Record<string, RequestFault>;
