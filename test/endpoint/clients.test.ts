import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { root } from '../../scripts/layout.ts';
import { type Cloud, startCloud } from '../cloud/cloud.ts';
import { claimsOf, type ServedJob, serveJob, servingStep } from './served-job.ts';

const timeout = 120_000;

let cloud: Cloud;
let job: ServedJob;

before(async () => {
  cloud = await startCloud();
  job = await serveJob(cloud, servingStep('scopes: |', '  arm', '  kv = keyVault'));
});
after(async () => {
  await job.release();
  await cloud.close();
});

/** Runs a program as a later step would, with the outputs mapped; gives its output. */
function runStep(program: string, args: string[], more: Record<string, string> = {}): Promise<string> {
  const env = {
    PATH: process.env['PATH'] ?? '',
    IDENTITY_ENDPOINT: job.identityEndpoint,
    IDENTITY_HEADER: job.identityHeader,
    ...more,
  };
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { env, cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
    let [output, errors] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text));
    child.on('error', reject);
    child.on('close', (code) =>
      code === 0 ? resolve(output.trim()) : reject(new Error(`${code}: ${output}${errors}`)),
    );
  });
}

const runNode = (text: string, more?: Record<string, string>): Promise<string> =>
  runStep(process.execPath, ['--input-type=module', '--eval', text], more);

describe('clients of the token endpoint', { timeout }, () => {
  const credentials = {
    'ManagedIdentityCredential of @azure/identity': () => 'new identity.ManagedIdentityCredential()',
    'ManagedIdentityCredential with the client ID': () =>
      `new identity.ManagedIdentityCredential({ clientId: '${cloud.clientId}' })`,
    DefaultAzureCredential: () => 'new identity.DefaultAzureCredential()',
  };
  for (const [name, make] of Object.entries(credentials)) {
    test(`${name} gets a token for each resource, and one that lives`, async () => {
      const text = `
        import * as identity from '@azure/identity';
        const credential = ${make()};
        for (const scope of ['https://vault.azure.net/.default', 'https://management.azure.com//.default']) {
          const { token, expiresOnTimestamp } = await credential.getToken(scope);
          console.log(token + ' ' + expiresOnTimestamp);
        }`;
      const lines = (await runNode(text, { AZURE_TOKEN_CREDENTIALS: 'ManagedIdentityCredential' })).split('\n');
      for (const [index, audience] of ['https://vault.azure.net', 'https://management.azure.com/'].entries()) {
        const [token = '', expiresOn] = lines[index]?.split(' ') ?? [];
        assert.equal(claimsOf(token)['aud'], audience);
        assert.ok(Math.abs(Number(expiresOn) - Number(claimsOf(token)['exp']) * 1000) <= 2000);
      }
    });
  }

  test('an error of @azure/identity says what the endpoint says', async () => {
    const text = `
      import * as identity from '@azure/identity';
      await new identity.ManagedIdentityCredential().getToken('https://graph.microsoft.com/.default').catch((error) => console.log(error.message));`;
    assert.match(await runNode(text), /The step gives no tokens for https:\/\/graph\.microsoft\.com/);
  });

  test('ManagedIdentityApplication of MSAL, which sends with fetch', async () => {
    const text = `
      import { ManagedIdentityApplication } from '@azure/msal-node';
      const application = new ManagedIdentityApplication();
      const { accessToken } = await application.acquireToken({ resource: 'https://vault.azure.net' });
      console.log(accessToken);`;
    assert.equal(claimsOf(await runNode(text))['aud'], 'https://vault.azure.net');
  });

  test('curl, with the secret on no command line', async () => {
    const text = `curl -fsS --noproxy 127.0.0.1 -H @- "$IDENTITY_ENDPOINT?api-version=2019-08-01&resource=https://vault.azure.net" <<< "X-IDENTITY-HEADER: $IDENTITY_HEADER"`;
    const body: Record<string, string> = JSON.parse(await runStep('bash', ['--norc', '-c', text]));
    assert.equal(claimsOf(body['access_token'])['aud'], 'https://vault.azure.net');
  });

  test('a step that mapped nothing, or a macro that was not expanded, is told so', async () => {
    const text = `curl -sS -w '%{http_code}' -o /dev/null -H @- "$IDENTITY_ENDPOINT?api-version=2019-08-01&resource=x" <<< 'X-IDENTITY-HEADER: $(entra.identityHeader)'`;
    assert.equal(await runStep('bash', ['--norc', '-c', text]), '401');
  });

  test('what Terraform’s providers send for an ID token, who keep the audience of the address', async () => {
    const text = `curl -fsS --noproxy 127.0.0.1 -H @- "$URL" <<< "Authorization: Bearer $TOKEN"`;
    const body: Record<string, string> = JSON.parse(
      await runStep('bash', ['--norc', '-c', text], { URL: job.idTokenRequestUrl, TOKEN: job.idTokenRequestToken }),
    );
    assert.equal(claimsOf(body['value'])['aud'], 'api://AzureADTokenExchange');
    assert.equal(new URL(job.idTokenRequestUrl).searchParams.get('audience'), 'api://AzureADTokenExchange');
  });
});
