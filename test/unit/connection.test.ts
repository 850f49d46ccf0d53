import './build-constants.ts';
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readAuthority } from '../../tasks/EntraTokenV1/request/authority.ts';
import { china, france, germany, publicCloud, usGovernment } from '../../tasks/EntraTokenV1/request/clouds.ts';
import { type ConnectionKind, readConnection } from '../../tasks/EntraTokenV1/request/connection.ts';
import { endpoint } from './fake-agent.ts';

for (const [text, origin] of [
  ['https://login.microsoftonline.com', 'https://login.microsoftonline.com'],
  ['https://login.microsoftonline.com/', 'https://login.microsoftonline.com'],
  ['https://LOGIN.microsoftonline.us/common', 'https://login.microsoftonline.us'],
  ['https://login.local:8443/', 'https://login.local:8443'],
  // Only a path that begins with /adfs is one of AD FS.
  ['https://login.local/myadfs', 'https://login.local'],
] as const) {
  test(`the authority ${text} is ${origin}`, () => assert.equal(readAuthority(text, 'here'), origin));
}

for (const [text, code] of [
  ['http://login.microsoftonline.com/', 'ET_NOT_HTTPS'],
  ['ftp://login.microsoftonline.com/', 'ET_NOT_HTTPS'],
  ['login.microsoftonline.com', 'ET_INPUT'],
  ['https://', 'ET_INPUT'],
  ['https://user@login.microsoftonline.com/', 'ET_INPUT'],
  ['https://user:word@login.microsoftonline.com/', 'ET_INPUT'],
  ['https://:word@login.microsoftonline.com/', 'ET_INPUT'],
  ['https://login.microsoftonline.com/?next=https://evil.example', 'ET_INPUT'],
  ['https://login.microsoftonline.com/#x', 'ET_INPUT'],
  ['https://fs.contoso.com/adfs', 'ET_ADFS'],
  ['https://fs.contoso.com/ADFS/oauth2', 'ET_ADFS'],
] as const) {
  test(`the authority ${text} is refused with ${code}`, () => {
    assert.throws(() => readAuthority(text, 'here'), { name: 'Failure', code });
  });
}

const told = { authorityIsNamed: false, isRehearsal: false };
const spn = { serviceprincipalid: 'client', tenantid: 'tenant' };
const read = (kind: ConnectionKind, data: Record<string, string>, parameters: Record<string, string> = spn) =>
  readConnection(kind, 'id', endpoint({ parameters, data }), told);

for (const { title, data, cloud, authority } of [
  { title: 'no data at all', data: {}, cloud: publicCloud, authority: publicCloud.authority },
  {
    title: 'the public cloud',
    data: { environment: 'AzureCloud' },
    cloud: publicCloud,
    authority: publicCloud.authority,
  },
  {
    title: 'the US Government',
    data: { environment: 'AzureUSGovernment' },
    cloud: usGovernment,
    authority: usGovernment.authority,
  },
  {
    title: 'China, in another case',
    data: { environment: 'azurechinacloud' },
    cloud: china,
    authority: china.authority,
  },
  {
    title: 'another name of its cloud’s Entra',
    data: { environment: 'AzureCloud', activeDirectoryAuthority: 'https://login.windows.net/' },
    cloud: publicCloud,
    authority: 'https://login.windows.net',
  },
  {
    title: 'a sovereign cloud by its name',
    data: { environment: 'AzureBleuCloud' },
    cloud: france,
    authority: france.authority,
  },
  {
    title: 'a sovereign cloud by its authority, whatever its environment is called',
    data: { environment: 'Delos', activeDirectoryAuthority: 'https://login.sovcloud-identity.de/' },
    cloud: germany,
    authority: germany.authority,
  },
  {
    title: 'the two authorities, of which the first counts',
    data: {
      activeDirectoryAuthority: 'https://login.microsoftonline.com/',
      environmentAuthorityUrl: 'https://login.windows.net/',
    },
    cloud: publicCloud,
    authority: 'https://login.microsoftonline.com',
  },
  {
    title: 'the second authority alone',
    data: { environmentAuthorityUrl: 'https://login.windows.net/' },
    cloud: publicCloud,
    authority: 'https://login.windows.net',
  },
  {
    title: 'no environment, but an authority that tells it',
    data: { activeDirectoryAuthority: 'https://login.microsoftonline.us/' },
    cloud: usGovernment,
    authority: 'https://login.microsoftonline.us',
  },
]) {
  test(`the cloud and authority of a connection with ${title}`, () => {
    const connection = read('azureRM', data);
    assert.equal(connection.cloud, cloud);
    assert.equal(connection.authority, authority);
  });
}

test('a connection to Azure DevOps needs client and tenant alone, and nothing of its data counts', () => {
  const connection = read(
    'azureDevOps',
    { environment: 'AzureStack', subscriptionid: 's' },
    { ServicePrincipalId: 'client', TenantId: 'tenant' },
  );
  assert.equal(connection.cloud, publicCloud);
  assert.equal(connection.authority, publicCloud.authority);
  assert.equal(connection.subscriptionId, undefined);
  assert.equal(connection.clientId, 'client');
});

const evil = 'https://evil.example/';
const likePublic = {
  environmentUrl: 'https://management.azure.com/',
  environmentAuthorityUrl: 'https://login.windows.net/',
  activeDirectoryServiceEndpointResourceId: 'https://management.core.windows.net/',
};
for (const { title, data, says } of [
  {
    title: 'the public cloud',
    data: { environment: 'AzureCloud', activeDirectoryAuthority: evil },
    says: /is of the Azure public cloud \(AzureCloud\), whose authority is https:\/\/login\.microsoftonline\.com, but names https:\/\/evil\.example\./,
  },
  { title: 'no cloud', data: { activeDirectoryAuthority: evil }, says: /evil\.example/ },
  { title: 'no cloud, in the second place', data: { environmentAuthorityUrl: evil }, says: /evil\.example/ },
  {
    title: 'the US Government',
    data: { environment: 'AzureUSGovernment', activeDirectoryAuthority: 'https://login.microsoftonline.com/' },
    says: /names https:\/\/login\.microsoftonline\.com\./,
  },
  {
    title: 'the public cloud, on this machine',
    data: { environment: 'AzureCloud', activeDirectoryAuthority: 'https://localhost:8443/' },
    says: /localhost:8443/,
  },
  {
    title: 'a host that only begins like Entra’s',
    data: { environment: 'AzureCloud', activeDirectoryAuthority: 'https://login.microsoftonline.com.evil.example/' },
    says: /evil/,
  },
  ...Object.entries(likePublic).map(([name, value]) => ({
    title: `a private cloud whose ${name} is the public cloud’s`,
    data: { environment: 'AzureStack', activeDirectoryAuthority: evil, [name]: value },
    says: new RegExp(`but its ${name} is that of the Azure public cloud`),
  })),
]) {
  test(`an authority of a stranger is refused: ${title}`, () => {
    assert.throws(() => read('azureRM', data), { code: 'ET_AUTHORITY_REFUSED', message: says });
    // The step may name it.
    const connection = endpoint({ parameters: spn, data });
    assert.ok(readConnection('azureRM', 'id', connection, { authorityIsNamed: true, isRehearsal: false }));
  });
}

test('in a rehearsal Entra may be on this machine, and nowhere else', () => {
  const local = (activeDirectoryAuthority: string) =>
    readConnection(
      'azureRM',
      'id',
      endpoint({ parameters: spn, data: { environment: 'AzureCloud', activeDirectoryAuthority } }),
      { authorityIsNamed: false, isRehearsal: true },
    );
  assert.equal(local('https://localhost:8443/').authority, 'https://localhost:8443');
  assert.throws(() => local(evil), { code: 'ET_AUTHORITY_REFUSED' });
});

test('a private cloud may sign in at a known Entra', () => {
  const { authority } = read('azureRM', {
    ...likePublic,
    environment: 'AzureStack',
    activeDirectoryAuthority: 'https://login.windows.net/',
  });
  assert.equal(authority, 'https://login.windows.net');
});

test('a private cloud is what its connection describes', () => {
  const { cloud, authority } = read('azureRM', {
    environment: 'AzureStack',
    activeDirectoryAuthority: 'https://login.local/',
    activeDirectoryServiceEndpointResourceId: 'https://management.local/x',
    graphUrl: 'https://graph.local/',
  });
  assert.equal(authority, 'https://login.local');
  assert.deepEqual(cloud.resources, { arm: 'https://management.local/x', graph: 'https://graph.local/' });
  assert.equal(cloud.terraformEnvironment, undefined);
});

for (const { title, data, parameters, scheme, code, says } of [
  {
    title: 'a private cloud without an authority',
    data: { environment: 'AzureStack' },
    code: 'ET_CONNECTION_INCOMPLETE',
    says: /no authority/,
  },
  {
    title: 'the cloud that was closed',
    data: { environment: 'AzureGermanCloud' },
    code: 'ET_CONNECTION_INCOMPLETE',
    says: /Germany/,
  },
  { title: 'AD FS by its flag', data: { EnableAdfsAuthentication: 'true' }, code: 'ET_ADFS', says: /AD FS/ },
  { title: 'no client', parameters: { tenantid: 't' }, code: 'ET_CONNECTION_INCOMPLETE', says: /no client ID\.$/ },
  {
    title: 'no tenant',
    parameters: { serviceprincipalid: 'c' },
    code: 'ET_CONNECTION_INCOMPLETE',
    says: /no tenant ID\.$/,
  },
  { title: 'neither', parameters: {}, code: 'ET_CONNECTION_INCOMPLETE', says: /no client ID and no tenant ID/ },
  // A tenant stands in the address of the request.
  {
    title: 'a tenant with a path',
    parameters: { serviceprincipalid: 'c', tenantid: '../x' },
    code: 'ET_CONNECTION_INCOMPLETE',
    says: /tenant ID .* malformed/,
  },
  {
    title: 'a client with a line end',
    parameters: { serviceprincipalid: 'c\nx', tenantid: 't' },
    code: 'ET_CONNECTION_INCOMPLETE',
    says: /client ID .* malformed/,
  },
  { title: 'a secret', scheme: 'ServicePrincipal', code: 'ET_CONNECTION_NOT_FEDERATED', says: /with a secret/ },
  { title: 'no scheme', scheme: '', code: 'ET_CONNECTION_NOT_FEDERATED', says: /no scheme/ },
  { title: 'a scheme of tomorrow', scheme: 'Quantum', code: 'ET_CONNECTION_NOT_FEDERATED', says: /Quantum/ },
]) {
  test(`a connection is refused: ${title}`, () => {
    const connection = endpoint({
      parameters: parameters ?? spn,
      data: data ?? {},
      ...(scheme === undefined ? {} : { scheme }),
    });
    assert.throws(() => readConnection('azureRM', 'id', connection, told), { code, message: says });
  });
}

test('the scheme is compared without regard to case, and a late ID token is trimmed', () => {
  const connection = readConnection(
    'azureRM',
    'id',
    endpoint({ scheme: 'workloadidentityfederation', parameters: { ...spn, IdToken: ' a.b.c\n' } }),
    told,
  );
  assert.equal(connection.lateBoundIdToken?.reveal(), 'a.b.c');
});
