import assert from 'node:assert/strict';
import { lstat, mkdtemp, readdir, readFile, readlink, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { decodeJwt } from 'jose';
import { send } from './client.ts';
import { type Cloud, startCloud } from './cloud.ts';
import { startTokenProxy, type TokenProxy } from './token-proxy.ts';
import { askToken, tokenForm } from './tokens.ts';

let cloud: Cloud;
before(async () => {
  cloud = await startCloud();
});
after(() => cloud.close());

describe('a projected volume', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'projected-'));
  });
  after(() => rm(folder, { recursive: true }));

  it('has the file behind two links, as the kubelet lays it', async () => {
    const { file } = await cloud.kubernetes.writeProjectedVolume(join(folder, 'one'));
    assert.equal(await readlink(file), '..data/azure-identity-token');
    const version = await readlink(join(folder, 'one', '..data'));
    assert.match(version, /^\.\.\d{4}_\d\d_\d\d_/);
    assert.equal((await lstat(join(folder, 'one', version))).isDirectory(), true);
    const claims = decodeJwt(await readFile(file, 'utf8'));
    assert.equal(claims.sub, 'system:serviceaccount:pipelines:agent');
    assert.deepEqual(claims.aud, ['api://AzureADTokenExchange']);
  });

  it('holds a whole token at any moment of a rotation, and one version after it', async () => {
    const volume = await cloud.kubernetes.writeProjectedVolume(join(folder, 'two'), 'first');
    const tokens = Array.from({ length: 20 }, (_, i) => `token-${i}`);
    const seen = new Set<string>();
    let rotating = true;
    const reader = (async () => {
      while (rotating) {
        // The link was resolved before the rename and its target removed after: a real reader tries again too.
        const text = await readFile(volume.file, 'utf8').catch((error) => {
          assert.equal(error.code, 'ENOENT');
          return undefined;
        });
        if (text !== undefined) seen.add(text);
      }
    })();
    for (const token of tokens) await volume.rotate(token);
    rotating = false;
    await reader;
    for (const text of seen) assert.ok(text === 'first' || tokens.includes(text), text);
    assert.equal(await readFile(volume.file, 'utf8'), 'token-19');
    assert.equal((await readdir(join(folder, 'two'))).filter((name) => /^\.\.\d/.test(name)).length, 1);
    await volume.rotate();
    const answer = await askToken(cloud, tokenForm(cloud, await readFile(volume.file, 'utf8')));
    assert.equal(answer.status, 200, answer.text);
  });
});

describe('the token proxy of an identity binding', () => {
  let proxy: TokenProxy;
  before(async () => {
    proxy = await startTokenProxy({ cloud });
  });
  after(() => proxy.close());

  const ask = async (
    options: {
      audience?: string;
      url?: string;
      ca?: string;
      serverName?: string;
      form?: Record<string, string>;
      tls?: object;
    } = {},
  ) => {
    const assertion = await cloud.kubernetes.issueToken({ audience: options.audience ?? 'api://AKSIdentityBinding' });
    return send(options.url ?? `${proxy.url}/${cloud.tenantId}/oauth2/v2.0/token`, {
      ca: options.ca ?? proxy.caPem,
      serverName: options.serverName ?? proxy.serverName,
      form: tokenForm(cloud, assertion, options.form),
      ...(options.tls === undefined ? {} : { tls: options.tls }),
    });
  };

  it('exchanges a Kubernetes token of its own audience', async () => {
    const answer = await ask();
    assert.equal(answer.status, 200, answer.text);
    const claims = await cloud.verifyAccessToken(String(answer.json()['access_token']));
    assert.equal(claims['appid'], cloud.clientId);
    assert.equal(proxy.requests.at(-1)?.service, 'tokenProxy');
    assert.ok(proxy.requests.at(-1)?.path.startsWith('/token-proxy/'));
    assert.equal(proxy.serverNames.at(-1), proxy.serverName);
  });

  it('takes no token for the public endpoint', async () => {
    assert.deepEqual((await ask({ audience: 'api://AzureADTokenExchange' })).json()['error_codes'], [700212]);
  });

  it('knows the identities that are bound, and no others', async () => {
    const { ServicePrincipalId = '' } = cloud.connections.azureDevOps.parameters;
    assert.deepEqual((await ask({ form: { client_id: ServicePrincipalId } })).json()['error_codes'], [70025]);
  });

  it('serves nothing outside of its path, and only the token endpoint in it', async () => {
    const { origin } = new URL(proxy.url);
    assert.equal((await ask({ url: `${origin}/${cloud.tenantId}/oauth2/v2.0/token` })).status, 404);
    const metadata = `${proxy.url}/${cloud.tenantId}/v2.0/.well-known/openid-configuration`;
    assert.equal((await send(metadata, { ca: proxy.caPem, serverName: proxy.serverName })).status, 404);
  });

  it('ends a handshake for another name, and for none', async () => {
    await assert.rejects(ask({ serverName: 'localhost' }));
    // A client that does not look at the certificate: else it would be the one to hang up.
    await assert.rejects(ask({ serverName: '', tls: { rejectUnauthorized: false } }));
    assert.deepEqual(proxy.serverNames.slice(-2), ['localhost', undefined]);
  });

  it('is vouched for by its own authority alone', async () => {
    await assert.rejects(ask({ ca: cloud.ca.pem }), /unable to|self.signed/i);
    assert.equal(await readFile(proxy.caFile, 'utf8'), proxy.caPem);
  });

  it('gets a new authority', async () => {
    const old = proxy.caPem;
    await proxy.rotateAuthority({ writeCaFile: false });
    assert.equal(await readFile(proxy.caFile, 'utf8'), old);
    await assert.rejects(ask({ ca: old }));
    await proxy.rotateAuthority();
    assert.equal((await ask({ ca: await readFile(proxy.caFile, 'utf8') })).status, 200);
  });
});
