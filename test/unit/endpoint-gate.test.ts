import './build-constants.ts';
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Asked, judge } from '../../tasks/EntraTokenV1/endpoint/gate.ts';

const HOST = '127.0.0.1:41741';
const secrets = { accessTokens: 'secret-of-access-tokens', idTokens: 'secret-of-id-tokens' };
const withSecret = { host: [HOST], 'x-identity-header': [secrets.accessTokens] };
const withToken = { host: [HOST], authorization: [`Bearer ${secrets.idTokens}`] };

type Headers = Record<string, string[] | undefined>;

function statusOf(
  asked: Partial<Asked> & { headers?: Headers },
  known: Partial<typeof secrets> = secrets,
): number | string {
  const judged = judge({ method: 'GET', target: '/token?a=b', headers: withSecret, ...asked }, HOST, known);
  return 'refusal' in judged ? judged.refusal.status : judged.kind;
}

describe('who asks the endpoint', () => {
  for (const { title, headers } of [
    { title: 'nobody who says who they are', headers: {} },
    { title: 'nobody with an empty secret', headers: { 'x-identity-header': [''] } },
    { title: 'nobody with a wrong secret', headers: { 'x-identity-header': ['secret-of-access-tokenz'] } },
    { title: 'nobody with a part of it', headers: { 'x-identity-header': ['secret-of-access-token'] } },
    { title: 'nobody with more than it', headers: { 'x-identity-header': ['secret-of-access-tokens '] } },
    {
      title: 'nobody with the secret twice',
      headers: { 'x-identity-header': [secrets.accessTokens, secrets.accessTokens] },
    },
    { title: 'nobody with the other secret', headers: { 'x-identity-header': [secrets.idTokens] } },
    {
      title: 'nobody with the other secret as a bearer',
      headers: { authorization: [`Bearer ${secrets.accessTokens}`] },
    },
    { title: 'nobody with another scheme', headers: { authorization: [`Basic ${secrets.idTokens}`] } },
    { title: 'nobody with the header of an older protocol', headers: { secret: [secrets.accessTokens] } },
  ]) {
    it(`is ${title}: 401, whatever else is wrong`, () => {
      assert.equal(statusOf({ headers: { host: [HOST], ...headers } }), 401);
      assert.equal(
        statusOf({ method: 'DELETE', target: 'x', headers: { ...headers, host: ['evil'], origin: ['x'] } }),
        401,
      );
    });
  }

  it('is nobody where nothing of the kind is served', () => {
    assert.equal(statusOf({}, { idTokens: secrets.idTokens }), 401);
    assert.equal(statusOf({ headers: { ...withSecret, 'x-identity-header': [''] } }, {}), 401);
    assert.equal(
      statusOf({ target: '/id-token?a=b', headers: withToken }, { accessTokens: secrets.accessTokens }),
      401,
    );
  });

  it('is whoever has the secret', () => {
    assert.equal(statusOf({}), 'accessTokens');
    assert.equal(statusOf({ target: '/id-token?api-version=2.0', headers: withToken }), 'idTokens');
    assert.equal(
      statusOf({ target: '/id-token', headers: { ...withToken, authorization: [`bearer ${secrets.idTokens}`] } }),
      'idTokens',
    );
  });

  it('is no one who asks for the other kind', () => {
    assert.equal(statusOf({ target: '/id-token?a=b' }), 400);
    assert.equal(statusOf({ headers: withToken }), 400);
  });
});

describe('a request with the secret', () => {
  for (const host of [
    'localhost:41741',
    '127.0.0.1',
    '127.0.0.1:41742',
    '127.1:41741',
    'evil.example:41741',
    `${HOST}.`,
  ]) {
    it(`to ${host} is refused`, () => assert.equal(statusOf({ headers: { ...withSecret, host: [host] } }), 400));
  }
  it('without a host, or with two, is refused', () => {
    assert.equal(statusOf({ headers: { ...withSecret, host: undefined } }), 400);
    assert.equal(statusOf({ headers: { ...withSecret, host: [HOST, HOST] } }), 400);
  });

  for (const header of [
    'origin',
    'sec-fetch-site',
    'sec-fetch-dest',
    'sec-fetch-user',
    'x-forwarded-for',
    'x-forwarded-host',
    'x-forwarded',
    'forwarded',
    'via',
  ]) {
    it(`and ${header} is refused, also where that is empty`, () => {
      assert.equal(statusOf({ headers: { ...withSecret, [header]: ['cors'] } }), 400);
      assert.equal(statusOf({ headers: { ...withSecret, [header]: [''] } }), 400);
    });
  }
  it('and the one header that Node’s fetch sends is answered, and is refused with another value', () => {
    assert.equal(statusOf({ headers: { ...withSecret, 'sec-fetch-mode': ['cors'] } }), 'accessTokens');
    assert.equal(statusOf({ headers: { ...withSecret, 'sec-fetch-mode': ['no-cors'] } }), 400);
    assert.equal(
      statusOf({ headers: { ...withSecret, 'sec-fetch-mode': ['cors'], 'sec-fetch-site': ['same-origin'] } }),
      400,
    );
  });

  for (const method of ['POST', 'HEAD', 'OPTIONS', 'PUT', 'DELETE', 'get', 'TRACE']) {
    it(`of the method ${method} is refused`, () => assert.equal(statusOf({ method }), 405));
  }

  it('with a body is refused, and with a body of no length is not', () => {
    assert.equal(statusOf({ headers: { ...withSecret, 'content-length': ['1'] } }), 400);
    assert.equal(statusOf({ headers: { ...withSecret, 'transfer-encoding': ['chunked'] } }), 400);
    assert.equal(statusOf({ headers: { ...withSecret, 'content-length': ['0'] } }), 'accessTokens');
  });

  for (const target of [
    '/',
    '/Token',
    '/token/',
    '//token',
    '/./token',
    '/%74oken',
    `http://${HOST}/token`,
    '*',
    '/token;a',
  ]) {
    it(`for ${target} is refused, and not by a status that clients repeat`, () =>
      assert.equal(statusOf({ target }), 400));
  }

  it('has its whole query read', () => {
    const judged = judge({ method: 'GET', target: '/token?resource=a%3F&b=c?d', headers: withSecret }, HOST, secrets);
    assert.ok('query' in judged);
    assert.deepEqual(
      [...judged.query],
      [
        ['resource', 'a?'],
        ['b', 'c?d'],
      ],
    );
  });
});
