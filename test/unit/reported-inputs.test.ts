import './build-constants.ts';
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Failure } from '../../tasks/EntraTokenV1/failure/failure.ts';
import { type Request, readRequest } from '../../tasks/EntraTokenV1/request/request.ts';
import { type AgentFacts, fakeAgent } from './fake-agent.ts';

const tenant = '8d3f5c1e-7a64-4b0f-9a51-2f6f0c7b4e19';
const client = '0a7d4c52-93be-4f18-8c6e-d5b1f2e3a947';
const connections = {
  rm: { parameters: { serviceprincipalid: client, tenantid: tenant } },
  common: { parameters: { serviceprincipalid: client, tenantid: 'common' } },
};
const pipeline = { credentialSource: 'pipeline', clientId: client, tenantId: tenant };

const read = (facts: AgentFacts): Request => readRequest(fakeAgent({ connections, ...facts }).agent);

for (const [report, facts, says] of [
  ['msal-js #7528: the tenant common', { inputs: { ...pipeline, tenantId: 'common' } }, /^tenantId is 'common'/],
  ['msal-js #6531: organizations', { inputs: { ...pipeline, tenantId: 'Organizations' } }, /no tenant of its own/],
  ['msal-js #5567: consumers', { inputs: { ...pipeline, tenantId: 'consumers' } }, /no tenant of its own/],
  [
    'the tenant of personal accounts',
    { inputs: { ...pipeline, tenantId: '9188040d-6c67-4c5b-b112-36a304b66dad' } },
    /no tenant of its own/,
  ],
  [
    'common beside a connection',
    { inputs: { connectedServiceNameARM: 'rm', tenantId: 'common' } },
    /^tenantId is 'common', which stands for no tenant/,
  ],
  [
    'a connection that stores common',
    { inputs: { connectedServiceNameARM: 'common' } },
    /^the tenant of the identity is 'common'/,
  ],
  [
    'Agents-for-js #971: another tenant in authorityHost',
    {
      inputs: { ...pipeline, authorityHost: 'https://login.microsoftonline.com/11111111-2222-4333-8444-555555555555' },
    },
    /names the tenant '11111111-.*but the tenant of the step is 8d3f5c1e-.*Write the host alone, https:\/\/login/,
  ],
  [
    'the same beside a connection, with the rest of a token endpoint',
    { inputs: { connectedServiceNameARM: 'rm', authorityHost: 'https://login.microsoftonline.us/common/oauth2/v2.0' } },
    /names the tenant 'common'/,
  ],
  [
    'a relative tokenFilePath',
    { inputs: { credentialSource: 'kubernetes', clientId: client, tenantId: tenant, tokenFilePath: 'token' } },
    /tokenFilePath is 'token', a relative path/,
  ],
] as const) {
  test(`${report}: a fault of the input, before any request`, () => {
    assert.throws(
      () => read(facts),
      (error: Error) => {
        assert.ok(error instanceof Failure && error.code === 'ET_INPUT', error.message);
        assert.match(error.happened, says);
        return true;
      },
    );
  });
}

for (const [title, inputs, expected] of [
  ['quotation marks around values', { ...pipeline, tenantId: `"${tenant}"`, clientId: `'${client}'` }, {}],
  ['the braces of a GUID, and a comma', { ...pipeline, tenantId: `{${tenant}}`, clientId: `${client},` }, {}],
  ['blanks that nobody sees', { ...pipeline, tenantId: `\ufeff${tenant}\u200b` }, {}],
  [
    'a comma at the end of a list, and quotation marks within',
    { ...pipeline, exportEnvironment: '"terraform", tokenFile,' },
    { exports: new Set(['terraform', 'tokenFile']) },
  ],
  [
    'the step’s own tenant in authorityHost, in another case',
    { ...pipeline, authorityHost: `https://login.microsoftonline.us/${tenant.toUpperCase()}/` },
    { authority: 'https://login.microsoftonline.us' },
  ],
] as const) {
  test(`what users mean is taken: ${title}`, () => {
    const request = read({ inputs });
    const { tenantId, clientId } = request;
    assert.deepEqual({ tenantId, clientId }, { tenantId: tenant, clientId: client });
    for (const [name, value] of Object.entries(expected)) {
      assert.deepEqual(request[name === 'exports' ? 'exports' : 'authority'], value);
    }
  });
}

test('Azure/kubelogin #375: a pipeline variable AZURE_CLIENT_ID on an agent pod is explained as what it is', () => {
  const facts: AgentFacts = {
    inputs: { credentialSource: 'kubernetes' },
    variables: { AZURE_CLIENT_ID: client },
    environment: { AZURE_TENANT_ID: tenant, AZURE_FEDERATED_TOKEN_FILE: '/var/run/secrets/azure/wi/token/t' },
  };
  assert.throws(() => read(facts), {
    code: 'ET_KUBERNETES_VARIABLES',
    message: /AZURE_CLIENT_ID is a pipeline variable/,
  });
  // Written on the step, it is what the pipeline means to say.
  assert.equal(read({ ...facts, inputs: { ...facts.inputs, clientId: client } }).clientId, client);
});
