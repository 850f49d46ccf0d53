import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import {
  isExportedTokenFile,
  isTokenFolder,
  newTokenFolder,
  removeTokenFolder,
  tokenFileIn,
} from '../../tasks/EntraTokenV1/background/token-folder.ts';
import {
  type ExportFacts,
  exportVariables,
  needsTokenFile,
  ownSubscription,
} from '../../tasks/EntraTokenV1/publish/exports.ts';
import { setExports } from '../../tasks/EntraTokenV1/publish/set-exports.ts';
import { exportKinds } from '../../tasks/EntraTokenV1/request/inputs.ts';
import { readRequest } from '../../tasks/EntraTokenV1/request/request.ts';
import { fakeAgent } from './fake-agent.ts';

const facts: ExportFacts = {
  kinds: new Set(),
  clientId: 'client',
  tenantId: 'tenant',
  authority: 'https://login.local',
  terraformEnvironment: 'public',
  subscriptionId: 'subscription',
  serviceConnectionId: 'connection',
  fromAzureDevOps: true,
  isBound: false,
};
const withoutConnection = { subscriptionId: undefined, serviceConnectionId: undefined };
const workloadIdentity = {
  AZURE_CLIENT_ID: 'client',
  AZURE_TENANT_ID: 'tenant',
  AZURE_AUTHORITY_HOST: 'https://login.local/',
  AZURE_FEDERATED_TOKEN_FILE: '/file',
};
const azurePipelines = {
  AZURESUBSCRIPTION_CLIENT_ID: 'client',
  AZURESUBSCRIPTION_TENANT_ID: 'tenant',
  AZURESUBSCRIPTION_SERVICE_CONNECTION_ID: 'connection',
};
const terraform = { ARM_USE_OIDC: 'true', ARM_CLIENT_ID: 'client', ARM_TENANT_ID: 'tenant' };
const terraformAsks = {
  ...terraform,
  ARM_SUBSCRIPTION_ID: 'subscription',
  ARM_ENVIRONMENT: 'public',
  ARM_ADO_PIPELINE_SERVICE_CONNECTION_ID: 'connection',
  ARM_OIDC_AZURE_SERVICE_CONNECTION_ID: 'connection',
};
const azcopy = { ...workloadIdentity, AZCOPY_AUTO_LOGIN_TYPE: 'WORKLOAD', AZCOPY_TENANT_ID: 'tenant' };

for (const { title, kinds, changes = {}, file, variables } of [
  { title: 'nothing', kinds: [], file: false, variables: {} },
  { title: 'the file alone', kinds: ['tokenFile'], file: true, variables: {} },
  { title: 'workload identity', kinds: ['workloadIdentity'], file: true, variables: workloadIdentity },
  { title: 'the pipelines credential', kinds: ['azurePipelines'], file: false, variables: azurePipelines },
  { title: 'Terraform with a connection', kinds: ['terraform'], file: false, variables: terraformAsks },
  {
    title: 'Terraform without a connection',
    kinds: ['terraform'],
    changes: withoutConnection,
    file: true,
    variables: { ...terraform, ARM_ENVIRONMENT: 'public', ARM_OIDC_TOKEN_FILE_PATH: '/file' },
  },
  {
    // Azure DevOps could not be asked in this step; the provider could not ask it either.
    title: 'Terraform with a connection for which Kubernetes stands in',
    kinds: ['terraform'],
    changes: { fromAzureDevOps: false },
    file: true,
    variables: {
      ...terraform,
      ARM_SUBSCRIPTION_ID: 'subscription',
      ARM_ENVIRONMENT: 'public',
      ARM_OIDC_TOKEN_FILE_PATH: '/file',
    },
  },
  {
    title: 'Terraform in a private cloud without a subscription',
    kinds: ['terraform'],
    changes: { terraformEnvironment: undefined, subscriptionId: undefined },
    file: false,
    variables: {
      ...terraform,
      ARM_ADO_PIPELINE_SERVICE_CONNECTION_ID: 'connection',
      ARM_OIDC_AZURE_SERVICE_CONNECTION_ID: 'connection',
    },
  },
  { title: 'AzCopy', kinds: ['azcopy'], file: true, variables: azcopy },
  {
    title: 'everything',
    kinds: exportKinds,
    file: true,
    variables: { ...azcopy, ...azurePipelines, ...terraformAsks },
  },
] satisfies {
  title: string;
  kinds: readonly (typeof exportKinds)[number][];
  changes?: Partial<ExportFacts>;
  file: boolean;
  variables: Record<string, string>;
}[]) {
  test(`the variables of ${title}`, () => {
    const all = { ...facts, ...changes, kinds: new Set(kinds) };
    assert.equal(needsTokenFile(all), file);
    const given = Object.fromEntries(exportVariables(all, file ? '/file' : undefined));
    assert.deepEqual(given, variables);
    // With both, a provider of Terraform holds on to the file, and dies with the token in it.
    assert.ok(!('ARM_OIDC_TOKEN_FILE_PATH' in given && 'ARM_ADO_PIPELINE_SERVICE_CONNECTION_ID' in given));
  });
}

const asking = { ...facts, kinds: new Set(['terraform'] as const) };
const reading = { ...asking, ...withoutConnection };

/** What the job has after a step that exports these, as the next step finds it. */
function jobAfter(exports: ExportFacts, file?: string, before: Record<string, string> = {}): Record<string, string> {
  const { agent, told } = fakeAgent({ variables: before });
  setExports(exports, file, agent);
  return { ...before, ...told.set };
}

function exportAfter(variables: Record<string, string>, exports: ExportFacts, file?: string) {
  const { agent, told } = fakeAgent({ variables });
  setExports(exports, file, agent);
  return { ...told, text: told.log.join('\n'), warned: told.warnings.join('\n') };
}

test('Terraform’s other way, exported by an earlier step, is emptied, and said', () => {
  const first = exportAfter(jobAfter(reading, '/file'), asking);
  assert.equal(first.set['ARM_OIDC_TOKEN_FILE_PATH'], '');
  assert.equal(first.set['ARM_ADO_PIPELINE_SERVICE_CONNECTION_ID'], 'connection');
  assert.match(first.text, /SYSTEM_ACCESSTOKEN: \$\(System\.AccessToken\)/);
  assert.match(first.text, /emptied +ARM_OIDC_TOKEN_FILE_PATH: /);
  assert.deepEqual(first.warnings, []);

  const second = exportAfter(jobAfter(asking), reading, '/file');
  assert.equal(second.set['ARM_OIDC_TOKEN_FILE_PATH'], '/file');
  assert.equal(second.set['ARM_ADO_PIPELINE_SERVICE_CONNECTION_ID'], '');
  assert.equal(second.set['ARM_OIDC_AZURE_SERVICE_CONNECTION_ID'], '');
});

// azure-pipelines-terraform #288, #232.
for (const [title, later] of [
  ['a connection of a management group', { ...asking, subscriptionId: undefined }],
  ['the pipeline’s own identity', reading],
  ['a private cloud', { ...asking, subscriptionId: undefined, terraformEnvironment: undefined }],
] as const) {
  test(`the subscription of an earlier step does not stay beside ${title}`, () => {
    const { set, text } = exportAfter(jobAfter(asking), later, '/file');
    assert.equal(set['ARM_SUBSCRIPTION_ID'], '');
    assert.equal(set['ARM_ENVIRONMENT'], later.terraformEnvironment === undefined ? '' : undefined);
    assert.match(text, /emptied +ARM_SUBSCRIPTION_ID/);
  });
}

test('a value that a user set stays: before, in between, and where it is the same as the step’s', () => {
  for (const variables of [
    { ARM_SUBSCRIPTION_ID: 'mine' },
    { ...jobAfter(asking), ARM_SUBSCRIPTION_ID: 'mine' },
    jobAfter(asking, undefined, { ARM_SUBSCRIPTION_ID: 'subscription' }),
  ]) {
    const { set, text } = exportAfter(variables, reading, '/file');
    assert.equal(set['ARM_SUBSCRIPTION_ID'], undefined);
    assert.doesNotMatch(text, /emptied.*ARM_SUBSCRIPTION_ID/);
  }
});

test('what a third step finds was exported by the second', () => {
  const third = exportAfter(jobAfter(reading, '/file', jobAfter(asking)), { ...asking, subscriptionId: 'other' });
  assert.equal(third.set['ARM_SUBSCRIPTION_ID'], 'other');
  assert.equal(third.set['ARM_OIDC_TOKEN_FILE_PATH'], '');
});

test('AzCopy is not left in the tenant of an earlier step with the client of this one', () => {
  const copying = { ...facts, kinds: new Set(['azcopy'] as const) };
  const other = { ...facts, tenantId: 'other', kinds: new Set(['workloadIdentity'] as const) };
  const { set } = exportAfter(jobAfter(copying, '/file'), other, '/file');
  assert.equal(set['AZCOPY_TENANT_ID'], '');
  assert.equal(set['AZCOPY_AUTO_LOGIN_TYPE'], '');
  const same = exportAfter(jobAfter(copying, '/file'), { ...other, tenantId: 'tenant' }, '/file');
  assert.equal(same.set['AZCOPY_TENANT_ID'], undefined);
});

test('a variable that a printed line made out to be the memory of exports empties nothing but these names', () => {
  for (const memory of ['{', 'null', '[]', '{"PATH":"x"}', JSON.stringify({ ARM_SUBSCRIPTION_ID: 'x', PATH: {} })]) {
    const { set } = exportAfter(
      { 'EntraToken.Exported': memory, ARM_SUBSCRIPTION_ID: 'mine', PATH: '/bin' },
      reading,
      '/f',
    );
    assert.equal(set['ARM_SUBSCRIPTION_ID'], undefined);
    assert.equal(set['PATH'], undefined);
  }
});

test('azure-pipelines-tasks #1678, #21622: a secret variable of the job is named with the line to map', () => {
  const { agent, told } = fakeAgent({ environment: { VSTS_SECRET_VARIABLES: '["arm_client_id","ARM_OTHER"]' } });
  setExports(asking, undefined, agent);
  assert.equal(told.warnings.length, 1);
  assert.match(told.warnings[0] ?? '', /ARM_CLIENT_ID as secret variables .* env: ARM_CLIENT_ID: \$\(ARM_CLIENT_ID\)$/);
});

for (const [title, exports, environment, named] of [
  [
    'Terraform with a connection',
    asking,
    { ARM_CLIENT_SECRET: 'x', ARM_OIDC_TOKEN: 'x', ARM_CLIENT_CERTIFICATE_PATH: '/x', ARM_OIDC_TOKEN_FILE_PATH: '/x' },
    ['ARM_CLIENT_CERTIFICATE_PATH', 'ARM_CLIENT_SECRET', 'ARM_OIDC_TOKEN', 'ARM_OIDC_TOKEN_FILE_PATH'],
  ],
  ['Terraform without one', reading, { ARM_OIDC_TOKEN: 'x', ARM_OIDC_REQUEST_TOKEN: 'x' }, ['ARM_OIDC_TOKEN']],
  [
    'the Azure SDKs',
    { ...facts, kinds: new Set(['workloadIdentity'] as const) },
    {
      AZURE_CLIENT_SECRET: 'x',
      AZURE_CLIENT_CERTIFICATE_PATH: '/x',
      AZURE_USERNAME: 'x',
      AZURE_TOKEN_CREDENTIALS: 'dev',
    },
    ['AZURE_CLIENT_SECRET', 'AZURE_CLIENT_CERTIFICATE_PATH', 'AZURE_USERNAME', 'AZURE_TOKEN_CREDENTIALS'],
  ],
  [
    'a pod with an identity binding, whose tools would send it the token of Azure DevOps',
    { ...facts, kinds: new Set(['workloadIdentity'] as const) },
    { AZURE_KUBERNETES_TOKEN_PROXY: 'https://x' },
    ['AZURE_KUBERNETES_TOKEN_PROXY'],
  ],
] satisfies [string, ExportFacts, Record<string, string>, string[]][]) {
  test(`what tools take first is named: ${title}`, () => {
    const { agent, told } = fakeAgent({ environment });
    setExports(exports, '/file', agent);
    assert.equal(told.warnings.length, 1, told.warnings.join('\n'));
    assert.ok(told.warnings[0]?.startsWith(`The later steps find ${named.join(', ')} as well`), told.warnings[0]);
  });
}

test('nothing is named where tools are content with what is there', () => {
  const { agent, told } = fakeAgent({
    environment: { AZURE_TOKEN_CREDENTIALS: 'WorkloadIdentityCredential', ARM_CLIENT_SECRET: '', ARM_USE_MSI: 'true' },
  });
  setExports({ ...facts, kinds: new Set(exportKinds) }, '/file', agent);
  assert.deepEqual(told.warnings, []);
});

test('a secret variable that tools take first is named as well', () => {
  const { agent, told } = fakeAgent({ environment: { VSTS_SECRET_VARIABLES: '["ARM_CLIENT_SECRET"]' } });
  setExports(asking, undefined, agent);
  assert.match(told.warnings.join(), /^Where a step maps the secret variables of the job, it finds ARM_CLIENT_SECRET/);
});

test('the subscription of a connection is not exported for another tenant than the connection’s', () => {
  const { agent } = fakeAgent({
    inputs: { connectedServiceNameARM: 'c1', tenantId: 'partner', additionallyAllowedTenants: '*' },
    connections: {
      c1: { parameters: { serviceprincipalid: 'client', tenantid: 'home' }, data: { subscriptionid: 'of-home' } },
    },
  });
  assert.equal(ownSubscription(readRequest(agent)), undefined);
  assert.equal(ownSubscription({ ...readRequest(agent), tenantId: 'HOME' }), 'of-home');
});

test('after a fallback, nobody is told that the tool asks Azure DevOps', () => {
  const { agent, told } = fakeAgent({});
  setExports({ ...facts, fromAzureDevOps: false, kinds: new Set(['azurePipelines']) }, undefined, agent);
  assert.doesNotMatch(told.log.join('\n'), /asks for new tokens itself/);
  assert.match(
    told.warnings.join('\n'),
    /azurePipelines: its tools ask Azure DevOps .* could not be asked in this step/,
  );
});

test('Terraform, which knows no token proxy, is said not to work with an identity binding', () => {
  const { agent, told } = fakeAgent({});
  setExports({ ...reading, fromAzureDevOps: false, isBound: true }, '/file', agent);
  assert.match(told.warnings.join('\n'), /terraform: the token of this pod is for an identity binding/);
});

test('what the job has already as it is to be is not set again: it may be read-only', () => {
  const { set } = exportAfter({ ARM_CLIENT_ID: 'client', ARM_TENANT_ID: 'another' }, asking);
  assert.equal(set['ARM_CLIENT_ID'], undefined);
  assert.equal(set['ARM_TENANT_ID'], 'tenant');
});

const temporary = mkdtempSync(join(tmpdir(), 'unit-exports-'));
after(() => rmSync(temporary, { recursive: true }));

test('a folder of ours is removed with all that is in it, twice if need be; any other path is left alone', () => {
  const ours = newTokenFolder(temporary);
  assert.notEqual(newTokenFolder(temporary), ours);
  mkdirSync(ours);
  writeFileSync(tokenFileIn(ours), 'x');
  assert.ok(isTokenFolder(ours) && isExportedTokenFile(tokenFileIn(ours)));
  removeTokenFolder(ours);
  removeTokenFolder(ours);
  assert.ok(!existsSync(ours));
  const uuid = '0f1e2d3c-4b5a-4697-8879-6a5b4c3d2e1f';
  for (const name of [
    'other',
    `entra-token-${uuid}x`,
    `x-entra-token-${uuid}`,
    'entra-token-',
    `entra-token-${uuid.toUpperCase()}`,
  ]) {
    const other = join(temporary, name);
    mkdirSync(other);
    removeTokenFolder(other);
    assert.ok(existsSync(other), name);
    assert.ok(!isTokenFolder(other) && !isExportedTokenFile(join(other, 'id-token')));
  }
  removeTokenFolder('');
  removeTokenFolder(dirname(temporary));
  assert.ok(existsSync(temporary));
  assert.ok(!isExportedTokenFile('/var/run/secrets/azure/wi/token/azure-identity-token'));
});
