import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { decodeJwt } from 'jose';
import { runJob } from '../agent/job.ts';
import { startCloud } from '../cloud/cloud.ts';
import { answers, entraError, type Fault } from '../cloud/faults.ts';
import { tokenExchangeAudience } from '../cloud/national-clouds.ts';
import { startProxy } from '../cloud/proxy.ts';
import { jobVariables, rehearsalOptions } from '../rehearsal.ts';
import { assertFailed, assertNothingLeaked, assertSucceeded, runSteps, to, values } from './run-steps.ts';

const cloud = await startCloud();
const folder = mkdtempSync(join(tmpdir(), 'sources-'));
after(async () => {
  await cloud.close();
  rmSync(folder, { recursive: true });
});

const { azureRM, azureDevOps, azureRMUSGov, azureRMChina } = cloud.connections;
const volume = await cloud.kubernetes.writeProjectedVolume(join(folder, 'volume'));

/** What the workload identity webhook sets on a pod. */
const pod = {
  AZURE_CLIENT_ID: cloud.clientId,
  AZURE_TENANT_ID: cloud.tenantId,
  AZURE_FEDERATED_TOKEN_FILE: volume.file,
  AZURE_AUTHORITY_HOST: cloud.authorityUrl,
};

const withAudience = async (name: 'usGov' | 'china'): Promise<string> => {
  const token = await cloud.kubernetes.issueToken({ audience: tokenExchangeAudience[name] });
  return (await cloud.kubernetes.writeProjectedVolume(join(folder, name), token)).file;
};

test('each source gets its token for the right client, tenant and resource from the Entra of its cloud', async () => {
  const proxy = await startProxy({ resolve: cloud.hosts });
  const [govFile, chinaFile] = await Promise.all([withAudience('usGov'), withAudience('china')]);
  const govPod = {
    AZURE_CLIENT_ID: azureRMUSGov.parameters['serviceprincipalid'] ?? '',
    AZURE_TENANT_ID: azureRMUSGov.parameters['tenantid'] ?? '',
    AZURE_FEDERATED_TOKEN_FILE: govFile,
    AZURE_AUTHORITY_HOST: 'https://login.microsoftonline.us/',
  };
  const rows = [
    {
      name: 'user',
      inputs: { credentialSource: 'azureDevOps', azureDevOpsServiceConnection: 'devops' },
      source: 'azureDevOps',
      host: 'login.microsoftonline.com',
      client: azureDevOps.parameters.ServicePrincipalId,
      tenant: azureDevOps.parameters.TenantId,
      resource: '499b84ac-1321-427f-aa17-267ca6975798',
      services: ['devops', 'entra'],
    },
    {
      name: 'own',
      inputs: { credentialSource: 'PIPELINE', tenantId: ` ${cloud.tenantId}\t`, clientId: cloud.clientId },
      source: 'pipeline',
      host: 'login.microsoftonline.com',
      client: cloud.clientId,
      tenant: cloud.tenantId,
      resource: 'https://management.azure.com',
      services: ['devops', 'entra'],
    },
    {
      name: 'pod',
      inputs: { credentialSource: 'kubernetes', scopes: 'graph' },
      env: { ...pod, AZURE_AUTHORITY_HOST: '' },
      source: 'kubernetes',
      host: 'login.microsoftonline.com',
      client: cloud.clientId,
      tenant: cloud.tenantId,
      resource: 'https://graph.microsoft.com',
      services: ['entra'],
    },
    {
      name: 'podOfTheGovernment',
      inputs: { credentialSource: 'kubernetes' },
      env: govPod,
      source: 'kubernetes',
      host: 'login.microsoftonline.us',
      client: govPod.AZURE_CLIENT_ID,
      tenant: govPod.AZURE_TENANT_ID,
      resource: 'https://management.usgovcloudapi.net',
      services: ['entra'],
    },
    {
      // The inputs win over every variable of the pod.
      name: 'podByInputs',
      inputs: {
        credentialSource: 'kubernetes',
        clientId: azureRMChina.parameters['serviceprincipalid'] ?? '',
        tenantId: azureRMChina.parameters['tenantid'] ?? '',
        tokenFilePath: chinaFile,
        authorityHost: 'https://login.partner.microsoftonline.cn/',
        scopes: 'keyVault',
      },
      env: govPod,
      source: 'kubernetes',
      host: 'login.partner.microsoftonline.cn',
      client: azureRMChina.parameters['serviceprincipalid'],
      tenant: azureRMChina.parameters['tenantid'],
      resource: 'https://vault.azure.cn',
      services: ['entra'],
    },
  ];
  try {
    const { job, of } = await runSteps(cloud, rows, { proxy: { url: proxy.url, bypass: ['localhost'] } });
    for (const { name, source, host, client, tenant, resource, services } of rows) {
      const outcome = of(name);
      assertSucceeded(outcome);
      assert.deepEqual(
        outcome.requests.map(({ service }) => service),
        services,
        name,
      );
      const outputs = values(outcome);
      const claims = decodeJwt(outputs['accessToken'] ?? '');
      assert.deepEqual(
        { client: claims['appid'], tenant: claims['tid'], resource: claims.aud },
        { client, tenant, resource },
      );
      assert.equal(to('entra', outcome.requests)[0]?.host, host);
      assert.equal(outputs['authorityHost'], `https://${host}/`);
      assert.equal(outputs['credentialSource'], source);
      assert.equal(outputs['clientId'], client);
      assert.equal(outputs['tenantId'], tenant);
      assert.equal(outputs['subscriptionId'], undefined);
    }
    const asked = (name: string) => new URL(`https://x${to('devops', of(name).requests)[0]?.path}`).searchParams;
    assert.equal(asked('user').get('serviceConnectionId'), azureDevOps.id);
    assert.equal(asked('own').has('serviceConnectionId'), false, 'the pipeline’s own identity has no connection');
    assertNothingLeaked(cloud, job);
  } finally {
    await proxy.close();
  }
});

test('each fault of the Kubernetes token file has an error of its own, and no request is made', async () => {
  const file = (name: string, content: string): string => {
    writeFileSync(join(folder, name), content);
    return join(folder, name);
  };
  const { kubernetes } = cloud;
  const rows = [
    {
      title: 'no variable at all',
      env: {},
      code: 'ET_KUBERNETES_VARIABLES',
      says: /AZURE_CLIENT_ID.*AZURE_TENANT_ID.*AZURE_FEDERATED_TOKEN_FILE.*azure\.workload\.identity\/use/,
    },
    {
      title: 'one variable alone is missing',
      env: { ...pod, AZURE_FEDERATED_TOKEN_FILE: '' },
      code: 'ET_KUBERNETES_VARIABLES',
      says: /has no AZURE_FEDERATED_TOKEN_FILE \(input tokenFilePath\)\./,
    },
    { title: 'missing', file: join(folder, 'nowhere', 'token'), code: 'ET_KUBERNETES_FILE_MISSING', says: /not exist/ },
    { title: 'empty', file: file('empty', ' \n'), code: 'ET_KUBERNETES_FILE_EMPTY', says: /is empty/ },
    { title: 'a folder', file: folder, code: 'ET_KUBERNETES_FILE_WRONG', says: /is a folder/ },
    { title: 'large', file: file('large', 'x'.repeat(65_537)), code: 'ET_KUBERNETES_FILE_WRONG', says: /64 KiB/ },
    {
      title: 'no JWT',
      file: file('text', 'a secret of another kind'),
      code: 'ET_KUBERNETES_FILE_WRONG',
      says: /not a JWT/,
    },
    {
      title: 'expired',
      file: file('expired', await kubernetes.issueToken({ lifetimeSeconds: -60 })),
      code: 'ET_KUBERNETES_TOKEN_EXPIRED',
      says: /expired at \d{4}-\d\d-\d\dT/,
    },
    {
      title: 'for the API server of the cluster',
      file: file('audience', await kubernetes.issueToken({ audience: 'https://kubernetes.default.svc.cluster.local' })),
      code: 'ET_KUBERNETES_TOKEN_AUDIENCE',
      says: /for the API server of the cluster \(audience https:\/\/kubernetes\.default\.svc\.cluster\.local\)/,
    },
  ];
  const steps = rows.map(({ file: path, env }, index) => ({
    name: `row${index}`,
    inputs: { credentialSource: 'kubernetes' },
    env: env ?? { ...pod, AZURE_FEDERATED_TOKEN_FILE: path ?? '' },
  }));
  const { job, of } = await runSteps(cloud, steps);
  for (const [index, { title, code, says }] of rows.entries()) {
    const outcome = of(`row${index}`);
    assert.match(assertFailed(outcome, code), says, title);
    assert.deepEqual(outcome.requests, [], title);
  }
  assert.ok(!job.log.some((line) => line.includes('a secret of another kind')));
  assertNothingLeaked(cloud, job);
});

test('a volume that is rotated without a pause is read whole each time', async () => {
  const tokens = await Promise.all(['a', 'b', 'c'].map(() => cloud.kubernetes.issueToken()));
  let rotating = true;
  const rotation = (async () => {
    for (let count = 0; rotating; count++) {
      await volume.rotate(tokens[count % tokens.length]);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  })();
  const scopes = ['arm', 'a = graph', 'b = keyVault', 'c = storage', 'd = sql', 'e = aks'];
  const { of } = await runSteps(cloud, [
    {
      name: 'pod',
      inputs: { credentialSource: 'kubernetes', scopes: scopes.join('\n'), exportIdToken: 'true' },
      env: pod,
    },
  ]);
  rotating = false;
  await rotation;
  assertSucceeded(of('pod'));
  assert.equal(of('pod').requests.length, scopes.length);
  assert.ok(tokens.includes(values(of('pod'))['idToken'] ?? ''));
});

/** The pod says another client, tenant and authority: none of that may count. */
const otherPod = {
  AZURE_CLIENT_ID: cloud.multitenant.clientId,
  AZURE_TENANT_ID: cloud.multitenant.otherTenantId,
  AZURE_AUTHORITY_HOST: 'https://127.0.0.1:1/',
  AZURE_FEDERATED_TOKEN_FILE: volume.file,
};
const devOps = (does: Fault['do']): Fault[] => [{ service: 'devops', do: does }];
/** Longer than all tries may take, so that this answer is the last one. */
const down: Fault['do'] = { kind: 'answer', status: 503, retryAfter: { seconds: 3600 } };
const gone = { ...azureRM, id: '22222222-3333-4444-8555-666666666666', name: 'deleted' };

test('Kubernetes stands in for Azure DevOps where that could not be asked, and nowhere else', async () => {
  const apiToken = join(folder, 'api-token');
  writeFileSync(apiToken, await cloud.kubernetes.issueToken({ audience: 'https://kubernetes.default.svc' }));
  const user = {
    credentialSource: 'azureDevOps',
    azureDevOpsServiceConnection: 'devops',
    authorityHost: cloud.authorityUrl,
  };
  const own = {
    credentialSource: 'pipeline',
    tenantId: cloud.tenantId,
    clientId: cloud.clientId,
    authorityHost: cloud.authorityUrl,
  };
  const prod = { azureSubscription: 'prod' };
  const rows = [
    { title: 'no oidctoken endpoint', inputs: prod, faults: devOps(answers.notFound) },
    { title: 'no oidctoken endpoint, for a user of Azure DevOps', inputs: user, faults: devOps(answers.notFound) },
    { title: '5xx to the end', inputs: own, faults: devOps(down) },
    {
      title: 'the file of the input rather than of the variable',
      inputs: { ...prod, tokenFilePath: volume.file },
      env: { ...otherPod, AZURE_FEDERATED_TOKEN_FILE: join(folder, 'nowhere') },
      faults: devOps(down),
    },
    { title: '401', inputs: prod, faults: devOps({ kind: 'answer', status: 401 }), code: 'ET_DEVOPS_UNAUTHORIZED' },
    { title: '403', inputs: prod, faults: devOps(answers.forbidden), code: 'ET_DEVOPS_FORBIDDEN' },
    { title: 'no such connection', inputs: { azureSubscription: 'deleted' }, code: 'ET_DEVOPS_CONNECTION_REFUSED' },
    {
      title: 'an Entra error',
      inputs: prod,
      faults: [{ service: 'entra' as const, do: entraError(700213, 'No match.') }],
      code: 'ET_SUBJECT_MISMATCH',
    },
    {
      title: 'not wanted',
      inputs: { ...prod, kubernetesFallback: 'false' },
      faults: devOps(down),
      code: 'ET_DEVOPS_UNAVAILABLE',
    },
    {
      title: 'no file',
      inputs: prod,
      env: { ...otherPod, AZURE_FEDERATED_TOKEN_FILE: join(folder, 'nowhere') },
      faults: devOps(down),
      code: 'ET_DEVOPS_UNAVAILABLE',
    },
    {
      title: 'a token for the API server of the cluster',
      inputs: { azureSubscription: 'prod' },
      faults: devOps(down),
      env: {
        ...otherPod,
        AZURE_FEDERATED_TOKEN_FILE: apiToken,
      },
      code: 'ET_KUBERNETES_TOKEN_AUDIENCE',
    },
  ];
  const steps = rows.map(({ inputs, env, faults }, index) => ({
    name: `row${index}`,
    inputs,
    env: env ?? otherPod,
    ...(faults === undefined ? {} : { faults }),
  }));
  const connections = [...Object.values(cloud.connections), gone];
  const { job, of } = await runSteps(cloud, steps, { connections });
  for (const [index, { title, inputs, code }] of rows.entries()) {
    const outcome = of(`row${index}`);
    const warnings = outcome.step.issues.filter(({ type }) => type === 'warning');
    const exchanges = to('entra', outcome.requests);
    if (code !== undefined) {
      assertFailed(outcome, code);
      const presented = exchanges.map(({ form }) => decodeJwt(form?.['client_assertion'] ?? '').iss);
      assert.ok(!presented.includes(cloud.kubernetes.issuer), `${title}: no other identity path is tried`);
      continue;
    }
    assertSucceeded(outcome);
    assert.equal(warnings.length, 1, `${title}: a warning on the step`);
    assert.match(warnings[0]?.message ?? '', /ET_DEVOPS_/);
    const outputs = values(outcome);
    const client = inputs === user ? azureDevOps.parameters.ServicePrincipalId : cloud.clientId;
    assert.equal(outputs['credentialSource'], 'kubernetes', title);
    assert.equal(outputs['clientId'], client);
    assert.equal(outputs['tenantId'], cloud.tenantId);
    assert.equal(exchanges.length, 1);
    assert.equal(exchanges[0]?.form?.['client_id'], client);
    assert.equal(exchanges[0]?.path.split('/')[1], cloud.tenantId);
    assert.equal(decodeJwt(exchanges[0]?.form?.['client_assertion'] ?? '').iss, cloud.kubernetes.issuer);
  }
  assertNothingLeaked(cloud, job);
});

for (const { title, options, code } of [
  { title: 'a job without a token', options: { jobToken: undefined }, code: 'ET_JOB_TOKEN_MISSING' },
  {
    title: 'a job of Azure DevOps Server',
    options: { variables: { ...jobVariables(cloud), 'System.ServerType': 'OnPremises' } },
    code: 'ET_DEVOPS_SERVER',
  },
]) {
  test(`Kubernetes stands in where Azure DevOps could not be asked: ${title}`, async () => {
    const { jobToken, ...base } = rehearsalOptions(cloud);
    const token = 'jobToken' in options || jobToken === undefined ? {} : { jobToken };
    const before = cloud.requests.length;
    const job = await runJob({
      ...base,
      ...token,
      ...(options.variables === undefined ? {} : { variables: options.variables }),
      environment: otherPod,
      pipeline: 'steps: [{ task: EntraToken@1, name: entra, inputs: { azureSubscription: prod } }]',
    });
    assert.equal(job.result, 'Succeeded', job.log.join('\n'));
    assert.equal(job.outputs['entra.credentialSource']?.value, 'kubernetes');
    assert.equal(job.outputs['entra.clientId']?.value, cloud.clientId);
    assert.ok(job.log.some((line) => line.startsWith(`##[warning]${code}: `)));
    assert.deepEqual(
      cloud.requests.slice(before).map(({ service }) => service),
      ['entra'],
    );
    assertNothingLeaked(cloud, job);
  });
}
