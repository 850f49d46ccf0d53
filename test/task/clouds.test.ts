import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { decodeJwt } from 'jose';
import type { PresetName } from '../../tasks/EntraTokenV1/request/clouds.ts';
import { startCloud } from '../cloud/cloud.ts';
import { assertFailed, assertNothingLeaked, assertSucceeded, runSteps, to, values } from './run-steps.ts';

const cloud = await startCloud();
after(() => cloud.close());

const { azureRM, azureRMUSGov, azureRMChina, azureRMMultitenant } = cloud.connections;

/** The audience of each preset, as Microsoft documents it for each cloud. */
const audiences = {
  prod: {
    arm: 'https://management.azure.com',
    graph: 'https://graph.microsoft.com',
    keyVault: 'https://vault.azure.net',
    storage: 'https://storage.azure.com',
    sql: 'https://database.windows.net',
    azureDevOps: '499b84ac-1321-427f-aa17-267ca6975798',
    aks: '6dae42f8-4368-4678-94ff-3960e28e3630',
    acr: 'https://containerregistry.azure.net',
    databricks: '2ff814a6-3304-4ab8-85cb-cd0e6f879c1d',
    serviceBus: 'https://servicebus.azure.net',
    eventHubs: 'https://eventhubs.azure.net',
    cosmos: 'https://cosmos.azure.com',
    postgres: 'https://ossrdbms-aad.database.windows.net',
    monitor: 'https://monitor.azure.com',
    appConfiguration: 'https://appconfig.azure.com',
    powerBI: 'https://analysis.windows.net/powerbi/api',
  },
  gov: {
    arm: 'https://management.usgovcloudapi.net',
    graph: 'https://graph.microsoft.us',
    keyVault: 'https://vault.usgovcloudapi.net',
    storage: 'https://storage.azure.com',
    sql: 'https://database.usgovcloudapi.net',
    aks: '6dae42f8-4368-4678-94ff-3960e28e3630',
    acr: 'https://containerregistry.azure.net',
    databricks: '2ff814a6-3304-4ab8-85cb-cd0e6f879c1d',
    serviceBus: 'https://servicebus.azure.net',
    eventHubs: 'https://eventhubs.azure.net',
    cosmos: 'https://cosmos.azure.us',
    postgres: 'https://ossrdbms-aad.database.usgovcloudapi.net',
    monitor: 'https://monitor.azure.us',
    appConfiguration: 'https://appconfig.azure.us',
    powerBI: 'https://analysis.usgovcloudapi.net/powerbi/api',
  },
  china: {
    arm: 'https://management.chinacloudapi.cn',
    graph: 'https://microsoftgraph.chinacloudapi.cn',
    keyVault: 'https://vault.azure.cn',
    storage: 'https://storage.azure.com',
    sql: 'https://database.chinacloudapi.cn',
    aks: '6dae42f8-4368-4678-94ff-3960e28e3630',
    acr: 'https://containerregistry.azure.net',
    databricks: '2ff814a6-3304-4ab8-85cb-cd0e6f879c1d',
    serviceBus: 'https://servicebus.azure.net',
    eventHubs: 'https://eventhubs.azure.net',
    cosmos: 'https://cosmos.azure.cn',
    postgres: 'https://ossrdbms-aad.database.chinacloudapi.cn',
    monitor: 'https://monitor.azure.cn',
    appConfiguration: 'https://appconfig.azure.cn',
    powerBI: 'https://analysis.chinacloudapi.cn/powerbi/api',
  },
} as const satisfies {
  // Each preset, or each that the cloud has: the compiler asks for a new one.
  prod: Record<PresetName, string>;
  gov: Record<Exclude<PresetName, 'azureDevOps'>, string>;
  china: Record<Exclude<PresetName, 'azureDevOps'>, string>;
};

/** An Azure Stack: nothing about it is known but what the connection says. */
const stack = {
  ...azureRM,
  id: '33333333-4444-4555-8666-777777777777',
  name: 'stack',
  data: {
    environment: 'AzureStack',
    activeDirectoryAuthority: cloud.authorityUrl,
    activeDirectoryServiceEndpointResourceId: 'https://management.contoso.onmicrosoft.com/0f1e2d3c/',
  },
};
cloud.addConnection(stack);
cloud.federatedCredentials.push({
  tenantId: cloud.tenantId,
  clientId: cloud.clientId,
  issuer: stack.parameters['workloadIdentityFederationIssuer'] ?? '',
  subject: stack.parameters['workloadIdentityFederationSubject'] ?? '',
  audience: 'api://AzureADTokenExchange',
});
cloud.resources.push(
  { resource: 'https://management.contoso.onmicrosoft.com/0f1e2d3c', cloud: 'public' },
  { resource: 'https://cosmos.azure.us', cloud: 'usGov' },
  { resource: 'https://cosmos.azure.cn', cloud: 'china' },
);
const connections = [...Object.values(cloud.connections), stack];

test('presets, authority and audience follow the cloud of the connection, by one token request each', async () => {
  const rows = (['prod', 'gov', 'china'] as const).map((name) => ({
    name,
    inputs: {
      azureSubscription: name,
      scopes: Object.keys(audiences[name])
        .map((preset) => `${preset} = ${preset.toUpperCase()}`)
        .join('\n'),
      exportIdToken: 'true',
    },
  }));
  const { job, of } = await runSteps(
    cloud,
    [
      ...rows,
      { name: 'stack', inputs: { azureSubscription: 'stack', scopes: 'arm\nother = https://vault.azure.net' } },
      { name: 'notThere', inputs: { azureSubscription: 'gov', scopes: 'arm\ndev = azureDevOps' } },
      { name: 'notInStack', inputs: { azureSubscription: 'stack', scopes: 'storage' } },
    ],
    { connections },
  );
  const authorities = { prod: cloud.authorities.public, gov: cloud.authorities.usGov, china: cloud.authorities.china };
  const exchangeAudience = { prod: '', gov: 'USGov', china: 'China' };
  for (const { name } of rows) {
    const outcome = of(name);
    assertSucceeded(outcome);
    const outputs = values(outcome);
    const given = Object.keys(audiences[name]).map((preset) => [
      preset,
      decodeJwt(outputs[`${preset}.accessToken`] ?? '').aud,
    ]);
    assert.deepEqual(Object.fromEntries(given), audiences[name]);
    assert.equal(decodeJwt(outputs['idToken'] ?? '').aud, `api://AzureADTokenExchange${exchangeAudience[name]}`);
    assert.equal(outputs['authorityHost'], authorities[name]);
    const hosts = new Set(to('entra', outcome.requests).map(({ host }) => host));
    assert.deepEqual(hosts, new Set([new URL(authorities[name]).host]));
    assert.equal(outcome.requests.length, 1 + given.length);
  }
  assertSucceeded(of('stack'));
  // The slash at its end is part of the resource.
  assert.equal(
    decodeJwt(values(of('stack'))['accessToken'] ?? '').aud,
    'https://management.contoso.onmicrosoft.com/0f1e2d3c/',
  );
  const missing = assertFailed(of('notThere'), 'ET_INPUT');
  assert.match(missing, /line 2.*'azureDevOps' does not exist in Azure US Government/);
  assert.match(assertFailed(of('notInStack'), 'ET_INPUT'), /'storage' does not exist in the private cloud/);
  assert.deepEqual([...of('notThere').requests, ...of('notInStack').requests], []);
  assert.ok(
    cloud.requests.every(({ method }) => method === 'POST'),
    'no look-up of any instance or metadata',
  );
  assertNothingLeaked(cloud, job);
});

test('claims, capability and tenant reach Entra as they were given', async () => {
  const challenge = { access_token: { nbf: { essential: true, value: '1760000000' } } };
  const json = JSON.stringify(challenge);
  const capability = { access_token: { xms_cc: { values: ['CP1'] } } };
  const both = { access_token: { ...challenge.access_token, ...capability.access_token } };
  const { otherTenantId, tenantId } = cloud.multitenant;
  const rows = [
    { name: 'json', inputs: { claims: json }, claims: challenge },
    { name: 'base64', inputs: { claims: Buffer.from(json).toString('base64') }, claims: challenge },
    { name: 'cae', inputs: { enableCae: 'True' }, claims: capability },
    { name: 'both', inputs: { claims: json, enableCae: 'true' }, claims: both },
    {
      name: 'named',
      inputs: { tenantId: otherTenantId, additionallyAllowedTenants: `x, ${otherTenantId.toUpperCase()}` },
    },
    { name: 'any', inputs: { tenantId: otherTenantId, additionallyAllowedTenants: '*' } },
    { name: 'own', inputs: { tenantId: tenantId.toUpperCase() } },
    // Without the slash at its end.
    { name: 'host', inputs: { authorityHost: cloud.authorityUrl.replace(/\/$/, '') } },
  ];
  const steps = rows.map(({ name, inputs }) => ({ name, inputs: { azureSubscription: 'multitenant', ...inputs } }));
  const { job, of } = await runSteps(cloud, steps);
  for (const { name, inputs, claims } of rows) {
    const outcome = of(name);
    assertSucceeded(outcome);
    const [exchange] = to('entra', outcome.requests);
    const sent = exchange?.form?.['claims'];
    // MSAL itself asks for optional claims of an ID token beside them.
    const { id_token: _, ...given } = sent === undefined ? {} : JSON.parse(sent);
    assert.deepEqual(sent === undefined ? undefined : given, claims, name);
    const tenant = 'tenantId' in inputs ? inputs.tenantId : tenantId;
    const access = decodeJwt(values(outcome)['accessToken'] ?? '');
    assert.equal(access['tid'], tenant.toLowerCase(), name);
    assert.equal(access['appid'], azureRMMultitenant.parameters['serviceprincipalid']);
    assert.equal(values(outcome)['tenantId'], tenant);
    assert.equal(outcome.requests.length, 2);
  }
  assertNothingLeaked(cloud, job);
});

test('the connections of this test are those of their clouds', () => {
  // Guards the expectations above: were the local cloud's data public everywhere, they would prove nothing.
  assert.deepEqual(
    [azureRM, azureRMUSGov, azureRMChina].map(({ data }) => data['environment']),
    ['AzureCloud', 'AzureUSGovernment', 'AzureChinaCloud'],
  );
});
