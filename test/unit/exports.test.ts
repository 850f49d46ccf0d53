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
  setExports,
} from '../../tasks/EntraTokenV1/publish/exports.ts';
import { exportKinds } from '../../tasks/EntraTokenV1/request/inputs.ts';
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

test('Terraform’s other way, left by an earlier step, is emptied', () => {
  const earlier = { ARM_OIDC_TOKEN_FILE_PATH: '/old', ARM_ADO_PIPELINE_SERVICE_CONNECTION_ID: 'old' };
  const asking = fakeAgent({ variables: earlier });
  setExports({ ...facts, kinds: new Set(['terraform']) }, undefined, asking.agent);
  assert.equal(asking.told.set['ARM_OIDC_TOKEN_FILE_PATH'], '');
  assert.equal(asking.told.set['ARM_ADO_PIPELINE_SERVICE_CONNECTION_ID'], 'connection');
  assert.ok(asking.told.log.some((line) => line.includes('SYSTEM_ACCESSTOKEN: $(System.AccessToken)')));

  const reading = fakeAgent({ variables: earlier });
  setExports({ ...facts, ...withoutConnection, kinds: new Set(['terraform']) }, '/file', reading.agent);
  assert.equal(reading.told.set['ARM_OIDC_TOKEN_FILE_PATH'], '/file');
  assert.equal(reading.told.set['ARM_ADO_PIPELINE_SERVICE_CONNECTION_ID'], '');
  assert.equal(reading.told.set['ARM_OIDC_AZURE_SERVICE_CONNECTION_ID'], undefined, 'it never was there');
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
