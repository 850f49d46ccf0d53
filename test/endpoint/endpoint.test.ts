import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type Cloud, startCloud } from '../cloud/cloud.ts';
import { askAccessToken, askIdToken, claimsOf, serveJob, servingStep, withEndpoint } from './served-job.ts';

/** A test that waits for ever says nothing; this is far more than any of them needs. */
const timeout = 120_000;

let cloud: Cloud;

before(async () => {
  cloud = await startCloud();
});
after(() => cloud.close());

describe('the token endpoint', { timeout }, () => {
  test('gives an access token as App Service does, in the form that every client reads', async () => {
    const start = Date.now();
    await withEndpoint(cloud, servingStep('scopes: arm'), async (job) => {
      const { status, headers, body } = await askAccessToken(job);
      assert.equal(status, 200);
      assert.equal(headers['content-type'], 'application/json');
      assert.equal(headers['cache-control'], 'no-store');
      // MSAL.NET takes the last of the two times, so the order counts.
      assert.deepEqual(Object.keys(body), [
        'access_token',
        'client_id',
        'expires_in',
        'expires_on',
        'resource',
        'token_type',
      ]);
      const claims = claimsOf(body['access_token']);
      assert.equal(claims['aud'], 'https://management.azure.com');
      assert.equal(claims['tid'], cloud.tenantId);
      assert.equal(body['client_id'], cloud.clientId);
      // Both count from the moment in which the task had the token, in whole seconds.
      const tookSeconds = Math.ceil((Date.now() - start) / 1000) + 2;
      assert.match(String(body['expires_in']), /^3\d\d\d$/);
      assert.ok(Math.abs(Number(body['expires_in']) - 3600) <= tookSeconds, String(body['expires_in']));
      assert.ok(Math.abs(Number(body['expires_on']) - Number(claims['exp'])) <= tookSeconds);
      assert.equal(body['token_type'], 'Bearer');
    });
  });

  test('gives an ID token as GitHub does', async () => {
    await withEndpoint(cloud, servingStep(), async (job) => {
      const { status, body } = await askIdToken(job);
      assert.equal(status, 200);
      assert.deepEqual(Object.keys(body), ['value']);
      assert.equal(claimsOf(body['value'])['aud'], 'api://AzureADTokenExchange');
    });
  });

  test('asks nobody before somebody asks', async () => {
    await withEndpoint(cloud, servingStep('scopes: arm'), async (job) => {
      const before = cloud.requests.length;
      assert.equal((await askAccessToken(job)).status, 200);
      assert.equal(cloud.requests.length - before, 2, 'one for the ID token, one for the access token');
      assert.equal((await askAccessToken(job)).status, 200);
      assert.equal(cloud.requests.length - before, 2, 'and then the one that it holds');
    });
  });

  test('exports nothing to the job, and writes no token file', async () => {
    const job = await serveJob(cloud, servingStep('scopes: arm'));
    const result = await job.release();
    assert.equal(job.tokenFile, '');
    const secrets = [job.identityHeader, job.idTokenRequestToken];
    const holding = Object.entries(result.variables).filter(([, { value }]) => secrets.includes(value));
    assert.deepEqual(holding.map(([name, { secret }]) => [name, secret]).sort(), [
      ['entra.idTokenRequestToken', true],
      ['entra.identityHeader', true],
    ]);
    assert.notEqual(job.identityHeader, job.idTokenRequestToken);
  });
});
