import type { Fault } from '../cloud/cloud.ts';
import { answers, entraError, oidcTokenAnswers, tokenAnswers } from '../cloud/faults.ts';

/** A fault that strikes one service at one moment, and what the step then owes its user. */
export interface Place {
  moment: 'before the connection' | 'after the request' | 'in the headers' | 'in the body';
  name: string;
  do: Fault['do'];
  /** Worth another try. Everything else ends the step with its one request. */
  transient: boolean;
  /** The code of the red line, by service; a service that is absent cannot do this. */
  code: { devops?: string; entra?: string };
  /** The try takes the ten seconds that a try may take. */
  slow?: true;
  /** Left to the soak: another row is much the same. */
  rare?: true;
  /** The services at which `npm test` too lets it last to the end of the budget; the soak does so at both. */
  lastingAt?: readonly Service[];
}

export type Service = 'devops' | 'entra';

const both = (code: string): Place['code'] => ({ devops: code, entra: code });
const notTheService = { devops: 'ET_DEVOPS_ANSWER', entra: 'ET_ENTRA_ANSWER' };
const unavailable = { devops: 'ET_DEVOPS_UNAVAILABLE', entra: 'ET_ENTRA_UNAVAILABLE' };
const throttled = { devops: 'ET_DEVOPS_THROTTLED', entra: 'ET_ENTRA_THROTTLED' };
const status = (code: number, json: unknown = {}): Fault['do'] => ({ kind: 'answer', status: code, json });

const beforeTheConnection: Omit<Place, 'moment'>[] = [
  {
    name: 'it is closed',
    do: { kind: 'closeConnection' },
    transient: true,
    lastingAt: ['entra'],
    code: both('ET_CONNECTION'),
  },
  { name: 'it is reset', do: { kind: 'resetConnection' }, transient: true, code: both('ET_CONNECTION'), rare: true },
  {
    name: 'it is silent',
    do: { kind: 'silentConnection' },
    transient: true,
    slow: true,
    lastingAt: ['devops'],
    code: both('ET_TIMEOUT'),
  },
  { name: 'no TLS is spoken', do: { kind: 'plainHttp' }, transient: false, code: both('ET_TLS') },
  ...(['selfSigned', 'otherAuthority', 'otherName', 'expired'] as const).map((which) => ({
    name: `the certificate is wrong: ${which}`,
    do: { kind: 'certificate' as const, which },
    transient: false,
    code: both('ET_CERTIFICATE'),
    ...(which === 'otherAuthority' || which === 'otherName' ? {} : { rare: true as const }),
  })),
];

const afterTheRequest: Omit<Place, 'moment'>[] = [
  { name: 'the connection is closed', do: { kind: 'close' }, transient: true, code: both('ET_CONNECTION') },
  { name: 'the connection is reset', do: { kind: 'reset' }, transient: true, code: both('ET_CONNECTION') },
  {
    name: 'nothing comes',
    do: { kind: 'silence' },
    transient: true,
    slow: true,
    lastingAt: ['entra'],
    code: both('ET_TIMEOUT'),
  },
];

const inTheHeaders: Omit<Place, 'moment'>[] = [
  ...[500, 502, 503, 504, 507, 599].map((number) => ({
    name: `status ${number}`,
    do: status(number),
    transient: true,
    code: unavailable,
    ...(number === 503 ? { lastingAt: ['devops'] as const } : { rare: true as const }),
  })),
  { name: 'status 408', do: status(408), transient: true, code: unavailable },
  { name: 'status 429', do: status(429), transient: true, lastingAt: ['entra'], code: throttled },
  {
    name: 'the plan is not visible yet',
    do: oidcTokenAnswers.planNotVisible,
    transient: true,
    lastingAt: ['devops'],
    code: { devops: 'ET_DEVOPS_FORBIDDEN' },
  },
  {
    name: 'status 503 with an AADSTS number',
    do: entraError(90033, 'A transient error has occurred.', 'temporarily_unavailable', 503),
    transient: true,
    code: { entra: 'ET_ENTRA_UNAVAILABLE' },
    rare: true,
  },
  {
    name: 'status 400 with temporarily_unavailable (microsoft-authentication-library-for-dotnet #3661)',
    do: entraError(90033, 'A transient error has occurred.', 'temporarily_unavailable', 400),
    transient: true,
    code: { entra: 'ET_ENTRA_UNAVAILABLE' },
  },
  ...[301, 302, 303, 307, 308].map((number) => ({
    name: `status ${number}, to another place`,
    do: { kind: 'answer' as const, status: number, headers: { location: 'https://localhost:1/elsewhere' } },
    transient: false,
    code: { devops: 'ET_DEVOPS_UNAUTHORIZED', entra: 'ET_ENTRA_ANSWER' },
    ...(number === 307 ? {} : { rare: true as const }),
  })),
  ...[304, 400, 402, 409, 410, 412, 415, 422, 451].map((number) => ({
    name: `status ${number} with nothing to go by`,
    do: status(number),
    transient: false,
    code: {
      devops: number === 304 ? 'ET_DEVOPS_UNAUTHORIZED' : 'ET_DEVOPS_ANSWER',
      entra: 'ET_ENTRA_ANSWER',
    },
    ...(number === 400 ? {} : { rare: true as const }),
  })),
  { name: 'status 401', do: status(401), transient: false, code: { devops: 'ET_DEVOPS_UNAUTHORIZED' } },
  {
    name: 'status 203, a sign-in page',
    do: answers.signInPage,
    transient: false,
    code: { devops: 'ET_DEVOPS_UNAUTHORIZED' },
  },
  { name: 'status 403', do: answers.forbidden, transient: false, code: { devops: 'ET_DEVOPS_FORBIDDEN' } },
  {
    name: 'status 404',
    do: answers.notFound,
    transient: false,
    code: { devops: 'ET_DEVOPS_NO_ENDPOINT', entra: 'ET_ENTRA_ANSWER' },
  },
  {
    name: 'status 400 with an AADSTS number that nobody knows',
    do: entraError(7777777, 'Something new.', 'invalid_request', 400),
    transient: false,
    code: { entra: 'ET_ENTRA_REFUSED' },
  },
  {
    name: 'status 400 with an error and no number',
    do: status(400, { error: 'unauthorized_client' }),
    transient: false,
    code: { entra: 'ET_ENTRA_REFUSED' },
    rare: true,
  },
  { name: 'status 204', do: { kind: 'answer', status: 204 }, transient: false, code: notTheService, rare: true },
  {
    name: 'status 101, to another protocol',
    do: {
      kind: 'raw',
      text: 'HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n',
      afterwards: 'silence',
    },
    transient: false,
    code: notTheService,
  },
  { name: 'no HTTP is spoken', do: answers.notHttp, transient: false, code: notTheService },
  { name: 'there are too many', do: answers.hugeHeaders, transient: false, code: notTheService },
  {
    name: 'they come a byte a second',
    do: answers.headersDrip,
    transient: true,
    slow: true,
    lastingAt: ['devops'],
    code: both('ET_TIMEOUT'),
  },
  {
    name: 'they end in their middle',
    do: { kind: 'raw', text: 'HTTP/1.1 200 OK\r\ncontent-le' },
    transient: true,
    code: both('ET_CONNECTION'),
  },
];

const inTheBody: Omit<Place, 'moment'>[] = [
  {
    name: 'it ends too early',
    do: { kind: 'alter', body: 'truncated' },
    transient: true,
    lastingAt: ['devops'],
    code: both('ET_CONNECTION'),
  },
  {
    name: 'the connection is reset',
    do: { kind: 'alter', body: 'reset' },
    transient: true,
    code: both('ET_CONNECTION'),
  },
  {
    name: 'it never begins',
    do: { kind: 'alter', body: 'silentBefore' },
    transient: true,
    slow: true,
    code: both('ET_TIMEOUT'),
    rare: true,
  },
  {
    name: 'it stops in its middle',
    do: { kind: 'alter', body: 'silentWithin' },
    transient: true,
    slow: true,
    code: both('ET_TIMEOUT'),
  },
  {
    name: 'it comes a byte a second',
    do: { kind: 'alter', body: 'drip' },
    transient: true,
    slow: true,
    lastingAt: ['entra'],
    code: both('ET_TIMEOUT'),
  },
  { name: 'it never ends', do: { kind: 'answer', text: '{"', body: 'endless' }, transient: false, code: notTheService },
  { name: 'it is empty', do: answers.empty, transient: false, code: notTheService },
  { name: 'it is null', do: answers.null, transient: false, code: notTheService, rare: true },
  { name: 'it is a list', do: answers.array, transient: false, code: notTheService, rare: true },
  { name: 'it is an empty object', do: answers.emptyObject, transient: false, code: notTheService, rare: true },
  { name: 'it is cut JSON', do: answers.notJson, transient: false, code: notTheService },
  { name: 'it is a page of HTML', do: answers.htmlInstead, transient: false, code: notTheService },
  {
    name: 'it is compressed, which was not asked for',
    do: { kind: 'answer', json: { oidcToken: 'x', access_token: 'x' }, encoding: 'gzip' },
    transient: false,
    code: notTheService,
    rare: true,
  },
  ...Object.entries(oidcTokenAnswers)
    .filter(([name]) => name !== 'planNotVisible')
    .map(([name, fault]) => ({ name, do: fault, transient: false, code: { devops: 'ET_DEVOPS_ANSWER' } })),
  ...Object.entries(tokenAnswers)
    .filter(([name]) => name !== 'digitsAsTextExpiry')
    .map(([name, fault]) => ({ name, do: fault, transient: false, code: { entra: 'ET_ENTRA_ANSWER' } })),
  {
    name: 'a token that would blot out the log',
    do: { kind: 'alter', set: { access_token: 'a' } },
    transient: false,
    code: { entra: 'ET_ENTRA_ANSWER' },
  },
];

/** All of them. What must be told apart is told apart; a row of its own for each is the table's point. */
export const places: readonly Place[] = [
  ...beforeTheConnection.map((place) => ({ moment: 'before the connection' as const, ...place })),
  ...afterTheRequest.map((place) => ({ moment: 'after the request' as const, ...place })),
  ...inTheHeaders.map((place) => ({ moment: 'in the headers' as const, ...place })),
  ...inTheBody.map((place) => ({ moment: 'in the body' as const, ...place })),
];

/** One row of the table: a place at a service, on the first try alone or on every one. */
export interface Row {
  name: string;
  place: Place;
  service: Service;
  tries: 'first' | 'every';
  fault: Fault;
  expected: { result: 'Succeeded' | 'Failed'; code: string | undefined };
}

/** The rows of the table. A fault that is final is the same on the first try and on every one. */
export const rows: readonly Row[] = places.flatMap((place) =>
  (['devops', 'entra'] as const).flatMap((service) => {
    const code = place.code[service];
    if (code === undefined) return [];
    return (place.transient ? (['first', 'every'] as const) : (['every'] as const)).map((tries): Row => {
      const recovers = tries === 'first';
      return {
        name: `${service}, ${place.moment}: ${place.name}${place.transient ? `, on ${tries} try` : ''}`,
        place,
        service,
        tries,
        fault: { service, do: place.do, ...(recovers ? { when: { first: 1 } } : {}) },
        expected: recovers ? { result: 'Succeeded', code: undefined } : { result: 'Failed', code },
      };
    });
  }),
);
