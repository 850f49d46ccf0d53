import { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import { AdoHttpClient, AdoRestClient } from 'azure-devops-node-api/AdoHttpClientBases.js';
import { BearerCredentialHandler } from 'azure-devops-node-api/handlers/bearertoken.js';
import { codeOfDevOpsNumber } from '../failure/catalogue.ts';
import { Failure } from '../failure/failure.ts';
import type { Answer } from '../network/post.ts';
import { isTransientStatus } from '../network/retry.ts';
import type { Send } from '../network/wire.ts';
import { isRecord } from '../text/json.ts';
import type { Mask, Secret } from '../text/secret.ts';
import { type IdToken, readIdToken } from './id-token.ts';

/** The parameters of the request. Plain data except the token, so that they can be sent to the background process. */
export interface IdTokenRequest {
  /** The address of the job's `oidctoken` endpoint, without a query. */
  readonly address: string;
  readonly jobToken: Secret;
  /** The connection whose identity the token is for; undefined for the pipeline's own. */
  readonly serviceConnectionId: string | undefined;
}

/** An ID token, and how far the clock of Azure DevOps is ahead of ours (milliseconds), if its response says so. */
export interface FreshIdToken {
  readonly idToken: IdToken;
  readonly skewMs: number | undefined;
}

/** The released version of the endpoint; servers that have only its preview require the other name. */
const API_VERSIONS = ['7.1', '7.1-preview.1'] as const;

/** Identifies this task in the service's statistics; the build inserts the version. */
declare const TASK_VERSION: string;
const USER_AGENT = `EntraToken/${TASK_VERSION}`;

/**
 * Requests a new ID token from Azure DevOps. One request: the address is known, so the client library's look-up of
 * API locations is not needed. Throws a Failure for every response except JSON with a JWT in `oidcToken`.
 */
export async function requestIdToken(request: IdTokenRequest, send: Send, mask: Mask): Promise<FreshIdToken> {
  const url = new URL(request.address);
  if (request.serviceConnectionId !== undefined) {
    url.searchParams.set('serviceConnectionId', request.serviceConnectionId);
  }

  // The bearer handler by name: the library's own choice between PAT and bearer is a guess.
  const handlers = [new BearerCredentialHandler(request.jobToken.reveal(), false)];
  const rest = new AdoRestClient(USER_AGENT, '', handlers, { allowRedirects: false });
  const client = new OneAnswerClient(handlers, send);
  rest.client = client;

  const ask = (version: (typeof API_VERSIONS)[number]): ReturnType<typeof rest.create<unknown>> => {
    url.searchParams.set('api-version', version);
    // Without the header the service answers a stale token with a redirect to its sign-in page rather than a 401.
    return rest.create<unknown>(url.href, {}, { additionalHeaders: { 'X-TFS-FedAuthRedirect': 'Suppress' } });
  };
  const [released, preview] = API_VERSIONS;
  const response = await ask(released).catch((error: unknown) => {
    if (error instanceof PreviewOnly) {
      return ask(preview);
    }
    throw error;
  });
  const token = isRecord(response.result) ? response.result['oidcToken'] : undefined;
  if (typeof token !== 'string' || token === '') {
    throw new Failure(
      'ET_DEVOPS_ANSWER',
      'Azure DevOps answered HTTP 200 without an ID token (no oidcToken in the JSON).',
    );
  }
  const idToken = readIdToken(token, mask);
  if (idToken === undefined) {
    throw new Failure(
      'ET_DEVOPS_ANSWER',
      'Azure DevOps answered with an oidcToken that is not an ID token (not a JWT).',
    );
  }
  return { idToken, skewMs: client.skewMs };
}

/**
 * The library's HTTP client over our own. The library turns a 404, and a 2xx that is not JSON, into a null result,
 * and other statuses into an error with the service's own text; so the response is checked here first.
 */
class OneAnswerClient extends AdoHttpClient {
  readonly #send: Send;
  skewMs: number | undefined;

  constructor(handlers: BearerCredentialHandler[], send: Send) {
    // An empty proxy keeps the library from reading one from the environment; our HTTP client has the proxy.
    super(USER_AGENT, handlers, { allowRedirects: false, proxy: { proxyUrl: '' } });
    this.#send = send;
  }

  override async requestRaw(
    ...[info, data]: Parameters<AdoHttpClient['requestRaw']>
  ): ReturnType<AdoHttpClient['requestRaw']> {
    const headers: Record<string, string> = {};
    for (const [name, value] of Object.entries(info.options.headers ?? {})) {
      headers[name] = String(value);
    }
    const answer = await this.#send({
      url: info.parsedUrl,
      headers,
      body: String(data),
      service: 'Azure DevOps',
      isTransient: isPlanNotVisibleYet,
    });
    judge(answer);
    this.skewMs = answer.skewMs;
    const message = new IncomingMessage(new Socket());
    message.statusCode = answer.status;
    return { message, readBody: () => Promise.resolve(answer.body) };
  }
}

/** The server has only the preview of the endpoint. */
class PreviewOnly extends Failure {}

/** The agent itself retries while a new plan is not visible yet (agent: ContainerOperationProvider). */
function isPlanNotVisibleYet(answer: Answer): boolean {
  return answer.status >= 400 && /\bTaskOrchestrationPlanSecurityException\b/.test(answer.body);
}

function isPreviewOnly(answer: Answer): boolean {
  return (
    answer.status >= 400 && /\bVssInvalidPreviewVersionException\b|-preview flag must be supplied/i.test(answer.body)
  );
}

function judge(answer: Answer): void {
  const { status } = answer;
  if (status === 200 && isJson(answer)) {
    return;
  }
  const exception = exceptionOf(answer);
  const ids = supportIds(answer);
  const named = [exception.number, exception.type].filter((name) => name !== undefined).join(', ');
  const said = named === '' ? `HTTP ${status}` : `HTTP ${status} (${named})`;
  const saidInstead = exception.type === undefined ? `${said} with ${contentType(answer)}` : said;
  const effort = answer.tries > 1 ? ` to the last of ${answer.tries} tries` : '';
  const refuse = (code: ConstructorParameters<typeof Failure>[0], what: string): Failure =>
    new Failure(code, `Azure DevOps ${what}${effort}${ids}.`);

  if (exception.aboutConnection !== undefined) {
    throw refuse('ET_DEVOPS_CONNECTION_REFUSED', `answered ${said}: ${exception.aboutConnection}`);
  }
  if (status === 200 && answer.body.trim() === '') {
    throw refuse('ET_DEVOPS_ANSWER', 'answered HTTP 200 with an empty body');
  }
  const codeOfNumber = codeOfDevOpsNumber(exception.number);
  if (codeOfNumber !== undefined && !isTransientStatus(status)) {
    throw refuse(codeOfNumber, `answered ${said}`);
  }
  if (status === 401) {
    throw refuse('ET_DEVOPS_UNAUTHORIZED', `answered ${said}`);
  }
  if (status === 203 || isRedirect(status)) {
    const page = `HTTP ${status} with ${contentType(answer)}, its sign-in page instead of an ID token`;
    throw refuse('ET_DEVOPS_UNAUTHORIZED', `answered ${page}`);
  }
  if (status === 403) {
    throw refuse('ET_DEVOPS_FORBIDDEN', `answered ${said}`);
  }
  if (status === 404 || status === 405) {
    // A 404 that names an exception comes from a server that knows the route, unless the exception is about the route.
    const refused = exception.type !== undefined && !/ResourceNotFound|Controller|Route/.test(exception.type);
    throw refuse(refused ? 'ET_DEVOPS_REFUSED' : 'ET_DEVOPS_NO_ENDPOINT', `answered ${saidInstead}`);
  }
  if (status === 429) {
    throw refuse('ET_DEVOPS_THROTTLED', `answered ${said}`);
  }
  if (status === 408 || status >= 500) {
    throw refuse('ET_DEVOPS_UNAVAILABLE', `answered ${said}`);
  }
  if (isPreviewOnly(answer)) {
    throw new PreviewOnly('ET_DEVOPS_REFUSED', `Azure DevOps answered ${said}${effort}${ids}.`);
  }
  if (status >= 400 && exception.type !== undefined) {
    throw refuse('ET_DEVOPS_REFUSED', `answered ${said}`);
  }
  throw refuse('ET_DEVOPS_ANSWER', `answered ${saidInstead} instead of an ID token`);
}

function isRedirect(status: number): boolean {
  return status >= 300 && status <= 399;
}

function isJson(answer: Answer): boolean {
  try {
    JSON.parse(answer.body);
    return true;
  } catch {
    return false;
  }
}

interface ServiceException {
  /** The name of the service's exception, where the body is its JSON. */
  readonly type: string | undefined;
  /** The number by which the service knows it, as in its sentence: `TF400813`. */
  readonly number: string | undefined;
  /** What is wrong with the service connection, in our own words, if the exception is about it. */
  readonly aboutConnection: string | undefined;
}

/** The service's own sentence is read, but never shown. */
function exceptionOf(answer: Answer): ServiceException {
  const number = /\b(?:TF|VS)\d{5,6}\b/.exec(answer.body)?.[0];
  let body: unknown;
  try {
    body = JSON.parse(answer.body);
  } catch {
    return { type: undefined, number, aboutConnection: aboutConnection(answer) };
  }
  const record = isRecord(body) ? body : {};
  const key = [record['typeKey'], record['typeName']].find((name) => typeof name === 'string' && name !== '');
  const type =
    typeof key === 'string' ? /(?:^|\.)((?:[A-Z][a-z]{1,20}){1,12}Exception)(?:,|$)/.exec(key)?.[1] : undefined;
  return { type, number, aboutConnection: aboutConnection(answer) };
}

/** Only a few sentences are known, and none is guaranteed, so the match is broad. */
function aboutConnection({ status, body }: Answer): string | undefined {
  if (status < 400) {
    return undefined;
  }
  const connection = 'service[ -]?(?:connection|endpoint)(?:s|\\(s\\))?\\b';
  const says = (pattern: string): boolean => new RegExp(pattern, 'is').test(body);
  if (says(`no explicit reference to ${connection}`)) {
    return 'no task of this stage names the service connection in an input';
  }
  if (says(`no ${connection} found|${connection}.{0,120}?(?:not (?:be )?found|not exist|no longer exists|deleted)`)) {
    return 'it finds no such service connection';
  }
  if (says(`${connection}.{0,120}?disabled`)) {
    return 'the service connection is disabled';
  }
  return undefined;
}

/** The identifiers that Azure DevOps support asks for. */
function supportIds(answer: Answer): string {
  const guid = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
  const edge = /^Ref A: [0-9A-F]{32} Ref B: [A-Z0-9]{3,20} Ref C: \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/;
  const known: readonly (readonly [string, string, RegExp])[] = [
    ['x-vss-e2eid', 'activity', guid],
    ['activityid', 'activity', guid],
    ['x-msedge-ref', 'edge', edge],
  ];
  const ids = known.flatMap(([header, name, form]) => {
    const value = answer.headers[header];
    return typeof value === 'string' && form.test(value) ? [`${name} ${value}`] : [];
  });
  return ids.length === 0 ? '' : ` (${[...new Set(ids)].join(', ')})`;
}

function contentType(answer: Answer): string {
  const type = /^[a-z]+\/[a-z]+/i.exec(answer.headers['content-type'] ?? '')?.[0].toLowerCase() ?? '';
  const known = ['text/html', 'text/plain', 'text/xml', 'application/json', 'application/xml'];
  return known.includes(type) ? type : 'a body of another type';
}
