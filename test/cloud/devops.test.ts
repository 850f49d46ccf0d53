import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { WebApi } from 'azure-devops-node-api';
import { BearerCredentialHandler } from 'azure-devops-node-api/handlers/bearertoken.js';
import { decodeJwt, decodeProtectedHeader } from 'jose';
import { type ClientAnswer, send } from './client.ts';
import { type Cloud, startCloud } from './cloud.ts';
import { answers } from './faults.ts';
import { askOidcToken, type OidcTokenRequest } from './tokens.ts';

let cloud: Cloud;
before(async () => {
  cloud = await startCloud();
});
after(() => cloud.close());
beforeEach(() => {
  cloud.requests = [];
});

const elsewhere = 'ffffffff-0000-4000-8000-000000000000';
const claimsOf = (answer: ClientAnswer) => decodeJwt(String(answer.json()['oidcToken']));

describe('the ID token', () => {
  it('of a connection on the issuer of Entra names IDs alone', async () => {
    const answer = await askOidcToken(cloud);
    assert.equal(answer.status, 200);
    assert.deepEqual(Object.keys(answer.json()), ['oidcToken']);
    const claims = claimsOf(answer);
    assert.equal(claims.iss, `https://login.microsoftonline.com/${cloud.tenantId}/v2.0`);
    const { organizationId } = cloud.job;
    assert.match(String(claims.sub), /^\/eid1\/c\/pub\/t\/[\w-]{22}\/a\/rISbSSETf0KqFyZ8ppdXmA\/sc\//);
    assert.ok(claims.sub?.endsWith(`/sc/${organizationId}/${cloud.connections.azureRM.id}`));
    assert.equal(claims.sub, cloud.connections.azureRM.parameters['workloadIdentityFederationSubject']);
    assert.equal(claims.aud, 'api://AzureADTokenExchange');
    assert.equal(Number(claims.exp) - Number(claims.iat), 600);
    assert.equal(decodeProtectedHeader(String(answer.json()['oidcToken'])).alg, 'RS256');
  });

  it('of a connection on the old issuer names organization, project and connection', async () => {
    const { id } = cloud.connections.azureRMOldIssuer;
    const claims = claimsOf(await askOidcToken(cloud, { query: { serviceConnectionId: id, 'api-version': '7.1' } }));
    assert.equal(claims.iss, `https://vstoken.dev.azure.com/${cloud.job.organizationId}`);
    assert.equal(claims.sub, 'sc://contoso/storefront/prod-vstoken');
  });

  it('without a connection is the one of the pipeline', async () => {
    const claims = claimsOf(await askOidcToken(cloud, { query: { 'api-version': '7.1' } }));
    assert.equal(claims.sub, 'p://contoso/storefront/deploy-storefront');
    assert.equal(claims.aud, 'api://AzureADTokenExchange');
  });

  it('has the audience of the cloud that the connection is for', async () => {
    const audiences = await Promise.all(
      [cloud.connections.azureRMUSGov, cloud.connections.azureRMChina].map(async ({ id }) => {
        const answer = await askOidcToken(cloud, { query: { serviceConnectionId: id, 'api-version': '7.1' } });
        return claimsOf(answer).aud;
      }),
    );
    assert.deepEqual(audiences, ['api://AzureADTokenExchangeUSGov', 'api://AzureADTokenExchangeChina']);
  });

  it('of a connection that a test adds says what its parameters say', async () => {
    const parameters = {
      workloadIdentityFederationIssuer: 'https://vstoken.dev.azure.com/another',
      workloadIdentityFederationSubject: 'sc://contoso/storefront/added',
    };
    cloud.addConnection({ ...cloud.connections.azureRM, id: elsewhere.replace('f', 'a'), name: 'added', parameters });
    const claims = decodeJwt(await cloud.issueIdToken({ connection: 'added', lifetimeSeconds: 5 }));
    assert.deepEqual([claims.iss, claims.sub], Object.values(parameters));
    assert.equal(Number(claims.exp) - Number(claims.iat), 5);
  });

  it('is another one for each request', async () => {
    const [first, second] = await Promise.all([askOidcToken(cloud), askOidcToken(cloud)]);
    assert.notEqual(claimsOf(first).jti, claimsOf(second).jti);
  });
});

describe('a request that differs', () => {
  const tf400813 = /^TF400813: The user '' is not authorized/;
  const connection = (id: string): OidcTokenRequest => ({ query: { serviceConnectionId: id, 'api-version': '7.1' } });
  const version = (value: string): OidcTokenRequest => ({
    query: { serviceConnectionId: cloud.connections.azureRM.id, 'api-version': value },
  });
  const at = (from: string, to: string): OidcTokenRequest => ({ url: cloud.job.oidcRequestUri.replace(from, to) });
  const noSuppress = { 'x-tfs-fedauthredirect': '' };
  const message = (answer: ClientAnswer) => String(answer.json()['message']);

  const cases: [name: string, request: () => OidcTokenRequest, status: number, check?: (a: ClientAnswer) => void][] = [
    ['7.1-preview.1', () => version('7.1-preview.1'), 200],
    ['7.2-preview.1', () => version('7.2-preview.1'), 200],
    [
      'version beside the media type, as the client library has it',
      () => ({
        query: { serviceConnectionId: cloud.connections.azureRM.id },
        headers: { accept: 'application/json;api-version=7.2-preview.1' },
      }),
      200,
    ],
    [
      'the version of a later preview, without -preview',
      () => version('7.2'),
      400,
      (a) => assert.equal(a.json()['typeKey'], 'VssInvalidPreviewVersionException'),
    ],
    [
      'a version of the future',
      () => version('9.0-preview.1'),
      400,
      (a) => assert.equal(a.json()['typeKey'], 'VssVersionOutOfRangeException'),
    ],
    [
      'no version',
      () => ({ query: { serviceConnectionId: cloud.connections.azureRM.id } }),
      400,
      (a) => assert.equal(a.json()['typeKey'], 'VssVersionNotSpecifiedException'),
    ],
    ['an empty JSON body', () => ({ body: '{}' }), 200],
    ['a form', () => ({ body: 'a=b', headers: { 'content-type': 'application/x-www-form-urlencoded' } }), 415],
    ['the project by name', () => at(cloud.job.projectId, cloud.job.project), 200],
    ['the hub in capitals', () => at('/build/', '/Build/'), 200],
    [
      'GET',
      () => ({ method: 'GET' }),
      405,
      (a) =>
        assert.deepEqual(a.json(), {
          count: 1,
          value: { Message: "The requested resource does not support http method 'GET'." },
        }),
    ],
    ['no job token', () => ({ authorization: '' }), 401, (a) => assert.match(message(a), tf400813)],
    ['an empty job token', () => ({ authorization: 'Bearer ' }), 401, (a) => assert.match(message(a), tf400813)],
    ['a wrong job token', () => ({ authorization: 'Bearer nonsense' }), 401, (a) => assert.match(message(a), tf400813)],
    [
      'an expired job token',
      () => ({ authorization: `Bearer ${cloud.issueJobToken({ expiresInSeconds: -1 })}` }),
      401,
      (a) => assert.match(message(a), tf400813),
    ],
    [
      'the token of a job of another project',
      () => ({ authorization: `Bearer ${cloud.issueJobToken({ projectId: elsewhere })}` }),
      401,
      (a) => assert.match(message(a), tf400813),
    ],
    [
      'the token of another organization',
      () => ({ authorization: `Bearer ${cloud.issueJobToken({ organizationId: elsewhere })}` }),
      401,
    ],
    [
      'a personal access token',
      () => ({ authorization: `Basic ${Buffer.from(`:${'a'.repeat(52)}`).toString('base64')}` }),
      401,
      (a) => assert.equal(a.text, ''),
    ],
    [
      'no job token, where a redirect is not suppressed',
      () => ({ authorization: '', headers: noSuppress }),
      302,
      (a) => {
        assert.match(String(a.headers.location), /_signin\?realm=dev\.azure\.com/);
        assert.match(a.text, /Object moved/);
      },
    ],
    [
      'a wrong job token, where a sign-in page is not suppressed',
      () => ({ authorization: 'Bearer nonsense', headers: noSuppress }),
      203,
      (a) => assert.match(String(a.headers['content-type']), /^text\/html/),
    ],
    ['another organization', () => at('/contoso/', '/fabrikam/'), 401],
    ['another project', () => at(cloud.job.projectId, elsewhere), 404, (a) => assert.match(message(a), /^VS800075/)],
    ['another plan', () => at(cloud.job.planId, elsewhere), 404],
    ['another job', () => at(cloud.job.jobId, elsewhere), 404],
    ['the hub of releases in a build', () => at('/build/', '/release/'), 404],
    ['another resource', () => at('oidctoken', 'oidctokens'), 404],
    [
      'a connection that does not exist',
      () => connection(elsewhere),
      404,
      (a) => assert.match(message(a), /^No service connection found with identifier ffffffff-/),
    ],
    [
      'a connection with a secret',
      () => connection(cloud.connections.secret.id),
      404,
      (a) => assert.match(message(a), /^No service connection found/),
    ],
    [
      'a disabled connection',
      () => connection(cloud.connections.disabled.id),
      403,
      (a) => assert.match(message(a), /is disabled/),
    ],
  ];
  for (const [name, request, status, check] of cases) {
    it(`(${name}) gets ${status}`, async () => {
      const answer = await askOidcToken(cloud, request());
      assert.equal(answer.status, status, answer.text);
      check?.(answer);
      for (const header of ['x-vss-e2eid', 'activityid', 'x-msedge-ref']) assert.ok(answer.headers[header], header);
      assert.deepEqual(
        cloud.requests.map((r) => [r.service, r.status]),
        [['devops', status]],
      );
    });
  }

  it('(a connection that the stage does not refer to) gets the text and its length', async () => {
    cloud.devOps.referencedConnections = [cloud.connections.azureDevOps.id];
    const answer = await askOidcToken(cloud);
    delete cloud.devOps.referencedConnections;
    assert.equal(answer.status, 400);
    const { count, value } = answer.json();
    assert.match(String(value), /^There is no explicit reference to service connection .+ from current stage /);
    assert.equal(count, String(value).length);
  });

  it('(an endpoint still in preview) gets 400 without -preview', async () => {
    cloud.devOps.releasedVersion = '0.0';
    const statuses = [(await askOidcToken(cloud)).status, (await askOidcToken(cloud, version('7.1-preview.1'))).status];
    cloud.devOps.releasedVersion = '7.1';
    assert.deepEqual(statuses, [400, 200]);
  });

  it('(a job that is over) gets 401', async () => {
    cloud.devOps.jobFinished = true;
    const { status } = await askOidcToken(cloud);
    cloud.devOps.jobFinished = false;
    assert.equal(status, 401);
  });

  it('(Azure DevOps Server, which has no such endpoint) gets 404', async () => {
    cloud.devOps.hasOidcToken = false;
    const { status } = await askOidcToken(cloud);
    cloud.devOps.hasOidcToken = true;
    assert.equal(status, 404);
  });

  it('(a classic release) needs the hub of releases', async () => {
    cloud.job.hub = 'release';
    const statuses = [
      (await askOidcToken(cloud, at('/build/', '/release/'))).status,
      (await askOidcToken(cloud)).status,
    ];
    cloud.job.hub = 'build';
    assert.deepEqual(statuses, [200, 404]);
  });
});

describe('azure-devops-node-api', () => {
  const connect = (token = cloud.job.jobToken) =>
    new WebApi(cloud.devOpsUrl, new BearerCredentialHandler(token), { cert: { caFile: cloud.caFile } });
  const create = async (api: WebApi) => {
    const { projectId, planId, jobId } = cloud.job;
    const tasks = await api.getTaskApi();
    return tasks.createOidcToken({}, projectId, 'build', planId, jobId, cloud.connections.azureRM.id);
  };

  it('finds the endpoint by its location and gets an ID token', async () => {
    const { oidcToken } = await create(connect());
    assert.equal(decodeJwt(String(oidcToken)).aud, 'api://AzureADTokenExchange');
    assert.deepEqual(
      cloud.requests.map((r) => r.method),
      ['OPTIONS', 'POST'],
    );
  });

  it('cannot find it on a server without it', async () => {
    cloud.devOps.hasOidcToken = false;
    await assert.rejects(create(connect()), /Failed to find api location for area: distributedtask/);
    cloud.devOps.hasOidcToken = true;
  });

  it('asks for a 401 instead of a sign-in page', async () => {
    await assert.rejects(create(connect('nonsense')), /TF400813/);
  });

  it('takes a sign-in page for no answer', async () => {
    cloud.faults = [{ service: 'devops', method: 'POST', do: answers.signInPage }];
    assert.equal(await create(connect()), null);
    cloud.faults = [];
  });

  it('gets the resource areas and the connection data', async () => {
    const api = connect();
    const areas = await (await api.getLocationsApi()).getResourceAreas();
    assert.deepEqual(
      areas.map((area) => [area.name, area.locationUrl]),
      [['distributedtask', cloud.devOpsUrl]],
    );
    assert.equal((await api.connect()).instanceId, cloud.job.organizationId);
    assert.equal((await api.getTaskAgentApi()).baseUrl, cloud.devOpsUrl);
  });
});

it('an organization under visualstudio.com has no organization in its paths', async () => {
  const path = new URL(cloud.job.oidcRequestUri).pathname.replace('/contoso', '');
  const answer = await send(`${new URL(cloud.devOpsUrl).origin}${path}?api-version=7.1`, {
    method: 'POST',
    ca: cloud.ca.pem,
    headers: { host: 'contoso.visualstudio.com', authorization: `Bearer ${cloud.job.jobToken}` },
  });
  assert.equal(answer.status, 200, answer.text);
});

it('without Authorization the look-ups lead to the sign-in page too', async () => {
  const answer = await send(`${cloud.devOpsUrl}_apis/distributedtask`, { method: 'OPTIONS', ca: cloud.ca.pem });
  assert.equal(answer.status, 302);
});
