import './build-constants.ts';
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type IdTokenAddress, readJob } from '../../tasks/EntraTokenV1/agent/job.ts';
import { china, publicCloud, usGovernment } from '../../tasks/EntraTokenV1/request/clouds.ts';
import { readRequest } from '../../tasks/EntraTokenV1/request/request.ts';
import { type AgentFacts, fakeAgent } from './fake-agent.ts';

const connections = {
  rm: { parameters: { serviceprincipalid: 'rm-client', tenantid: 'rm-tenant' }, data: { subscriptionid: 'sub' } },
  gov: {
    parameters: { serviceprincipalid: 'gov-client', tenantid: 'gov-tenant' },
    data: { environment: 'AzureUSGovernment' },
  },
  user: { parameters: { ServicePrincipalId: 'user-client', TenantId: 'user-tenant' } },
};
const rm = { connectedServiceNameARM: 'rm' };
const pod = {
  AZURE_CLIENT_ID: 'pod-client',
  AZURE_TENANT_ID: 'pod-tenant',
  AZURE_FEDERATED_TOKEN_FILE: '/var/run/secrets/azure/wi/token/azure-identity-token',
  AZURE_AUTHORITY_HOST: 'https://login.chinacloudapi.cn/',
};
const read = (facts: AgentFacts) => readRequest(fakeAgent({ connections, ...facts }).agent);

for (const { title, inputs, environment, expected } of [
  {
    title: 'azureRM, which is the default',
    inputs: rm,
    expected: {
      clientId: 'rm-client',
      tenantId: 'rm-tenant',
      authority: publicCloud.authority,
      scope: 'https://management.azure.com/.default',
    },
  },
  {
    title: 'azureRM in another cloud',
    inputs: { connectedServiceNameARM: 'gov' },
    expected: {
      clientId: 'gov-client',
      tenantId: 'gov-tenant',
      authority: usGovernment.authority,
      scope: 'https://management.usgovcloudapi.net/.default',
    },
  },
  {
    // Whatever the pod says: the connection is the identity.
    title: 'azureRM on a pod',
    inputs: rm,
    environment: pod,
    expected: {
      clientId: 'rm-client',
      tenantId: 'rm-tenant',
      authority: publicCloud.authority,
      scope: 'https://management.azure.com/.default',
    },
  },
  {
    title: 'azureDevOps on a pod',
    inputs: { credentialSource: 'azureDevOps', azureDevOpsServiceConnection: 'user' },
    environment: pod,
    expected: {
      clientId: 'user-client',
      tenantId: 'user-tenant',
      authority: publicCloud.authority,
      scope: '499b84ac-1321-427f-aa17-267ca6975798/.default',
    },
  },
  {
    title: 'pipeline on a pod',
    inputs: { credentialSource: 'pipeline', clientId: 'c', tenantId: 'contoso.onmicrosoft.com' },
    environment: pod,
    expected: {
      clientId: 'c',
      tenantId: 'contoso.onmicrosoft.com',
      authority: publicCloud.authority,
      scope: 'https://management.azure.com/.default',
    },
  },
  {
    title: 'pipeline in the US Government',
    inputs: {
      credentialSource: 'pipeline',
      clientId: 'c',
      tenantId: 't',
      authorityHost: 'https://login.microsoftonline.us',
    },
    expected: {
      clientId: 'c',
      tenantId: 't',
      authority: usGovernment.authority,
      scope: 'https://management.usgovcloudapi.net/.default',
    },
  },
  {
    title: 'kubernetes by the variables of the pod',
    inputs: { credentialSource: 'kubernetes' },
    environment: pod,
    expected: {
      clientId: 'pod-client',
      tenantId: 'pod-tenant',
      authority: china.authority,
      scope: 'https://management.chinacloudapi.cn/.default',
    },
  },
  {
    title: 'kubernetes by inputs',
    inputs: {
      credentialSource: 'kubernetes',
      clientId: 'c',
      tenantId: 't',
      tokenFilePath: '/t',
      authorityHost: 'https://login.windows.net/',
    },
    environment: pod,
    expected: {
      clientId: 'c',
      tenantId: 't',
      authority: 'https://login.windows.net',
      scope: 'https://management.azure.com/.default',
    },
  },
  {
    title: 'a client that repeats the connection’s in another case',
    inputs: { ...rm, clientId: 'RM-CLIENT' },
    expected: {
      clientId: 'rm-client',
      tenantId: 'rm-tenant',
      authority: publicCloud.authority,
      scope: 'https://management.azure.com/.default',
    },
  },
  {
    // An authority in no list is one of the identity's own cloud.
    title: 'an authority host that nobody knows',
    inputs: { connectedServiceNameARM: 'gov', authorityHost: 'https://login.local:8443/' },
    expected: {
      clientId: 'gov-client',
      tenantId: 'gov-tenant',
      authority: 'https://login.local:8443',
      scope: 'https://management.usgovcloudapi.net/.default',
    },
  },
]) {
  test(`the identity of ${title}`, () => {
    const request = read({ inputs, ...(environment === undefined ? {} : { environment }) });
    const { clientId, tenantId, authority, scopes } = request;
    assert.deepEqual({ clientId, tenantId, authority, scope: scopes[0]?.scope }, expected);
    assert.equal(scopes.length, 1);
  });
}

const own = { credentialSource: 'pipeline', clientId: 'c', tenantId: 't' };
for (const { title, inputs, says } of [
  { title: 'an unknown source', inputs: { credentialSource: 'aws' }, says: [/credentialSource is 'aws'/] },
  { title: 'a boolean that is none', inputs: { ...rm, exportIdToken: 'yes' }, says: [/exportIdToken is 'yes'/] },
  { title: 'an export that is none', inputs: { ...rm, exportEnvironment: 'terraform, docker' }, says: [/'docker'/] },
  { title: 'a tenant with a blank', inputs: { ...rm, tenantId: 'a b' }, says: [/tenantId is 'a b'/] },
  { title: 'a tenant that leaves its place in the address', inputs: { ...rm, tenantId: '../x' }, says: [/tenantId/] },
  {
    title: 'a connection for another source',
    inputs: { ...own, ...rm },
    says: [/azureSubscription does not fit/],
  },
  {
    title: 'the other connection',
    inputs: { ...rm, azureDevOpsServiceConnection: 'user' },
    says: [/azureDevOpsServiceConnection does not fit/],
  },
  {
    title: 'an export that needs a connection',
    inputs: { ...own, exportEnvironment: 'azurePipelines' },
    says: [/azurePipelines needs a service connection/],
  },
  {
    title: 'a token file that nothing reads',
    inputs: { ...rm, kubernetesFallback: 'false', tokenFilePath: '/t' },
    says: [/tokenFilePath does not fit/],
  },
  {
    title: 'a source without its tenant and client',
    inputs: { credentialSource: 'pipeline' },
    says: [/tenantId is missing/, /clientId is missing/],
  },
  {
    title: 'another client than the connection’s, and a scope',
    inputs: { ...rm, clientId: 'x', scopes: 'nosuch' },
    says: [/clientId is x/, /nosuch/],
  },
  { title: 'a macro', inputs: { ...rm, tenantId: '$(tenant)' }, says: [/tenantId holds \$\(tenant\)/] },
  {
    title: 'a macro for the connection',
    inputs: { connectedServiceNameARM: '$(connection)' },
    says: [/\$\(connection\)/],
  },
  {
    title: 'a template expression',
    inputs: { ...rm, scopes: '$'.concat('{{ parameters.x }}') },
    says: [/scopes holds \$\{\{/],
  },
  { title: 'a runtime expression', inputs: { ...rm, claims: '$[variables.x]' }, says: [/claims holds \$\[/] },
  { title: 'claims that are a list', inputs: { ...rm, claims: '[]' }, says: [/claims/] },
  { title: 'claims that are cut off', inputs: { ...rm, claims: '{"a":' }, says: [/claims/] },
  {
    title: 'claims that are neither JSON nor Base64',
    inputs: { ...rm, claims: 'error="insufficient_claims"' },
    says: [/claims/],
  },
  { title: 'claims of which a member is no object', inputs: { ...rm, claims: '{"id_token":null}' }, says: [/claims/] },
  {
    title: 'an authority, a client, a tenant and a scope',
    inputs: { ...rm, authorityHost: 'http://login', clientId: 'x', tenantId: 'other', scopes: 'nosuch' },
    says: [/authorityHost.*https/, /clientId is x/, /tenantId is other.*additionallyAllowedTenants: other/, /nosuch/],
  },
  {
    title: 'what the pod lacks, and a scope',
    inputs: { credentialSource: 'kubernetes', scopes: 'nosuch' },
    says: [/AZURE_CLIENT_ID/, /nosuch/],
  },
  {
    title: 'everything at once',
    inputs: { claims: '1', enableCae: '2', scopes: 'a b', tenantId: '?' },
    says: [/claims/, /enableCae/, /line 1/, /tenantId/, /azureSubscription/],
  },
]) {
  test(`one message names: ${title}`, () => {
    assert.throws(
      () => read({ inputs }),
      (error: Error) => {
        assert.equal('code' in error && error.code, 'ET_INPUT', error.message);
        for (const expected of says) assert.match(error.message, expected);
        return true;
      },
    );
  });
}

for (const [inputs, says] of [
  [
    { exportEnvironment: 'terrafrom' },
    /exportEnvironment has 'terrafrom': did you mean terraform\? It has to be one of/,
  ],
  [{ exportEnvironment: 'dotnet' }, /'dotnet': it has to be one of tokenFile, /],
  [{ enableCae: 'ture' }, /enableCae is 'ture': did you mean true\? It has to be true or false\./],
  [{ kubernetesFallback: 'no' }, /kubernetesFallback is 'no': did you mean false\?/],
  [{ tokenEndpoint: 'accessToken' }, /tokenEndpoint has 'accessToken': did you mean accessTokens\?/],
] as const) {
  test(`a misspelt value has the nearest one beside it: ${JSON.stringify(inputs)}`, () => {
    assert.throws(() => read({ inputs: { ...rm, ...inputs } }), says);
  });
}

describe('an input that the task does not have', () => {
  const warningsOf = (environment: Record<string, string>, variables: Record<string, string> = {}): string[] => {
    const { agent, told } = fakeAgent({ inputs: rm, environment, variables, connections });
    readRequest(agent);
    return told.warnings;
  };
  for (const [name, meant] of [
    ['SCOPE', 'scopes'],
    ['KUBERNETESFALBACK', 'kubernetesFallback'],
    ['AZURESUBSRIPTION', 'azureSubscription'],
    ['TENANT', 'tenantId'],
  ] as const) {
    test(`is a warning with the nearest name: ${name}`, () => {
      assert.deepEqual(warningsOf({ [`INPUT_${name}`]: 'x' }), [
        `The task has no input ${name}, so its value is not used. Did you mean ${meant}?`,
      ]);
    });
  }
  test('is a warning with all names where none is near', () => {
    assert.match(warningsOf({ INPUT_WHATEVER: 'x' }).join(), /The inputs are credentialSource, .*azureSubscription\.$/);
  });
  test('is none of those that the agent passes unset, nor the alias', () => {
    assert.deepEqual(warningsOf({ INPUT_SCOPES: '', INPUT_CLAIMS: '', INPUT_AZURESUBSCRIPTION: 'prod' }), []);
  });
  test('is no variable of the pipeline that looks alike', () => {
    assert.deepEqual(warningsOf({}, { 'input.scope': 'x' }), []);
  });
});

test('of a source that there is not, nothing else is said', () => {
  const inputs = { credentialSource: 'devops', azureDevOpsServiceConnection: 'user', clientId: 'x' };
  assert.throws(() => read({ inputs }), {
    code: 'ET_INPUT',
    message:
      "credentialSource is 'devops': did you mean azureDevOps? It has to be one of azureRM, azureDevOps, pipeline, kubernetes.",
  });
});

for (const { title, inputs, code } of [
  { title: 'an authority without TLS', inputs: { ...rm, authorityHost: 'http://login' }, code: 'ET_NOT_HTTPS' },
  { title: 'an AD FS', inputs: { ...rm, authorityHost: 'https://x/adfs' }, code: 'ET_ADFS' },
  { title: 'a pod without variables', inputs: { credentialSource: 'kubernetes' }, code: 'ET_KUBERNETES_VARIABLES' },
]) {
  test(`the only fault has the code of its own: ${title}`, () => {
    assert.throws(() => read({ inputs }), { code });
  });
}

test('the ID of a connection is known in upper case too', () => {
  const id = 'a6a4b4a1-4a7e-4d1c-9f40-5f0a3f1b7c01';
  const facts = { inputs: { connectedServiceNameARM: id.toUpperCase() }, connections: { [id]: connections.gov } };
  assert.equal(read(facts).cloud, usGovernment);
});

for (const [tenantId, additionallyAllowedTenants, allowed] of [
  ['', '', true],
  ['RM-TENANT', '', true],
  ['other', '', false],
  ['other', 'third, fourth', false],
  ['other', 'third; OTHER', true],
  ['other', 'third\nother', true],
  ['other', '*', true],
  // A pattern is not a name.
  ['other', 'o*', false],
] as const) {
  test(`tenant '${tenantId}' beside '${additionallyAllowedTenants}' is ${allowed ? '' : 'not '}allowed`, () => {
    const facts = { inputs: { ...rm, tenantId, additionallyAllowedTenants } };
    if (allowed) assert.equal(read(facts).tenantId, tenantId || 'rm-tenant');
    else assert.throws(() => read(facts), { code: 'ET_TENANT_NOT_ALLOWED' });
  });
}

test('claims are taken as JSON and as Base64 of both alphabets', () => {
  const json = '{"access_token":{"acrs":{"essential":true,"value":"ÿþ?>"}}}';
  for (const claims of [
    json,
    ` ${json}\n`,
    Buffer.from(json).toString('base64'),
    Buffer.from(json).toString('base64url'),
  ]) {
    assert.deepEqual(JSON.parse(read({ inputs: { ...rm, claims } }).claims ?? ''), JSON.parse(json));
  }
});

test('the file of an earlier export is not taken for the pod’s own', () => {
  const exported = '/work/_temp/entra-token-0f1e2d3c-4b5a-4697-8879-6a5b4c3d2e1f/id-token';
  const environment = { ...pod, AZURE_FEDERATED_TOKEN_FILE: exported };
  assert.throws(() => read({ inputs: { credentialSource: 'kubernetes' }, environment }), {
    code: 'ET_KUBERNETES_VARIABLES',
  });
  const { source } = read({ inputs: rm, environment });
  assert.equal('fallback' in source && source.fallback, undefined);
});

const collection = 'https://dev.azure.com/contoso/';
const system = { 'System.TeamProjectId': 'p', 'System.PlanId': 'l', 'System.JobId': 'j' };
const made = (hub: string, base = collection): string =>
  `${base}p/_apis/distributedtask/hubs/${hub}/plans/l/jobs/j/oidctoken`;
const given = made('build');
const otherName = given.replace('dev.azure.com/contoso', 'contoso.visualstudio.com');

interface AddressCase {
  title: string;
  variables: Record<string, string>;
  /** Of the job's own connection. */
  url?: string;
  address: IdTokenAddress;
}

const addresses: AddressCase[] = [
  { title: 'as it is given', variables: { ...system, 'System.OidcRequestUri': given }, address: { url: given } },
  {
    title: 'given with a query',
    variables: { 'System.OidcRequestUri': `${given}?api-version=1#x` },
    address: { url: given },
  },
  ...[
    ['under its other name', collection, otherName],
    ['under its first name', 'https://contoso.visualstudio.com/', given],
    ['for a collection with a name', 'https://contoso.visualstudio.com/DefaultCollection/', otherName],
    ['under the host of releases', 'https://vsrm.dev.azure.com/contoso/', given],
    ['in other letters', 'https://dev.azure.com/Contoso/', given.replace('/j/', '/J/')],
    ['with the name of the project', collection, given.replace('/p/', '/the%20project/')],
  ].map(([what, url = '', uri = '']) => ({
    title: `given ${what}`,
    variables: { ...system, 'System.TeamProject': 'the project', 'System.OidcRequestUri': uri },
    url,
    address: { url: uri },
  })),
  ...['build', 'Build', 'checks', ''].map((type) => ({
    title: `made for the host type '${type}'`,
    variables: { ...system, 'System.HostType': type },
    address: { url: made('build') },
  })),
  ...['release', 'Release', 'deployment', 'gates'].map((type) => ({
    title: `made for the host type '${type}'`,
    variables: { ...system, 'System.HostType': type },
    address: { url: made('release') },
  })),
  {
    title: 'made of a collection without a slash at its end',
    variables: system,
    url: 'https://dev.azure.com/contoso',
    address: { url: made('build') },
  },
  ...[
    ['another host', 'https://evil.example/oidctoken'],
    ['another organization', given.replace('contoso', 'fabrikam')],
    ['another organization’s other name', otherName.replace('contoso', 'fabrikam')],
    ['another folder', given.replace('contoso/', 'contoso/x/')],
    ['another project', given.replace('/p/', '/q/')],
    ['another plan', given.replace('/l/', '/m/')],
    ['another job', given.replace('/j/', '/k/')],
    ['another endpoint', `${collection}_apis/pipelines/17/runs`],
    ['another endpoint of the job', given.replace('oidctoken', 'logs')],
    ['something behind it', `${given}/x`],
    ['a user', given.replace('dev.', 'user@dev.')],
    ['another port', given.replace('dev.azure.com', 'dev.azure.com:8443')],
    ['a host that only begins alike', given.replace('dev.azure.com', 'dev.azure.com.evil.example')],
    ['a host that only ends alike', given.replace('dev.azure.com', 'evildev.azure.com')],
    ['no TLS', given.replace('https:', 'http:')],
    ['no address', 'nonsense'],
  ].map(([what, uri]) => ({
    title: `made, because what is given has ${what}`,
    variables: { ...system, 'System.OidcRequestUri': uri ?? '' },
    address: { url: made('build') },
  })),
  {
    title: 'missing without a plan',
    variables: { ...system, 'System.PlanId': '' },
    address: { missing: ['System.PlanId'] },
  },
  {
    title: 'missing with a job that leaves its place',
    variables: { ...system, 'System.JobId': '../..' },
    address: { missing: ['System.JobId'] },
  },
  {
    title: 'refused without TLS',
    variables: system,
    url: 'http://localhost/contoso/',
    address: { notHttps: true },
  },
];

for (const { title, variables, url = collection, address } of addresses) {
  test(`the address of the ID token endpoint is ${title}`, () => {
    const { agent } = fakeAgent({ variables, connections: { SYSTEMVSSCONNECTION: { scheme: 'OAuth', url } } });
    assert.deepEqual(readJob(agent).idTokenAddress, address);
  });
}

for (const { title, url, variables, says } of [
  {
    title: 'a stranger',
    url: 'https://evil.example/',
    says: /https:\/\/evil\.example\/, which is not a host of Azure DevOps/,
  },
  { title: 'a host that only ends alike', url: 'https://evildev.azure.com/contoso/', says: /not a host/ },
  {
    title: 'a stranger where a variable knows better',
    url: 'https://evil.example/',
    variables: { 'System.CollectionUri': collection },
    says: /names https:\/\/evil\.example\/, but the variable System\.CollectionUri names https:\/\/dev\.azure\.com\/contoso\//,
  },
  {
    title: 'this machine where a variable knows better',
    url: 'https://localhost:8443/contoso/',
    variables: { 'System.CollectionUri': collection },
    says: /localhost:8443/,
  },
  {
    title: 'another port of this machine than a variable',
    url: 'https://localhost:8443/contoso/',
    variables: { 'System.CollectionUri': 'https://127.0.0.1:8444/contoso/' },
    says: /8444/,
  },
  {
    title: 'another organization than a variable',
    url: 'https://dev.azure.com/fabrikam/',
    variables: { 'System.TeamFoundationCollectionUri': 'https://contoso.visualstudio.com/' },
    says: /contoso/,
  },
]) {
  test(`the job token is not sent where the job’s connection names ${title}`, () => {
    const { agent } = fakeAgent({
      variables: { ...system, 'System.ServerType': 'Hosted', ...variables },
      connections: { SYSTEMVSSCONNECTION: { scheme: 'OAuth', url } },
    });
    assert.throws(() => readJob(agent), { code: 'ET_ORGANIZATION_REFUSED', message: says });
  });
}

for (const [url, type, isServer] of [
  [collection, 'Hosted', false],
  [collection, 'OnPremises', false],
  ['https://tfs.contoso.com/DefaultCollection/', 'OnPremises', true],
  ['https://localhost:8443/contoso/', 'OnPremises', true],
  ['https://localhost:8443/contoso/', '', false],
] as const) {
  test(`${url} with System.ServerType '${type}' is ${isServer ? 'a' : 'no'} server of one’s own`, () => {
    const { agent } = fakeAgent({
      variables: { ...system, 'System.ServerType': type },
      connections: { SYSTEMVSSCONNECTION: { scheme: 'OAuth', url } },
    });
    assert.equal(readJob(agent).isServer, isServer);
  });
}

for (const { title, parameters, variables, token } of [
  { title: 'the connection’s', parameters: { AccessToken: 'a' }, variables: { 'System.AccessToken': 'b' }, token: 'a' },
  {
    title: 'the variable’s where there is no other',
    parameters: {},
    variables: { 'System.AccessToken': ' b\n' },
    token: 'b',
  },
  { title: 'none', parameters: {}, variables: {}, token: undefined },
]) {
  test(`the job token is ${title}`, () => {
    const { agent } = fakeAgent({ variables, connections: { SYSTEMVSSCONNECTION: { scheme: 'OAuth', parameters } } });
    assert.equal(readJob(agent).token?.reveal(), token);
  });
}
