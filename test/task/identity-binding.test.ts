import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { startCloud } from '../cloud/cloud.ts';
import { answers, type Fault, type RequestFault } from '../cloud/faults.ts';
import { identityBindingAudience } from '../cloud/national-clouds.ts';
import { startProxy } from '../cloud/proxy.ts';
import { startTokenProxy } from '../cloud/token-proxy.ts';
import { surroundings } from '../hostile/run-step.ts';
import { assertFailed, assertNothingLeaked, assertSucceeded, runSteps, values } from './run-steps.ts';

const cloud = await startCloud();
const proxy = await startTokenProxy({ cloud });
const agentProxy = await startProxy({ resolve: {}, behaviour: 'refuse' });
const folder = mkdtempSync(join(tmpdir(), 'identity-binding-'));
after(async () => {
  await Promise.all([proxy.close(), agentProxy.close(), cloud.close()]);
  rmSync(folder, { recursive: true });
});

const token = await cloud.kubernetes.issueToken({ audience: identityBindingAudience });
const volume = await cloud.kubernetes.writeProjectedVolume(folder, token);
const pod = {
  AZURE_CLIENT_ID: cloud.clientId,
  AZURE_TENANT_ID: cloud.tenantId,
  AZURE_FEDERATED_TOKEN_FILE: volume.file,
  AZURE_AUTHORITY_HOST: cloud.authorityUrl,
};
const binding = {
  ...pod,
  AZURE_KUBERNETES_TOKEN_PROXY: proxy.url,
  AZURE_KUBERNETES_SNI_NAME: proxy.serverName,
  AZURE_KUBERNETES_CA_FILE: proxy.caFile,
};
const withData = { ...binding, AZURE_KUBERNETES_CA_FILE: '', AZURE_KUBERNETES_CA_DATA: proxy.caPem };
const kubernetes = { credentialSource: 'kubernetes', scopes: 'arm' };

test('a token of an identity binding goes to its proxy alone, with its server name, its authorities and its path', async () => {
  const rows = [
    { name: 'file', inputs: { ...kubernetes, scopes: 'arm\nkv = keyVault' }, env: binding },
    { name: 'data', inputs: kubernetes, env: withData },
    { name: 'slash', inputs: kubernetes, env: { ...binding, AZURE_KUBERNETES_TOKEN_PROXY: `${proxy.url}/` } },
    {
      name: 'fallback',
      inputs: { azureSubscription: 'prod' },
      env: binding,
      faults: [{ service: 'devops' as const, do: answers.notFound }],
    },
    // Their variables are for Kubernetes tokens; a faulty set of them does not disturb others.
    {
      name: 'notKubernetes',
      inputs: { azureSubscription: 'prod' },
      env: { ...pod, AZURE_KUBERNETES_SNI_NAME: 'x' },
    },
  ];
  // The agent's own proxy lets through nothing that is not named; the way to the cluster does not lead through it.
  const { job, of } = await runSteps(cloud, rows, { proxy: { url: agentProxy.url, bypass: ['localhost'] } });
  for (const { name } of rows) assertSucceeded(of(name));
  const services = (name: string): string[] => of(name).requests.map(({ service }) => service);
  assert.deepEqual(services('file'), ['tokenProxy', 'tokenProxy']);
  assert.deepEqual(services('data'), ['tokenProxy']);
  assert.deepEqual(services('slash'), ['tokenProxy']);
  assert.deepEqual(services('fallback'), ['devops', 'tokenProxy']);
  assert.deepEqual(services('notKubernetes'), ['devops', 'entra']);
  for (const request of proxy.requests) {
    const [path] = request.path.split('?');
    assert.equal(`${request.method} ${path}`, `POST /token-proxy/${cloud.tenantId}/oauth2/v2.0/token`);
    assert.equal(request.form?.['client_assertion'], token);
    assert.equal(request.form?.['client_id'], cloud.clientId);
  }
  assert.deepEqual(new Set(proxy.serverNames), new Set([proxy.serverName]));
  assert.deepEqual(agentProxy.connects, []);
  assert.equal(values(of('file'))['authorityHost'], cloud.authorityUrl, 'the proxy only stands before Entra');
  assertNothingLeaked(cloud, job);
});

test('whatever is wrong with an identity binding, its token goes nowhere else', async () => {
  const asProxy = (url: string): Record<string, string> => ({ ...binding, AZURE_KUBERNETES_TOKEN_PROXY: url });
  const rows = [
    {
      title: 'no proxy',
      env: asProxy(''),
      says: /AZURE_KUBERNETES_SNI_NAME and AZURE_KUBERNETES_CA_FILE.*without AZURE_KUBERNETES_TOKEN_PROXY/,
    },
    { title: 'no TLS', env: asProxy(proxy.url.replace('https', 'http')), says: /https/ },
    { title: 'two sets of authorities', env: { ...binding, AZURE_KUBERNETES_CA_DATA: proxy.caPem }, says: /only one/ },
    { title: 'no CA file', env: { ...binding, AZURE_KUBERNETES_CA_FILE: join(folder, 'none') }, says: /CA_FILE/ },
    {
      // The agent trusts that certificate; the identity binding does not. The file may change, so it is tried again.
      title: 'a server of another authority',
      env: { ...asProxy(cloud.authorityUrl), ...surroundings({ fastClock: true }) },
      code: 'ET_CERTIFICATE',
      says: /Entra at .* after \d+ tries in .* Compare .* AZURE_KUBERNETES_CA_FILE/,
    },
    {
      title: 'a server of another authority than the data',
      env: { ...withData, AZURE_KUBERNETES_TOKEN_PROXY: cloud.authorityUrl },
      code: 'ET_CERTIFICATE',
      says: /Entra at \S+ could not be reached: .* Compare .* AZURE_KUBERNETES_CA_DATA/,
    },
    {
      // With none of its own, the system's authorities hold, and those do not know the proxy.
      title: 'no authorities',
      env: { ...binding, AZURE_KUBERNETES_CA_FILE: '' },
      code: 'ET_CERTIFICATE',
      says: /Entra at \S+ could not be reached: .* Set AZURE_KUBERNETES_CA_FILE/,
    },
    {
      title: 'the plain network',
      env: pod,
      code: 'ET_AUDIENCE_MISMATCH',
      says: /audience '?api:\/\/AKSIdentityBinding/,
    },
  ];
  const steps = rows.map(({ env }, index) => ({ name: `row${index}`, inputs: kubernetes, env }));
  const { job, of } = await runSteps(cloud, steps, { environment: { NODE_EXTRA_CA_CERTS: cloud.caFile } });
  for (const [index, { title, code, says }] of rows.entries()) {
    const outcome = of(`row${index}`);
    const line = assertFailed(outcome, code ?? 'ET_IDENTITY_BINDING');
    assert.match(line, says, title);
    // Those are for the agent's own network.
    assert.doesNotMatch(line, /sslcacert/, title);
    // Without a binding it goes to Entra itself, which judges its audience.
    assert.equal(outcome.requests.length, code === 'ET_AUDIENCE_MISMATCH' ? 1 : 0, title);
  }
  assertNothingLeaked(cloud, job);
});

/** Acts while the first request to the proxy is held, and answers it then, in this way or genuinely. */
function onFirstRequest(until: () => Promise<void>, answer?: RequestFault): Fault[] {
  const hold = { kind: 'hold', until } as const;
  return [{ service: 'tokenProxy', when: { first: 1 }, do: answer === undefined ? hold : { ...hold, answer } }];
}

test('an authority that is replaced in the middle of a run, and a file that is empty for a moment, break nothing', async () => {
  const pem = readFileSync(proxy.caFile, 'utf8');
  const { job, of } = await runSteps(cloud, [
    {
      name: 'empty',
      inputs: kubernetes,
      env: binding,
      faults: onFirstRequest(() => writeFile(proxy.caFile, ''), answers.unavailable),
    },
    {
      name: 'replaced',
      inputs: kubernetes,
      env: binding,
      started: () => writeFileSync(proxy.caFile, pem),
      // The proxy drops its connections with the old certificate; the next try meets the new one.
      faults: onFirstRequest(() => proxy.rotateAuthority()),
    },
  ]);
  for (const name of ['empty', 'replaced']) {
    assertSucceeded(of(name));
    assert.deepEqual(
      of(name).requests.map(({ service }) => service),
      ['tokenProxy', 'tokenProxy'],
    );
  }
  assertNothingLeaked(cloud, job);
});

test('a CA file that follows a new certificate late is waited for', async () => {
  const late = {
    name: 'late',
    inputs: kubernetes,
    env: binding,
    faults: onFirstRequest(() => proxy.rotateAuthority({ writeCaFile: false })),
  };
  const { job, of } = await runSteps(cloud, [late], {
    // The second try has met the new certificate.
    onLine: ({ text }) => {
      if (/trying again in .*\(try 3\)/.test(text)) void proxy.writeCaFile();
    },
  });
  assertSucceeded(of('late'));
  assert.match(of('late').log, /Entra \(127\.0\.0\.1:\d+\): [A-Z_]+; trying again in .*\(try 3\)/);
  assertNothingLeaked(cloud, job);
});
