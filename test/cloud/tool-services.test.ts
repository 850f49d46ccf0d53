import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { send } from './client.ts';
import { type Cloud, startCloud } from './cloud.ts';
import { aksAppId, clusterHost } from './kubernetes-api.ts';
import { askToken, tokenForm } from './tokens.ts';

let cloud: Cloud;
before(async () => {
  cloud = await startCloud();
});
after(() => cloud.close());

const services = [
  { host: clusterHost, path: '/api/v1/namespaces/default/pods', scope: aksAppId, refusal: 401 },
  { host: 'graph.microsoft.com', path: '/v1.0/applications', scope: 'https://graph.microsoft.com', refusal: 401 },
  {
    host: 'adb-1234567890123456.7.azuredatabricks.net',
    path: '/api/2.0/preview/scim/v2/Me',
    scope: '2ff814a6-3304-4ab8-85cb-cd0e6f879c1d',
    refusal: 403,
  },
  {
    host: 'pkgs.dev.azure.com',
    path: '/contoso/storefront/_packaging/contoso/pypi/simple/greeting/',
    scope: '499b84ac-1321-427f-aa17-267ca6975798',
    refusal: 401,
  },
];

async function accessToken(scope: string): Promise<string> {
  const form = tokenForm(cloud, await cloud.issueIdToken(), { scope: `${scope}/.default` });
  return String((await askToken(cloud, form)).json()['access_token']);
}

const at = (host: string, path: string): string => `https://${cloud.hosts[`${host}:443`]}${path}`;

describe('a service that tools call', () => {
  for (const { host, path, scope, refusal } of services) {
    test(`${host} answers with an access token for it, and with no other`, async () => {
      const ask = async (authorization?: string): Promise<number> => {
        const headers = { host, ...(authorization === undefined ? {} : { authorization }) };
        return (await send(at(host, path), { headers, ca: cloud.ca.pem, serverName: host })).status;
      };
      assert.equal(await ask(), refusal);
      assert.equal(await ask(`Bearer ${await accessToken('https://vault.azure.net')}`), refusal);
      assert.equal(await ask(`Bearer ${await accessToken(scope)}`), 200);
    });
  }

  const fields = {
    'sts.eu-west-1.amazonaws.com': (token: string) => ({
      Action: 'AssumeRoleWithWebIdentity',
      WebIdentityToken: token,
    }),
    'sts.googleapis.com': (token: string) => ({ subject_token: token }),
  };
  for (const [host, form] of Object.entries(fields)) {
    test(`${host} takes an ID token that lives, and whose signature is right`, async () => {
      const ask = async (token: string): Promise<number> => {
        const options = { headers: { host }, form: { ...form(token) }, ca: cloud.ca.pem, serverName: host };
        return (await send(at(host, '/'), options)).status;
      };
      const token = await cloud.issueIdToken();
      assert.equal(await ask(token), 200);
      assert.equal(await ask(`${token.slice(0, -4)}AAAA`), 400);
      cloud.clockSkewSeconds = 3600;
      assert.equal(await ask(token), 400);
      cloud.clockSkewSeconds = 0;
    });
  }
});
