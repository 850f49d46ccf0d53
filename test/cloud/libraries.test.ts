import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { AzurePipelinesCredential, WorkloadIdentityCredential } from '@azure/identity';
import { ConfidentialClientApplication, type INetworkModule, type NetworkRequestOptions } from '@azure/msal-node';
import { decodeJwt } from 'jose';
import { send } from './client.ts';
import { type Cloud, startCloud } from './cloud.ts';

/** The clients that the services are made for, as their users have them, and nothing of this project between. */
let cloud: Cloud;
before(async () => {
  cloud = await startCloud();
});
after(() => cloud.close());

const scope = 'https://vault.azure.net/.default';

/** MSAL's own fetch trusts the system's authorities alone. */
const network = (): INetworkModule => {
  const ask = async (method: string, url: string, options: NetworkRequestOptions = {}) => {
    const headers = options.headers ?? {};
    const answer = await send(url, {
      method,
      ca: cloud.ca.pem,
      headers,
      ...(options.body === undefined ? {} : { body: options.body }),
    });
    return { headers: {}, body: JSON.parse(answer.text), status: answer.status };
  };
  return {
    sendGetRequestAsync: (url, options) => ask('GET', url, options),
    sendPostRequestAsync: (url, options) => ask('POST', url, options),
  };
};

describe('@azure/msal-node', () => {
  const client = (connection = 'prod', capabilities: string[] = []) =>
    new ConfidentialClientApplication({
      auth: {
        clientId: cloud.clientId,
        authority: `${cloud.authorityUrl}${cloud.tenantId}`,
        knownAuthorities: [new URL(cloud.authorityUrl).host],
        clientAssertion: () => cloud.issueIdToken({ connection }),
        clientCapabilities: capabilities,
      },
      system: { networkClient: network() },
    });

  it('gets an access token for an ID token', async () => {
    const result = await client().acquireTokenByClientCredential({ scopes: [scope] });
    const claims = await cloud.verifyAccessToken(result?.accessToken ?? '');
    assert.equal(claims.aud, 'https://vault.azure.net');
    assert.equal(result?.tokenType, 'Bearer');
    assert.ok(Math.abs(Number(result?.expiresOn) / 1000 - Number(claims.exp)) < 30);
  });

  it('has its capability in the token, and learns when to refresh it', async () => {
    const result = await client('prod', ['CP1']).acquireTokenByClientCredential({ scopes: [scope] });
    assert.deepEqual(decodeJwt(result?.accessToken ?? '')['xms_cc'], ['CP1']);
    assert.ok(result?.refreshOn instanceof Date);
  });

  it('understands a refusal', async () => {
    const all = cloud.federatedCredentials;
    cloud.federatedCredentials = all.filter(({ issuer }) => !issuer.startsWith('https://vstoken'));
    await assert.rejects(client('prod-vstoken').acquireTokenByClientCredential({ scopes: [scope] }), (error) => {
      const { errorCode, errorNo, correlationId } = error as { [name: string]: string };
      assert.deepEqual([errorCode, String(errorNo)], ['invalid_client', '700211']);
      assert.match(String(correlationId), /^[0-9a-f-]{36}$/);
      return true;
    });
    cloud.federatedCredentials = all;
  });
});

describe('@azure/identity', () => {
  const options = () => ({
    authorityHost: cloud.authorityUrl,
    disableInstanceDiscovery: true,
    tlsOptions: { ca: cloud.ca.pem },
    retryOptions: { maxRetries: 0 },
  });

  it('AzurePipelinesCredential asks both services', async () => {
    process.env['SYSTEM_OIDCREQUESTURI'] = cloud.job.oidcRequestUri;
    after(() => {
      delete process.env['SYSTEM_OIDCREQUESTURI'];
    });
    const { id } = cloud.connections.azureRM;
    const credential = new AzurePipelinesCredential(cloud.tenantId, cloud.clientId, id, cloud.job.jobToken, options());
    cloud.requests = [];
    const { token } = await credential.getToken(scope);
    assert.equal((await cloud.verifyAccessToken(token))['appid'], cloud.clientId);
    const asked = cloud.requests.map(({ service, method, status }) => `${service} ${method} ${status}`);
    assert.deepEqual(new Set(asked), new Set(['devops POST 200', 'entra GET 200', 'entra POST 200']));
  });

  it('WorkloadIdentityCredential reads a projected volume', async (context) => {
    const folder = await mkdtemp(join(tmpdir(), 'projected-'));
    context.after(() => rm(folder, { recursive: true }));
    const { file } = await cloud.kubernetes.writeProjectedVolume(folder);
    const credential = new WorkloadIdentityCredential({
      ...options(),
      tenantId: cloud.tenantId,
      clientId: cloud.clientId,
      tokenFilePath: file,
    });
    const { token } = await credential.getToken(scope);
    assert.equal((await cloud.verifyAccessToken(token)).aud, 'https://vault.azure.net');
  });
});
