import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { runJob, type ServiceConnection } from '../agent/job.ts';
import { type Cloud, startCloud } from '../cloud/cloud.ts';
import { answers, entraError, type Fault, oidcTokenAnswers } from '../cloud/faults.ts';
import { jobVariables, rehearsalOptions } from '../rehearsal.ts';
import { assertFailed, assertNothingLeaked, type Rehearsed, runSteps, type TaskStep } from './run-steps.ts';

const cloud: Cloud = await startCloud();
after(() => cloud.close());

const devOps = (does: Fault['do']): Fault[] => [{ service: 'devops', do: does }];
const entra = (does: Fault['do']): Fault[] => [{ service: 'entra', do: does }];
const prod = (inputs: Record<string, string> = {}): Record<string, string> => ({
  azureSubscription: 'prod',
  ...inputs,
});

interface BadInput {
  title: string;
  inputs: Record<string, string>;
  faults?: Fault[];
  code: string;
  /** What the red line says. */
  says?: RegExp[];
  /** Requests to Azure DevOps and to Entra. */
  requests: [devOps: number, entra: number];
}

/** Ends before the first request. */
const before0 = { requests: [0, 0] as [number, number] };
/** Ends with the answer of Azure DevOps, which is final. */
const atDevOps = { inputs: prod(), requests: [1, 0] as [number, number] };
/** Ends with the answer of Entra, which is final. */
const atEntra = { inputs: prod(), requests: [1, 1] as [number, number] };

let counter = 0;
const other: ServiceConnection[] = [
  connection('no-client', { tenantid: cloud.tenantId }),
  connection('no-tenant', { serviceprincipalid: cloud.clientId }),
  connection('adfs', spn(), {
    environment: 'AzureStack',
    activeDirectoryAuthority: 'https://adfs.local.azurestack.external/adfs',
  }),
  connection('http', spn(), { activeDirectoryAuthority: cloud.authorityUrl.replace('https:', 'http:') }),
];

function spn(): Record<string, string> {
  return { serviceprincipalid: cloud.clientId, tenantid: cloud.tenantId };
}

function connection(
  name: string,
  parameters: Record<string, string>,
  data: Record<string, string> = {},
): ServiceConnection {
  counter += 1;
  return {
    id: `00000000-0000-4000-8000-${String(counter).padStart(12, '0')}`,
    name,
    type: 'azurerm',
    url: 'https://management.azure.com/',
    scheme: 'WorkloadIdentityFederation',
    parameters,
    data,
  };
}

const table: BadInput[] = [
  // Inputs.
  { title: 'no connection', inputs: {}, code: 'ET_INPUT', says: [/azureSubscription is missing/], ...before0 },
  {
    title: 'a connection that the agent does not hand over',
    inputs: { azureSubscription: '11111111-2222-3333-4444-555555555555' },
    code: 'ET_CONNECTION_UNAVAILABLE',
    ...before0,
  },
  {
    title: 'an unknown preset',
    inputs: prod({ scopes: 'keyVault\nx = keyvaults' }),
    code: 'ET_INPUT',
    says: [/line 2/, /'keyvaults': did you mean keyVault\?/],
    ...before0,
  },
  {
    title: 'a named line twice, in another case',
    inputs: prod({ scopes: 'kv = keyVault\n\nKV = arm' }),
    code: 'ET_INPUT',
    says: [/lines 1 and 3/, /KV/],
    ...before0,
  },
  {
    title: 'two lines without a name',
    inputs: prod({ scopes: 'arm\nkeyVault' }),
    code: 'ET_INPUT',
    says: [/lines 1 and 2/, /may have no name/],
    ...before0,
  },
  { title: 'a line that is only a name', inputs: prod({ scopes: 'kv =' }), code: 'ET_INPUT', says: [/kv/], ...before0 },
  {
    title: 'a macro left unexpanded in the scopes',
    inputs: prod({ scopes: 'kv = $(vaultUrl)' }),
    code: 'ET_INPUT',
    says: [/\$\(vaultUrl\)/, /not expanded/],
    ...before0,
  },
  {
    title: 'every fault in one message: values, contradictions and scopes',
    inputs: prod({ claims: '[1]', enableCae: 'maybe', exportEnvironment: 'docker', tenantId: 'a b', scopes: 'nosuch' }),
    code: 'ET_INPUT',
    says: [/claims/, /enableCae is 'maybe'/, /docker/, /tenantId/, /nosuch/],
    ...before0,
  },
  {
    title: 'every fault in one message: no connection, and a scope of none',
    inputs: { scopes: 'nosuch', clientId: '$(x.y)' },
    code: 'ET_INPUT',
    says: [/azureSubscription/, /nosuch/, /clientId/],
    ...before0,
  },
  {
    title: 'another client than the connection’s',
    inputs: prod({ clientId: '77777777-0000-4000-8000-000000000000' }),
    code: 'ET_INPUT',
    says: [/clientId is 77777777-/, /may only repeat/],
    ...before0,
  },
  { title: 'claims that are no JSON', inputs: prod({ claims: '{"access_token":' }), code: 'ET_INPUT', ...before0 },
  { title: 'claims that are no object', inputs: prod({ claims: '"text"' }), code: 'ET_INPUT', ...before0 },
  {
    title: 'another tenant, not allowed',
    inputs: { azureSubscription: 'multitenant', tenantId: cloud.multitenant.otherTenantId },
    code: 'ET_TENANT_NOT_ALLOWED',
    says: [new RegExp(`additionallyAllowedTenants: ${cloud.multitenant.otherTenantId}`)],
    ...before0,
  },

  // Connections.
  ...[
    [
      'with-secret',
      'ET_CONNECTION_NOT_FEDERATED',
      /ServicePrincipal with a secret.*Convert.*convert-service-connections/,
    ],
    ['with-certificate', 'ET_CONNECTION_NOT_FEDERATED', /ServicePrincipal with a certificate/],
    ['managed-identity', 'ET_CONNECTION_NOT_FEDERATED', /ManagedServiceIdentity/],
    ['publish-profile', 'ET_CONNECTION_NOT_FEDERATED', /PublishProfile/],
    ['no-client', 'ET_CONNECTION_INCOMPLETE', /no client ID/],
    ['no-tenant', 'ET_CONNECTION_INCOMPLETE', /no tenant ID/],
    ['adfs', 'ET_ADFS', /AD FS/],
    ['http', 'ET_NOT_HTTPS', /https:/],
  ].map(([name, code, says]): BadInput => {
    return {
      title: `a connection: ${String(name)}`,
      inputs: { azureSubscription: String(name) },
      code: String(code),
      says: says instanceof RegExp ? [says] : [],
      ...before0,
    };
  }),

  // Azure DevOps.
  { title: '401', ...atDevOps, faults: devOps({ kind: 'answer', status: 401 }), code: 'ET_DEVOPS_UNAUTHORIZED' },
  { title: '403', ...atDevOps, faults: devOps(answers.forbidden), code: 'ET_DEVOPS_FORBIDDEN' },
  { title: '404', ...atDevOps, faults: devOps(answers.notFound), code: 'ET_DEVOPS_NO_ENDPOINT' },
  {
    title: '203 with a sign-in page',
    ...atDevOps,
    faults: devOps(answers.signInPage),
    code: 'ET_DEVOPS_UNAUTHORIZED',
    says: [/203/, /sign-in page/],
  },
  {
    title: '302 to a sign-in page',
    ...atDevOps,
    faults: devOps(answers.signInRedirect),
    code: 'ET_DEVOPS_UNAUTHORIZED',
    says: [/302/, /sign-in page/],
  },
  { title: 'an empty 200', ...atDevOps, faults: devOps(answers.empty), code: 'ET_DEVOPS_ANSWER', says: [/empty/] },
  { title: 'a 200 with null', ...atDevOps, faults: devOps(answers.null), code: 'ET_DEVOPS_ANSWER' },
  {
    title: 'JSON without oidcToken',
    ...atDevOps,
    faults: devOps(oidcTokenAnswers.noOidcToken),
    code: 'ET_DEVOPS_ANSWER',
  },
  {
    title: 'an oidcToken that is no JWT',
    ...atDevOps,
    faults: devOps(oidcTokenAnswers.notAJwt),
    code: 'ET_DEVOPS_ANSWER',
    says: [/not a JWT/],
  },
  {
    title: 'a connection that an administrator disabled',
    ...atDevOps,
    inputs: { azureSubscription: 'switched-off' },
    code: 'ET_DEVOPS_CONNECTION_REFUSED',
    says: [/disabled/],
  },

  // Entra.
  ...(
    [
      [700213, 'ET_SUBJECT_MISMATCH'],
      [700211, 'ET_ISSUER_MISMATCH'],
      [700212, 'ET_AUDIENCE_MISMATCH'],
      [700024, 'ET_ASSERTION_TIME'],
      [700016, 'ET_CLIENT_UNKNOWN'],
      [500011, 'ET_RESOURCE_UNKNOWN'],
      [90002, 'ET_TENANT_UNKNOWN'],
    ] as const
  ).map(([aadsts, code]): BadInput => {
    return {
      title: `AADSTS${aadsts}`,
      ...atEntra,
      faults: entra(entraError(aadsts, "A sentence that quotes '##vso[task.complete result=Succeeded;]'.")),
      code,
      says: [
        new RegExp(`AADSTS${aadsts}\\b`),
        /trace ID 3f0c1f6e-5d0a-4a53-8a43-6e9d7f3c2b00/,
        /correlation ID 0d1b7f62-94f5-4c6b-a2f6-1be0c4f1d7a9/,
        /scopes, line 1 \(arm, https:\/\/management.azure.com\)/,
      ],
    };
  }),
  {
    title: 'AADSTS500021 (azure-docs #69022)',
    ...atEntra,
    faults: entra(entraError(500021, 'Access to the tenant is denied.')),
    code: 'ET_TENANT_RESTRICTION',
    says: [/no proxy for this host, so it is one that the network puts in/, /Restrict-Access-To-Tenants/],
  },
  {
    title: 'AADSTS700236 (Q&A 2139753)',
    ...atEntra,
    faults: entra(entraError(700236, 'Entra ID tokens issued by issuer … may not be used.')),
    code: 'ET_ENTRA_TOKEN_AS_ASSERTION',
    says: [
      /The ID token has the issuer .*'https:\/\/login\.microsoftonline\.com\//,
      /connection is on Entra’s own issuer/,
    ],
  },
  {
    title: 'AADSTS7002381 (triton-lang/triton #10680)',
    ...atEntra,
    faults: entra(entraError(7002381, 'must contain the enterprise claim')),
    code: 'ET_POLICY',
    says: [/Only an administrator of the tenant can change it/, /The ID token has the issuer/],
  },
  { title: 'an Entra answer that is no JSON', ...atEntra, faults: entra(answers.htmlInstead), code: 'ET_ENTRA_ANSWER' },
  {
    title: 'a resource that Entra does not know, among others that it knows',
    inputs: prod({ scopes: 'keyVault\nmine = api://nobody\narm2 = arm' }),
    code: 'ET_RESOURCE_UNKNOWN',
    says: [/scopes, line 2 \(mine = api:\/\/nobody\)/],
    requests: [1, 3],
  },
];

const steps: TaskStep[] = table.map(({ inputs, faults }, index) => ({
  name: `row${index}`,
  inputs,
  ...(faults === undefined ? {} : { faults }),
}));
let rehearsed: Rehearsed;

before(async () => {
  const connections = [...Object.values(cloud.connections), ...other];
  // Debug lines too must hold nothing secret.
  rehearsed = await runSteps(cloud, steps, { connections, systemDebug: true });
});

for (const [index, { title, code, says, requests }] of table.entries()) {
  test(`one clear failure: ${title}`, () => {
    const outcome = rehearsed.of(`row${index}`);
    const line = assertFailed(outcome, code);
    for (const expected of says ?? []) assert.match(line, expected);
    const count = (service: string): number => outcome.requests.filter((one) => one.service === service).length;
    assert.deepEqual([count('devops'), count('entra')], requests);
  });
}

test('no failure shows any part of a token, or of an answer that was not understood', () => {
  assertNothingLeaked(cloud, rehearsed.job);
  const log = rehearsed.job.log.join('\n');
  assert.doesNotMatch(log, /hostile|Please accept the terms|a-client-secret-of-nothing/);
  assert.equal(rehearsed.job.variables['PATH'], undefined, 'no command in an answer was obeyed');
});

const without = (...names: string[]): Record<string, string> =>
  Object.fromEntries(Object.entries(jobVariables(cloud)).filter(([name]) => !names.includes(name)));

for (const { title, code, says, options } of [
  {
    title: 'a job without a token',
    code: 'ET_JOB_TOKEN_MISSING',
    says: /no token/,
    options: { jobToken: undefined },
  },
  {
    title: 'a job without a plan and a job ID',
    code: 'ET_JOB_INCOMPLETE',
    says: /System\.PlanId.*System\.JobId/,
    options: { variables: without('System.OidcRequestUri', 'System.PlanId', 'System.JobId') },
  },
  {
    title: 'Azure DevOps Server',
    code: 'ET_DEVOPS_SERVER',
    says: /Server/,
    options: { variables: { ...jobVariables(cloud), 'System.ServerType': 'OnPremises' } },
  },
]) {
  test(`one clear failure, before any request: ${title}`, async () => {
    const before = cloud.requests.length;
    const { jobToken, ...base } = rehearsalOptions(cloud);
    const token = 'jobToken' in options || jobToken === undefined ? {} : { jobToken };
    const job = await runJob({
      ...base,
      ...token,
      ...(options.variables === undefined ? {} : { variables: options.variables }),
      pipeline: 'steps: [{ task: EntraToken@1, name: entra, inputs: { azureSubscription: prod } }]',
    });
    const step = job.steps.find(({ stage }) => stage === 'main');
    assert.ok(step);
    assert.match(assertFailed({ step, requests: [], outputs: job.outputs, log: job.log.join('\n') }, code), says);
    assert.equal(job.result, 'Failed');
    assert.equal(cloud.requests.length, before);
    assertNothingLeaked(cloud, job);
  });
}
