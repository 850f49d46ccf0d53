import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { decodeJwt } from 'jose';
import { type ClientAnswer, send } from './client.ts';
import { type Cloud, startCloud } from './cloud.ts';
import { askToken, tokenForm } from './tokens.ts';

let cloud: Cloud;
before(async () => {
  cloud = await startCloud();
});
after(() => cloud.close());

const elsewhere = 'ffffffff-0000-4000-8000-000000000000';
const idToken = () => cloud.issueIdToken({ connection: 'prod' });
const accessToken = (answer: ClientAnswer) => String(answer.json()['access_token']);

describe('an access token', () => {
  it('is for the resource, the tenant and the client that were asked for', async () => {
    const answer = await askToken(cloud, tokenForm(cloud, await idToken()));
    assert.equal(answer.status, 200, answer.text);
    const { access_token, ...rest } = answer.json();
    assert.deepEqual(rest, { token_type: 'Bearer', expires_in: 3600, ext_expires_in: 3600 });
    const claims = await cloud.verifyAccessToken(String(access_token));
    assert.equal(claims.aud, 'https://vault.azure.net');
    assert.equal(claims['tid'], cloud.tenantId);
    assert.equal(claims['appid'], cloud.clientId);
    assert.equal(claims.iss, `https://sts.windows.net/${cloud.tenantId}/`);
    assert.equal(claims['idtyp'], 'app');
    assert.equal(Number(claims.exp) - Number(claims.iat), 3600);
  });

  const scopes: [scope: string, audience: string, reason: string][] = [
    ['https://management.core.windows.net//.default', 'https://management.core.windows.net/', 'its slash is its own'],
    ['https://management.core.windows.net/.default', 'https://management.core.windows.net', 'and here it has none'],
    ['499b84ac-1321-427f-aa17-267ca6975798/.default', '499b84ac-1321-427f-aa17-267ca6975798', 'an application ID'],
    ['api://storefront/.default', 'api://storefront', 'an API of the tenant itself'],
  ];
  for (const [scope, audience, reason] of scopes) {
    it(`for ${scope} has the audience ${audience}: ${reason}`, async () => {
      const answer = await askToken(cloud, tokenForm(cloud, await idToken(), { scope }));
      assert.equal(decodeJwt(accessToken(answer)).aud, audience);
    });
  }

  it('comes more than once for one ID token', async () => {
    const assertion = await idToken();
    const [first, second] = await Promise.all([
      askToken(cloud, tokenForm(cloud, assertion)),
      askToken(cloud, tokenForm(cloud, assertion)),
    ]);
    assert.notEqual(accessToken(first), accessToken(second));
  });

  it('carries the client capabilities that the claims ask for, and lives longer', async () => {
    const claims = JSON.stringify({ access_token: { xms_cc: { values: ['CP1'] } } });
    const answer = await askToken(cloud, tokenForm(cloud, await idToken(), { claims }));
    assert.deepEqual(decodeJwt(accessToken(answer))['xms_cc'], ['CP1']);
    assert.equal(answer.json()['expires_in'], 86400);
    assert.equal(answer.json()['refresh_in'], 43200);
  });

  it('is issued to a tenant by its name, and to each source of ID tokens', async () => {
    const assertions = [
      await cloud.issueIdToken({ connection: 'prod-vstoken' }),
      await cloud.issueIdToken(),
      await cloud.kubernetes.issueToken(),
    ];
    for (const assertion of assertions) {
      const answer = await askToken(cloud, tokenForm(cloud, assertion), { tenant: 'contoso.onmicrosoft.com' });
      assert.equal(answer.status, 200, answer.text);
    }
  });

  it('is issued in another tenant to a multitenant application', async () => {
    const { clientId, otherTenantId } = cloud.multitenant;
    const assertion = await cloud.issueIdToken({ connection: 'multitenant' });
    const answer = await askToken(cloud, tokenForm(cloud, assertion, { client_id: clientId }), {
      tenant: otherTenantId,
    });
    assert.equal(decodeJwt(accessToken(answer))['tid'], otherTenantId);
  });

  for (const name of ['usGov', 'china'] as const) {
    it(`is issued in the cloud ${name} for its own audience`, async () => {
      const connection = name === 'usGov' ? cloud.connections.azureRMUSGov : cloud.connections.azureRMChina;
      const { serviceprincipalid: client_id = '', tenantid: tenant = '' } = connection.parameters;
      const scope = `${connection.data['activeDirectoryServiceEndpointResourceId']}/.default`;
      const assertion = await cloud.issueIdToken({ connection: connection.id });
      const form = tokenForm(cloud, assertion, { client_id, scope });
      const [right, wrong] = await Promise.all([
        askToken(cloud, form, { authority: cloud.authorities[name], tenant }),
        askToken(cloud, form, { authority: cloud.authorityUrl, tenant }),
      ]);
      assert.equal(right.status, 200, right.text);
      assert.deepEqual(wrong.json()['error_codes'], [90002]);
    });
  }
});

describe('a refusal', () => {
  type Ask = () => Promise<ClientAnswer>;
  const withForm =
    (fields: Record<string, string | undefined>): Ask =>
    async () =>
      askToken(cloud, tokenForm(cloud, await idToken(), fields));
  const withAssertion =
    (assertion: () => Promise<string>, fields: Record<string, string | undefined> = {}): Ask =>
    async () =>
      askToken(cloud, tokenForm(cloud, await assertion(), fields));
  const withClaims = (claims: Record<string, unknown>, connection = 'prod'): Ask =>
    withAssertion(() => cloud.issueIdToken({ connection, claims }));
  const seconds = () => Math.floor(cloud.now() / 1000);
  const gov = () => cloud.connections.azureRMUSGov.parameters;

  const cases: [code: number, status: number, error: string, reason: string, ask: Ask][] = [
    [700016, 400, 'unauthorized_client', 'no such application', withForm({ client_id: elsewhere })],
    [
      700016,
      400,
      'unauthorized_client',
      'the application is not in this tenant',
      async () => askToken(cloud, tokenForm(cloud, await idToken()), { tenant: cloud.multitenant.otherTenantId }),
    ],
    [
      90002,
      400,
      'invalid_request',
      'no such tenant',
      async () => askToken(cloud, tokenForm(cloud, await idToken()), { tenant: elsewhere }),
    ],
    [
      900023,
      400,
      'invalid_request',
      'neither an ID nor a domain',
      async () => askToken(cloud, tokenForm(cloud, await idToken()), { tenant: 'contoso' }),
    ],
    [500011, 400, 'invalid_resource', 'no such resource', withForm({ scope: 'https://nothing.example/.default' })],
    [1002012, 400, 'invalid_scope', 'no /.default', withForm({ scope: 'https://vault.azure.net' })],
    [
      70011,
      400,
      'invalid_scope',
      'two resources',
      withForm({ scope: 'https://vault.azure.net/.default https://graph.microsoft.com/.default' }),
    ],
    [900144, 400, 'invalid_request', 'no scope', withForm({ scope: undefined })],
    [900144, 400, 'invalid_request', 'no client', withForm({ client_id: undefined })],
    [900144, 400, 'invalid_request', 'no grant', withForm({ grant_type: undefined })],
    [70003, 400, 'unsupported_grant_type', 'another grant', withForm({ grant_type: 'urn:example' })],
    [7000216, 401, 'invalid_client', 'no assertion', withForm({ client_assertion: undefined })],
    [7000216, 401, 'invalid_client', 'an empty assertion', withForm({ client_assertion: '' })],
    [7000215, 401, 'invalid_client', 'a secret', withForm({ client_secret: 'guess' })],
    [900144, 400, 'invalid_request', 'another type of assertion', withForm({ client_assertion_type: 'saml' })],
    [9002313, 400, 'invalid_request', 'claims that are no JSON', withForm({ claims: '{' })],
    [9002313, 400, 'invalid_request', 'claims that are no object', withForm({ claims: '[]' })],
    [50027, 401, 'invalid_client', 'no JWT', withForm({ client_assertion: 'null' })],
    [50027, 401, 'invalid_client', 'a JWT without a subject', withClaims({ sub: undefined })],
    [
      50013,
      401,
      'invalid_client',
      'signed by nobody known',
      withAssertion(() => cloud.issueIdToken({ connection: 'prod', signedBy: 'stranger' })),
    ],
    [
      50013,
      401,
      'invalid_client',
      'changed after it was signed',
      withAssertion(async () => {
        const [header, , signature] = (await idToken()).split('.');
        const [, payload] = (await idToken()).split('.');
        return [header, payload, signature].join('.');
      }),
    ],
    [
      700024,
      401,
      'invalid_client',
      'expired',
      withClaims({ exp: 1_700_000_600, iat: 1_700_000_000, nbf: 1_700_000_000 }),
    ],
    [
      700024,
      401,
      'invalid_client',
      'expired a moment ago',
      async () => withClaims({ exp: seconds(), iat: seconds() - 600, nbf: seconds() - 600 })(),
    ],
    [
      700024,
      401,
      'invalid_client',
      'of the future',
      async () => withClaims({ nbf: seconds() + 60, exp: seconds() + 600 })(),
    ],
    [
      70023,
      401,
      'invalid_client',
      'valid for more than 25 hours',
      async () => withClaims({ exp: seconds() + 90_060 })(),
    ],
    [
      700211,
      401,
      'invalid_client',
      'an issuer that nobody trusts',
      withClaims({ iss: 'https://vstoken.dev.azure.com/00000000-0000-4000-8000-000000000000' }, 'prod-vstoken'),
    ],
    [
      70021,
      401,
      'invalid_client',
      'a slash at the end of the issuer',
      withAssertion(async () => {
        const issuer = cloud.kubernetes.issuer.replace(/\/$/, '');
        return cloud.kubernetes.issueToken({ claims: { iss: issuer } });
      }),
    ],
    [
      700213,
      401,
      'invalid_client',
      'a subject that differs in case',
      withClaims({ sub: 'sc://contoso/Storefront/prod-vstoken' }, 'prod-vstoken'),
    ],
    [
      700213,
      401,
      'invalid_client',
      'another service account',
      withAssertion(() => cloud.kubernetes.issueToken({ claims: { sub: 'system:serviceaccount:default:default' } })),
    ],
    [700212, 401, 'invalid_client', 'another audience', withClaims({ aud: 'api://AzureADTokenExchangeUSGov' })],
    [
      700212,
      401,
      'invalid_client',
      'a token for an identity binding, outside its proxy',
      withAssertion(() => cloud.kubernetes.issueToken({ audience: 'api://AKSIdentityBinding' })),
    ],
    [
      700212,
      401,
      'invalid_client',
      'the audience of the public cloud in another one',
      async () => {
        const form = tokenForm(cloud, await cloud.kubernetes.issueToken(), { client_id: gov()['serviceprincipalid'] });
        return askToken(cloud, form, { authority: cloud.authorities.usGov, tenant: String(gov()['tenantid']) });
      },
    ],
    [
      900382,
      401,
      'invalid_client',
      'a connection on the issuer of Entra in another cloud',
      async () => {
        const form = tokenForm(cloud, await idToken(), { client_id: gov()['serviceprincipalid'] });
        return askToken(cloud, form, { authority: cloud.authorities.usGov, tenant: String(gov()['tenantid']) });
      },
    ],
    [
      70052,
      401,
      'invalid_client',
      'the issuer of Entra and a multitenant application in its second tenant',
      async () => {
        const { clientId, otherTenantId } = cloud.multitenant;
        return askToken(cloud, tokenForm(cloud, await idToken(), { client_id: clientId }), { tenant: otherTenantId });
      },
    ],
    [
      700222,
      401,
      'invalid_client',
      'an access token as assertion',
      withAssertion(async () => accessToken(await askToken(cloud, tokenForm(cloud, await idToken())))),
    ],
    [
      700021,
      401,
      'invalid_client',
      'an assertion of another application',
      withClaims({ iss: elsewhere, sub: elsewhere }),
    ],
    [
      700023,
      401,
      'invalid_client',
      'an assertion that the application signed for somebody else',
      async () => withClaims({ iss: cloud.clientId, sub: cloud.clientId })(),
    ],
  ];
  for (const [code, status, error, reason, ask] of cases) {
    it(`AADSTS${code}: ${reason}`, async () => {
      const answer = await ask();
      const body = answer.json();
      assert.deepEqual(body['error_codes'], [code], answer.text);
      assert.equal(answer.status, status);
      assert.equal(body['error'], error);
      assert.match(
        String(body['error_description']),
        new RegExp(
          `^AADSTS${code}: .+ Trace ID: [0-9a-f-]{36} Correlation ID: [0-9a-f-]{36} Timestamp: \\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\dZ$`,
        ),
      );
      assert.equal(body['trace_id'], answer.headers['x-ms-request-id']);
      assert.ok(String(body['error_uri']).endsWith(`/error?code=${code}`));
    });
  }

  it('AADSTS700231: a token that was itself got by federation', async () => {
    cloud.resources.push({ resource: 'api://AzureADTokenExchange', cloud: 'public' });
    const first = await askToken(
      cloud,
      tokenForm(cloud, await idToken(), { scope: 'api://AzureADTokenExchange/.default' }),
    );
    const second = await askToken(cloud, tokenForm(cloud, accessToken(first)));
    assert.deepEqual(second.json()['error_codes'], [700231]);
  });

  describe('that depends on what the tenant holds', () => {
    const ask = async () => (await askToken(cloud, tokenForm(cloud, await idToken()))).json()['error_codes'];
    after(() => {
      cloud.directory.issuers[`https://login.microsoftonline.com/${cloud.tenantId}/v2.0`] = 'entra';
    });

    it('AADSTS70025: the application has no credential', async () => {
      const all = cloud.federatedCredentials;
      cloud.federatedCredentials = all.filter((credential) => credential.clientId !== cloud.clientId);
      assert.deepEqual(await ask(), [70025]);
      cloud.federatedCredentials = all;
      assert.equal(await ask(), undefined);
    });

    it('AADSTS70021: the credential was created a moment ago', async () => {
      for (const credential of cloud.federatedCredentials) credential.visibleFrom = cloud.now() + 60_000;
      assert.deepEqual(await ask(), [70021]);
      for (const credential of cloud.federatedCredentials) delete credential.visibleFrom;
      assert.equal(await ask(), undefined);
    });

    it('AADSTS50166: the issuer cannot be reached', async () => {
      delete cloud.directory.issuers[`https://login.microsoftonline.com/${cloud.tenantId}/v2.0`];
      assert.deepEqual(await ask(), [50166]);
    });
  });

  it('has the correlation ID that the client sent', async () => {
    const headers = { 'client-request-id': '11111111-2222-4333-8444-555555555555', 'return-client-request-id': 'true' };
    const answer = await askToken(cloud, tokenForm(cloud, 'nonsense'), { headers });
    assert.equal(answer.json()['correlation_id'], headers['client-request-id']);
    assert.equal(answer.headers['client-request-id'], headers['client-request-id']);
  });
});

describe('metadata', () => {
  const get = (path: string) => send(cloud.authorityUrl + path, { ca: cloud.ca.pem });

  it('of a tenant names the endpoints of the host that was asked, and the issuer of the cloud', async () => {
    const { token_endpoint, issuer } = (await get(`${cloud.tenantId}/v2.0/.well-known/openid-configuration`)).json();
    assert.equal(token_endpoint, `${cloud.authorityUrl}${cloud.tenantId}/oauth2/v2.0/token`);
    assert.equal(issuer, `https://login.microsoftonline.com/${cloud.tenantId}/v2.0`);
  });

  it('of a tenant that does not exist is a refusal', async () => {
    const answer = await get(`${elsewhere}/v2.0/.well-known/openid-configuration`);
    assert.deepEqual([answer.status, answer.json()['error_codes']], [400, [90002]]);
  });

  it('has the keys that the access tokens are signed with', async () => {
    const { keys } = (await get(`${cloud.tenantId}/discovery/v2.0/keys`)).json();
    assert.ok(Array.isArray(keys) && keys.length === 1 && keys[0].kty === 'RSA' && keys[0].d === undefined);
  });

  it('knows the instances of Entra, and no other host', async () => {
    const discover = (host: string) =>
      get(
        `common/discovery/instance?api-version=1.1&authorization_endpoint=${encodeURIComponent(`https://${host}/${cloud.tenantId}/oauth2/v2.0/authorize`)}`,
      );
    const known = (await discover('login.microsoftonline.com')).json();
    assert.ok(Array.isArray(known['metadata']));
    const unknown = await discover(new URL(cloud.authorityUrl).host);
    assert.deepEqual([unknown.status, unknown.json()['error']], [400, 'invalid_instance']);
  });

  it('and nothing else is served', async () => {
    for (const path of ['', 'favicon.ico', `${cloud.tenantId}/oauth2/token`])
      assert.equal((await get(path)).status, 404);
  });

  it('the token endpoint takes POST alone', async () => {
    assert.equal((await get(`${cloud.tenantId}/oauth2/v2.0/token`)).status, 400);
  });
});

describe('the protected API', () => {
  const get = (authorization?: string, path = 'secrets/greeting') =>
    send(cloud.apiUrl + path, { ca: cloud.ca.pem, headers: authorization === undefined ? {} : { authorization } });
  const token = async (scope?: string) =>
    accessToken(await askToken(cloud, tokenForm(cloud, await idToken(), scope === undefined ? {} : { scope })));

  it('answers whoever brings a token for it', async () => {
    const answer = await get(`Bearer ${await token()}`);
    assert.equal(answer.json()['value'], 'Hello from the protected API');
    assert.equal((await get(`Bearer ${await token()}`, 'secrets/none')).status, 404);
  });

  const refused: [name: string, authorization: () => Promise<string | undefined>][] = [
    ['no token', async () => undefined],
    ['nonsense', async () => 'Bearer nonsense'],
    ['an ID token', async () => `Bearer ${await idToken()}`],
    ['a token for another resource', async () => `Bearer ${await token('https://graph.microsoft.com/.default')}`],
    ['a token for itself with a slash more', async () => `Bearer ${await token('https://vault.azure.net//.default')}`],
  ];
  for (const [name, authorization] of refused) {
    it(`refuses ${name}`, async () => {
      const answer = await get(await authorization());
      assert.equal(answer.status, 401);
      assert.match(String(answer.headers['www-authenticate']), /^Bearer authorization=.+resource="https:\/\/vault/);
    });
  }

  it('refuses an expired token', async () => {
    const valid = await token();
    cloud.clockSkewSeconds = 3600;
    const answer = await get(`Bearer ${valid}`);
    cloud.clockSkewSeconds = 0;
    assert.equal(answer.status, 401);
  });
});
