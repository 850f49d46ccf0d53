import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, test } from 'node:test';
import { decodeJwt } from 'jose';
import { stringify } from 'yaml';
import { type JobOptions, runJob } from '../agent/job.ts';
import { startCloud } from '../cloud/cloud.ts';
import { entraError } from '../cloud/faults.ts';
import { agentNodes } from '../later-steps/agent-nodes.ts';
import { jobVariables, rehearsalOptions } from '../rehearsal.ts';
import { assertFailed, assertNothingLeaked, assertSucceeded, runSteps, to, values } from './run-steps.ts';

const cloud = await startCloud();
after(() => cloud.close());

const prod = cloud.connections.azureRM;
const idToken = await cloud.issueIdToken({ connection: 'prod' });
const isoInstant = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/;

test('azureRM gives every output of the interface, secrets as secrets, with the fewest possible requests', async () => {
  const { job, of } = await runSteps(cloud, [
    {
      name: 'entra',
      inputs: {
        azureSubscription: 'prod',
        scopes:
          '\n  keyVault  \n\n graph=graph\nown_API2 = api://storefront/.default\nslash = https://storage.azure.com/\n',
        exportIdToken: 'true',
      },
    },
    { name: 'plain', inputs: { azureSubscription: 'prod' } },
    {
      name: 'named',
      inputs: { connectedServiceNameARM: prod.id, scopes: 'only = 6dae42f8-4368-4678-94ff-3960e28e3630' },
    },
    { name: 'long', inputs: { azureSubscription: 'prod', enableCae: 'true', scopes: 'arm\nkv = keyVault' } },
    { name: 'group', inputs: { azureSubscription: 'group' } },
  ]);
  const entra = of('entra');
  assertSucceeded(entra);
  const secrets = Object.entries(entra.outputs).flatMap(([name, { secret }]) => (secret ? [name] : []));
  assert.deepEqual(secrets.sort(), [
    'accessToken',
    'graph.accessToken',
    'idToken',
    'own_API2.accessToken',
    'slash.accessToken',
  ]);
  const {
    accessToken = '',
    expiresOn = '',
    idToken = '',
    'graph.accessToken': graph = '',
    'graph.expiresOn': graphExpiresOn = '',
    'own_API2.accessToken': own = '',
    'own_API2.expiresOn': ownExpiresOn = '',
    'slash.accessToken': slash = '',
    'slash.expiresOn': slashExpiresOn = '',
    ...plain
  } = values(entra);
  assert.deepEqual(plain, {
    tokenType: 'Bearer',
    tenantId: cloud.tenantId,
    clientId: cloud.clientId,
    subscriptionId: prod.data['subscriptionid'],
    credentialSource: 'azureRM',
    authorityHost: cloud.authorityUrl,
  });
  const audiences = await Promise.all(
    [accessToken, graph, own, slash].map(async (token) => (await cloud.verifyAccessToken(token)).aud),
  );
  // The slash at the end of the last one is part of the audience.
  assert.deepEqual(audiences, [
    'https://vault.azure.net',
    'https://graph.microsoft.com',
    'api://storefront',
    'https://storage.azure.com/',
  ]);
  for (const [token, expires] of [
    [accessToken, expiresOn],
    [graph, graphExpiresOn],
    [own, ownExpiresOn],
    [slash, slashExpiresOn],
  ] as const) {
    assert.match(expires, isoInstant);
    const drift = Math.abs(Date.parse(expires) / 1000 - Number(decodeJwt(token).exp));
    // It counts from the moment in which the answer was read; a busy machine reads it late.
    assert.ok(drift <= Math.max(2, entra.step.durationMs / 1000), `expiresOn is ${drift} s off the token's own expiry`);
  }
  const [asked, ...exchanges] = entra.requests;
  assert.equal(exchanges.length, 4);
  assert.equal(
    asked?.path,
    `${new URL(cloud.job.oidcRequestUri).pathname}?serviceConnectionId=${prod.id}&api-version=7.1`,
  );
  for (const { method, path, form } of exchanges) {
    assert.equal(`${method} ${path.split('?')[0]}`, `POST /${cloud.tenantId}/oauth2/v2.0/token`);
    assert.equal(form?.['client_id'], cloud.clientId);
    assert.equal(form?.['client_assertion'], idToken, 'all exchanges take the one ID token');
    assert.equal(form?.['claims'], undefined, 'no capability unless asked for');
  }
  assert.deepEqual(
    new Set(exchanges.map(({ form }) => form?.['scope']?.split(' ')[0])),
    new Set([
      'https://vault.azure.net/.default',
      'https://graph.microsoft.com/.default',
      'api://storefront/.default',
      'https://storage.azure.com//.default',
    ]),
  );

  const byDefault = of('plain');
  assertSucceeded(byDefault);
  assert.deepEqual(
    byDefault.requests.map(({ service }) => service),
    ['devops', 'entra'],
    'two requests for one token',
  );
  assert.equal(decodeJwt(values(byDefault)['accessToken'] ?? '').aud, 'https://management.azure.com');
  assert.equal(byDefault.outputs['idToken'], undefined, 'the ID token is an output only where it was asked for');
  assert.equal(byDefault.outputs['refreshOn'], undefined, 'Entra gave no time to refresh at');
  assert.equal(byDefault.outputs['federatedTokenFile'], undefined);

  const named = of('named');
  assertSucceeded(named);
  assert.equal(named.outputs['accessToken'], undefined, 'there is no line without a name');
  assert.equal(named.outputs['only.accessToken']?.secret, true);
  assert.equal(decodeJwt(values(named)['only.accessToken'] ?? '').aud, '6dae42f8-4368-4678-94ff-3960e28e3630');

  const long = values(of('long'));
  for (const prefix of ['', 'kv.']) {
    const [expires = '', refresh = ''] = [long[`${prefix}expiresOn`], long[`${prefix}refreshOn`]];
    assert.match(refresh, isoInstant);
    const half = (Date.parse(expires) - Date.parse(refresh)) / 3_600_000;
    assert.ok(Math.abs(half - 12) < 0.01, `Entra advises to refresh after 12 of 24 hours, not ${half} before the end`);
  }

  assertSucceeded(of('group'));
  assert.equal(of('group').outputs['subscriptionId'], undefined, 'a management group has no subscription');
  assertNothingLeaked(cloud, job);
});

test('later steps and later jobs read the outputs, and the token opens the API', async () => {
  const call = 'curl -fsS -H "Authorization: Bearer $TOKEN" "$VAULT/secrets/greeting"; echo " $SOURCE"';
  const job = await runJob({
    ...rehearsalOptions(cloud),
    pipeline: `
jobs:
  - job: A
    steps:
      - task: EntraToken@1
        name: entra
        inputs: { azureSubscription: prod, scopes: "kv = keyVault" }
      - bash: '${call}'
        env: { TOKEN: $(entra.kv.accessToken), SOURCE: $(entra.credentialSource), VAULT: $(vault) }
      - bash: 'test "$ENTRA_CREDENTIALSOURCE" = azureRM && test -z "$ENTRA_KV_ACCESSTOKEN"'
  - job: B
    dependsOn: A
    variables:
      token: $[ dependencies.A.outputs['entra.kv.accessToken'] ]
      source: $[ dependencies.A.outputs['entra.credentialSource'] ]
    steps:
      - bash: '${call}'
        env: { TOKEN: $(token), SOURCE: $(source), VAULT: $(vault) }
`,
  });
  assert.equal(job.result, 'Succeeded', job.log.join('\n'));
  const answers = job.log.filter((line) => line.includes('Hello from the protected API') && line.endsWith('} azureRM'));
  assert.equal(answers.length, 2);
  assertNothingLeaked(cloud, job);
});

const [node20, node24] = agentNodes.map(({ skip, path }) => (skip ? undefined : path));

for (const [title, options] of [
  ['the handler Node24 on Node 24', { handler: 'Node24', useNode24: true }],
  [
    'the handler Node24 on Node 20, as long as the organization has not switched it on',
    { handler: 'Node24', useNode24: false },
  ],
  ['the handler Node20_1 on Node 20, as an older agent takes it', { handler: 'Node20_1' }],
] satisfies [string, Partial<JobOptions>][]) {
  // Elsewhere no package brings the two versions along; the step then runs on the Node that runs the tests.
  const node = node20 !== undefined && node24 !== undefined ? { node: { node20, node24 } } : {};
  test(`${title}: System.Debug shows nothing secret, two requests, one token`, async () => {
    const { job, of } = await runSteps(cloud, [{ name: 'entra', inputs: { azureSubscription: 'prod' } }], {
      ...options,
      ...node,
      systemDebug: true,
    });
    const entra = of('entra');
    assertSucceeded(entra);
    assert.equal(entra.requests.length, 2);
    assert.ok(values(entra)['accessToken']);
    assert.ok(
      job.log.some((line) => line.startsWith('##[debug]')),
      'the job was run with System.Debug',
    );
    assert.ok(job.steps.every(({ exitCode }) => exitCode === 0));
    assertNothingLeaked(cloud, job);
  });
}

/** The variables of the job with some of them changed; `undefined` takes one away. */
function variables(changes: Record<string, string | undefined>): Record<string, string> {
  const all: Record<string, string | undefined> = { ...jobVariables(cloud), ...changes };
  return Object.fromEntries(Object.entries(all).filter((entry): entry is [string, string] => entry[1] !== undefined));
}

const tail = '/_apis/distributedtask/hubs/build/plans/p/jobs/j/oidctoken';

for (const [title, hub, changes] of [
  ['without System.OidcRequestUri the address is made from its parts', 'build', { 'System.OidcRequestUri': undefined }],
  [
    'a classic release has a hub of its own',
    'release',
    { 'System.OidcRequestUri': undefined, 'System.HostType': 'release' },
  ],
  [
    'a System.OidcRequestUri on another port of the host gets no job token',
    'build',
    { 'System.OidcRequestUri': `${cloud.apiUrl}contoso${tail}` },
  ],
] satisfies [string, string, Record<string, string | undefined>][]) {
  test(`${title}; still two requests for one token`, async (context) => {
    cloud.job.hub = hub;
    context.after(() => {
      cloud.job.hub = 'build';
    });
    const steps = [{ name: 'entra', inputs: { azureSubscription: 'prod' } }];
    const { job, of } = await runSteps(cloud, steps, { variables: variables(changes) });
    assertSucceeded(of('entra'));
    assert.deepEqual(
      of('entra').requests.map(({ service }) => service),
      ['devops', 'entra'],
    );
    const path = cloud.job.oidcRequestUri.replace('/hubs/build/', `/hubs/${hub}/`);
    assert.equal(to('devops', of('entra').requests)[0]?.path.split('?')[0], new URL(path).pathname);
    assertNothingLeaked(cloud, job);
  });
}

for (const [title, options] of [
  [
    'the token of the job’s own connection comes before the variable System.AccessToken',
    { secretVariables: { 'System.AccessToken': 'a-personal-token-from-the-variable' } },
  ],
  [
    'the variable System.AccessToken stands in where the job’s own connection is missing',
    { jobToken: undefined, secretVariables: { 'System.AccessToken': cloud.job.jobToken } },
  ],
] satisfies [string, object][]) {
  test(title, async () => {
    const { jobToken, ...without } = rehearsalOptions(cloud);
    const base = 'jobToken' in options ? without : { ...without, ...(jobToken === undefined ? {} : { jobToken }) };
    const { secretVariables } = options;
    const job = await runJob({
      ...base,
      secretVariables,
      pipeline: 'steps: [{ task: EntraToken@1, name: entra, inputs: { azureSubscription: prod } }]',
    });
    assert.equal(job.result, 'Succeeded', job.log.join('\n'));
    assert.equal(to('devops', cloud.requests).at(-1)?.headers.authorization, `Bearer ${cloud.job.jobToken}`);
    assertNothingLeaked(cloud, job);
  });
}

test('an ID token that the agent brings with the connection is used while it has a minute to live, five for later steps', async () => {
  const { azureRMManagementGroup: group, azureRMMinimal: minimal, azureDevOps } = cloud.connections;
  const bound = async (connection: typeof prod, idToken: string | number) => ({
    ...connection,
    parameters: {
      ...connection.parameters,
      idToken:
        typeof idToken === 'string'
          ? idToken
          : await cloud.issueIdToken({ connection: connection.id, lifetimeSeconds: idToken }),
    },
  });
  const connections = [
    await bound(prod, 400),
    await bound(group, 50),
    await bound(minimal, 'not-an-id-token'),
    await bound(azureDevOps, 120),
  ];
  const { job, of } = await runSteps(
    cloud,
    [
      { name: 'fresh', inputs: { azureSubscription: 'prod', scopes: 'arm\nkv = keyVault', exportIdToken: 'true' } },
      { name: 'stale', inputs: { azureSubscription: 'group' } },
      { name: 'broken', inputs: { azureSubscription: 'minimal' } },
      {
        name: 'user',
        inputs: {
          credentialSource: 'azureDevOps',
          azureDevOpsServiceConnection: 'devops',
          authorityHost: cloud.authorityUrl,
        },
      },
      {
        name: 'handedOn',
        inputs: {
          credentialSource: 'azureDevOps',
          azureDevOpsServiceConnection: 'devops',
          authorityHost: cloud.authorityUrl,
          exportIdToken: 'true',
        },
      },
    ],
    { connections },
  );
  const services = (name: string): string[] => of(name).requests.map(({ service }) => service);
  for (const name of ['fresh', 'stale', 'broken', 'user', 'handedOn']) assertSucceeded(of(name));
  assert.deepEqual(services('fresh'), ['entra', 'entra'], 'nobody asks for what is there');
  assert.equal(values(of('fresh'))['idToken'], connections[0]?.parameters['idToken']);
  assert.deepEqual(services('user'), ['entra']);
  assert.deepEqual(services('handedOn'), ['devops', 'entra'], 'two minutes are little for later steps');
  assert.deepEqual(services('stale'), ['devops', 'entra'], 'less than a minute to live');
  assert.notEqual(
    to('entra', of('stale').requests)[0]?.form?.['client_assertion'],
    connections[1]?.parameters['idToken'],
  );
  assert.deepEqual(services('broken'), ['devops', 'entra'], 'no JWT');
  assertNothingLeaked(
    cloud,
    job,
    connections.map(({ parameters }) => parameters['idToken'] ?? '').filter((token) => token.startsWith('eyJ')),
  );
});

test('nothing that the environment or a pipeline variable says changes where an ID token goes, or for whom', async () => {
  const elsewhere = {
    AZURE_AUTHORITY_HOST: 'https://127.0.0.1:1/',
    AZURE_TENANT_ID: 'e1c7a2b4-0f3d-4c58-8b1e-5d9a6c3f7082',
    AZURE_CLIENT_ID: 'c94e7f16-5b2a-4d83-a1f9-0e6d3c8b7a54',
  };
  // MSAL sends the token request to a regional host where these are set.
  const regional = { MSAL_FORCE_REGION: 'westeurope', REGION_NAME: 'westeurope' };
  const steps = [
    { name: 'arm', inputs: { azureSubscription: 'prod' } },
    {
      name: 'user',
      inputs: {
        credentialSource: 'azureDevOps',
        azureDevOpsServiceConnection: 'devops',
        authorityHost: cloud.authorityUrl,
      },
    },
    {
      name: 'own',
      inputs: {
        credentialSource: 'pipeline',
        tenantId: cloud.tenantId,
        clientId: cloud.clientId,
        authorityHost: cloud.authorityUrl,
      },
    },
  ];
  const { of } = await runSteps(cloud, steps, { environment: regional, variables: variables(elsewhere) });
  for (const { name } of steps) {
    assertSucceeded(of(name));
    const client = name === 'user' ? cloud.connections.azureDevOps.parameters.ServicePrincipalId : cloud.clientId;
    const [exchange, ...others] = to('entra', of(name).requests);
    assert.deepEqual(others, []);
    assert.equal(exchange?.host, new URL(cloud.authorityUrl).host);
    assert.equal(exchange?.path.split('/')[1], cloud.tenantId);
    assert.equal(exchange?.form?.['client_id'], client);
  }
});

test('the command that creates the missing credential says in the masked log what Bash is to be given', async () => {
  const managed = { ...prod, id: '5c1d9e0a-7b3f-4c2e-9a61-0d8f4b2c6e13', name: 'managed' };
  const connections = [prod, { ...managed, data: { ...managed.data, identityType: 'ManagedIdentity' } }];
  const { of } = await runSteps(
    cloud,
    ['prod', 'managed'].map((azureSubscription) => ({
      name: azureSubscription,
      inputs: { azureSubscription },
      faults: [
        { service: 'devops' as const, do: { kind: 'answer' as const, json: { oidcToken: idToken } } },
        { service: 'entra' as const, do: entraError(700213, 'No match.') },
      ],
    })),
    { connections },
  );
  const { iss = '', sub = '' } = decodeJwt(idToken);
  const given = (name: string): string[] => {
    const line = assertFailed(of(name), 'ET_SUBJECT_MISMATCH');
    const command = /Create it, in Bash: (?:MSYS_NO_PATHCONV=1 )?az (.+?) \. The log/.exec(line)?.[1] ?? '';
    const script = `printf '%s\\n' ${command}`;
    return execFileSync('bash', ['--norc', '-c', script], { encoding: 'utf8' }).trim().split('\n');
  };
  const [forApplication, forIdentity] = [given('prod'), given('managed')];
  const after = (list: string[], option: string): string | undefined => list[list.indexOf(option) + 1];
  assert.equal(after(forApplication, '--id'), prod.parameters['serviceprincipalid']);
  const parameters = JSON.parse(after(forApplication, '--parameters') ?? '');
  assert.deepEqual([parameters.issuer, parameters.subject], [iss, sub]);
  assert.deepEqual([after(forIdentity, '--issuer'), after(forIdentity, '--subject')], [iss, sub]);
});

test('a plain output stays plain where the job has a secret variable of its name', async () => {
  const { of } = await runSteps(cloud, [{ name: 'entra', inputs: { azureSubscription: 'prod' } }], {
    secretVariables: { expiresOn: 'a-secret-of-the-job' },
  });
  assert.equal(of('entra').outputs['expiresOn']?.secret, false);
});

// GitTools/actions #1400: given when the run was queued, they are read-only, and the agent would fail the step.
test('the step succeeds where the job has read-only variables with the names of outputs that only inform', async () => {
  const variables = [
    { name: 'tenantId', value: 'x', readonly: true },
    { name: 'CLIENTID', value: 'y', readonly: true },
    { name: 'subscriptionId', value: 'z', readonly: true },
  ];
  const result = await runJob({
    ...rehearsalOptions(cloud),
    pipeline: stringify({
      variables,
      steps: [{ task: 'EntraToken@1', name: 'entra', inputs: { azureSubscription: 'prod' } }],
    }),
    variables: { ...jobVariables(cloud), 'agent.readOnlyVariables': 'true' },
  });
  assert.equal(result.result, 'Succeeded', result.log.join('\n'));
  const names = Object.keys(result.outputs);
  assert.ok(names.includes('entra.accessToken') && names.includes('entra.credentialSource'));
  assert.deepEqual(
    ['tenantId', 'clientId', 'subscriptionId'].filter((name) => names.includes(`entra.${name}`)),
    [],
  );
  const said = result.log.filter((line) => /tenantId, clientId, subscriptionId: the job has variables/.test(line));
  assert.equal(said.length, 1);
});

// azure-pipelines-tasks #1678, #21622.
test('an export onto a secret variable of the job is a warning with the line to map', async () => {
  const { job, of } = await runSteps(
    cloud,
    [{ name: 'entra', inputs: { azureSubscription: 'prod', exportEnvironment: 'terraform' } }],
    {
      secretVariables: { ARM_CLIENT_ID: '11111111-2222-4333-8444-555555555555', ARM_CLIENT_SECRET: 'a-secret-of-old' },
    },
  );
  assertSucceeded(of('entra'));
  const warnings = of('entra').step.issues.filter(({ type }) => type === 'warning');
  assert.equal(warnings.length, 2, job.log.join('\n'));
  assert.match(warnings[0]?.message ?? '', /ARM_CLIENT_ID as secret .* env: ARM_CLIENT_ID: \$\(ARM_CLIENT_ID\)/);
  assert.match(warnings[1]?.message ?? '', /ARM_CLIENT_SECRET as well, which tools prefer to/);
});
