import assert from 'node:assert/strict';
import { lstatSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { type JobOptions, type JobResult, runJob } from '../agent/job.ts';
import { type Cloud, type ProjectedVolume, startCloud } from '../cloud/cloud.ts';
import { onWindows, pathThere } from '../on-windows.ts';
import { rehearsalOptions } from '../rehearsal.ts';
import { holdJob } from './held-job.ts';
import { refreshersOf } from './processes.ts';
import { expiryOf } from './reads.ts';

let cloud: Cloud;
let pod: ProjectedVolume;
let podFolder: string;
let plain: JobResult;

before(async () => {
  podFolder = mkdtempSync(join(tmpdir(), 'pod-'));
  cloud = await startCloud();
  pod = await cloud.kubernetes.writeProjectedVolume(podFolder);
  plain = await run(step({ azureSubscription: 'prod' }));
});
after(async () => {
  await cloud.close();
  rmSync(podFolder, { recursive: true, force: true });
});

const run = (steps: string, options: Partial<JobOptions> = {}): Promise<JobResult> =>
  runJob({ ...rehearsalOptions(cloud), pipeline: `steps:\n${steps}`, ...options });

/** A step with the given inputs; the first of a job is named `entra`. */
function step(inputs: Record<string, string>, name = 'entra'): string {
  const lines = Object.entries(inputs).map(([input, value]) => `    ${input}: ${JSON.stringify(value)}`);
  return ['- task: EntraToken@1', `  name: ${name}`, '  inputs:', ...lines, ''].join('\n');
}

/** The variables that the steps have set for later ones, without the outputs of the steps. */
function exported(result: JobResult, steps: readonly string[] = ['entra']): Record<string, string> {
  const isOutput = (name: string): boolean => steps.some((one) => name.toLowerCase().startsWith(`${one}.`));
  return Object.fromEntries(
    Object.entries(result.variables)
      .filter(([name]) => !(name in plain.variables) && !isOutput(name) && !name.startsWith('EntraToken.'))
      .map(([name, { value }]) => [name, value]),
  );
}

test('nothing is exported, written or started where nothing is asked', () => {
  assert.equal(plain.result, 'Succeeded', plain.log.join('\n'));
  const set = Object.keys(plain.variables).filter((name) => /^(AZURE|AZURESUBSCRIPTION|ARM|AZCOPY)_/i.test(name));
  assert.deepEqual(set, []);
  assert.equal(plain.outputs['entra.federatedTokenFile'], undefined);
  assert.deepEqual(plain.leftover, []);
  const [, post] = plain.steps;
  assert.deepEqual(
    post?.lines.filter((line) => /token file/i.test(line)),
    [],
    'post-job has nothing to say',
  );
});

const file = Symbol('the token file of the step');
const podFile = Symbol('the token file of the pod');
type Expected = Record<string, string | typeof file | typeof podFile>;

interface ExportCase {
  readonly name: string;
  readonly inputs: () => Record<string, string>;
  readonly options?: () => Partial<JobOptions>;
  readonly withoutJobToken?: true;
  readonly variables: () => Expected;
  readonly fileOutput: 'own' | 'pod' | 'none';
}

const prod = (): { clientId: string; tenantId: string; id: string } => ({
  clientId: cloud.clientId,
  tenantId: cloud.tenantId,
  id: cloud.connections.azureRM.id,
});
const subscriptionId = '7c0d2e9f-4b1a-4d63-8e5c-f6a7b8c9d0e1';

const workloadIdentity = (path: typeof file | typeof podFile): Expected => ({
  AZURE_CLIENT_ID: prod().clientId,
  AZURE_TENANT_ID: prod().tenantId,
  AZURE_AUTHORITY_HOST: cloud.authorityUrl,
  AZURE_FEDERATED_TOKEN_FILE: path,
});
const azurePipelines = (): Expected => ({
  AZURESUBSCRIPTION_CLIENT_ID: prod().clientId,
  AZURESUBSCRIPTION_TENANT_ID: prod().tenantId,
  AZURESUBSCRIPTION_SERVICE_CONNECTION_ID: prod().id,
});
const terraform = ({ clientId, tenantId }: { clientId: string; tenantId: string }): Expected => ({
  ARM_USE_OIDC: 'true',
  ARM_CLIENT_ID: clientId,
  ARM_TENANT_ID: tenantId,
  ARM_ENVIRONMENT: 'public',
});
const terraformConnection = (id: string): Expected => ({
  ARM_ADO_PIPELINE_SERVICE_CONNECTION_ID: id,
  ARM_OIDC_AZURE_SERVICE_CONNECTION_ID: id,
});
const thePipeline = (): Record<string, string> => ({
  credentialSource: 'pipeline',
  tenantId: cloud.tenantId,
  clientId: cloud.clientId,
  authorityHost: cloud.authorityUrl,
});
const thePod = (): Partial<JobOptions> => ({
  environment: {
    AZURE_CLIENT_ID: cloud.clientId,
    AZURE_TENANT_ID: cloud.tenantId,
    AZURE_AUTHORITY_HOST: cloud.authorityUrl,
    AZURE_FEDERATED_TOKEN_FILE: pod.file,
  },
});
const not = { keepTokenFileFresh: 'false' };

const cases: readonly ExportCase[] = [
  {
    name: 'tokenFile sets no variable',
    inputs: () => ({ azureSubscription: 'prod', exportEnvironment: 'tokenFile', ...not }),
    variables: () => ({}),
    fileOutput: 'own',
  },
  {
    name: 'workloadIdentity sets what every Azure SDK reads',
    inputs: () => ({ azureSubscription: 'prod', exportEnvironment: 'workloadIdentity', ...not }),
    variables: () => workloadIdentity(file),
    fileOutput: 'own',
  },
  {
    name: 'azurePipelines sets the connection, and writes no file that nobody reads',
    inputs: () => ({ azureSubscription: 'prod', exportEnvironment: 'azurePipelines' }),
    variables: azurePipelines,
    fileOutput: 'none',
  },
  {
    name: 'terraform with a connection lets the providers ask for tokens, and writes no file',
    inputs: () => ({ azureSubscription: 'prod', exportEnvironment: 'terraform' }),
    variables: () => ({
      ...terraform(prod()),
      ARM_SUBSCRIPTION_ID: subscriptionId,
      ...terraformConnection(prod().id),
    }),
    fileOutput: 'none',
  },
  {
    name: 'terraform with a connection that has no subscription names none',
    inputs: () => ({ azureSubscription: 'group', exportEnvironment: 'terraform' }),
    variables: () => ({
      ...terraform(prod()),
      ...terraformConnection(cloud.connections.azureRMManagementGroup.id),
    }),
    fileOutput: 'none',
  },
  {
    name: 'terraform names the cloud of the connection as its providers do',
    inputs: () => ({ azureSubscription: 'gov', exportEnvironment: 'terraform' }),
    variables: () => {
      const { id, parameters } = cloud.connections.azureRMUSGov;
      return {
        ...terraform({ clientId: parameters['serviceprincipalid'] ?? '', tenantId: parameters['tenantid'] ?? '' }),
        ARM_ENVIRONMENT: 'usgovernment',
        ARM_SUBSCRIPTION_ID: subscriptionId,
        ...terraformConnection(id),
      };
    },
    fileOutput: 'none',
  },
  {
    name: 'terraform without a connection reads the file',
    inputs: () => ({ ...thePipeline(), exportEnvironment: 'terraform', ...not }),
    variables: () => ({ ...terraform(prod()), ARM_OIDC_TOKEN_FILE_PATH: file }),
    fileOutput: 'own',
  },
  {
    name: 'azcopy sets those of workloadIdentity and its own',
    inputs: () => ({ azureSubscription: 'prod', exportEnvironment: 'azcopy', ...not }),
    variables: () => ({
      ...workloadIdentity(file),
      AZCOPY_AUTO_LOGIN_TYPE: 'WORKLOAD',
      AZCOPY_TENANT_ID: prod().tenantId,
    }),
    fileOutput: 'own',
  },
  {
    name: 'all of them, in any spelling, and terraform still without the file that the others read',
    inputs: () => ({
      azureSubscription: 'prod',
      exportEnvironment: 'TOKENFILE, workloadidentity;azurePipelines\nterraform azcopy',
      ...not,
    }),
    variables: () => ({
      ...workloadIdentity(file),
      AZCOPY_AUTO_LOGIN_TYPE: 'WORKLOAD',
      AZCOPY_TENANT_ID: prod().tenantId,
      ...azurePipelines(),
      ...terraform(prod()),
      ARM_SUBSCRIPTION_ID: subscriptionId,
      ...terraformConnection(prod().id),
    }),
    fileOutput: 'own',
  },
  {
    name: "kubernetes exports the pod's own file, copies nothing and starts nothing",
    inputs: () => ({ credentialSource: 'kubernetes', exportEnvironment: 'azcopy,terraform' }),
    options: thePod,
    variables: () => ({
      ...workloadIdentity(podFile),
      AZCOPY_AUTO_LOGIN_TYPE: 'WORKLOAD',
      AZCOPY_TENANT_ID: prod().tenantId,
      ...terraform(prod()),
      ARM_OIDC_TOKEN_FILE_PATH: podFile,
    }),
    fileOutput: 'pod',
  },
  {
    // Azure DevOps cannot be asked, so a provider that would ask it itself gets nowhere.
    name: "a fallback to the pod's token exports the pod's file, to terraform too, in spite of the connection",
    inputs: () => ({ azureSubscription: 'prod', exportEnvironment: 'workloadIdentity,terraform' }),
    options: () => ({ environment: { AZURE_FEDERATED_TOKEN_FILE: pod.file } }),
    withoutJobToken: true,
    variables: () => ({
      ...workloadIdentity(podFile),
      ...terraform(prod()),
      ARM_SUBSCRIPTION_ID: subscriptionId,
      ARM_OIDC_TOKEN_FILE_PATH: podFile,
    }),
    fileOutput: 'pod',
  },
];

for (const { name, inputs, options, withoutJobToken, variables, fileOutput } of cases) {
  test(name, async () => {
    const written = snapshot(podFolder);
    const started: number[] = [];
    const { jobToken, ...rest } = rehearsalOptions(cloud);
    const result = await runJob({
      ...rest,
      ...(withoutJobToken || jobToken === undefined ? {} : { jobToken }),
      pipeline: `steps:\n${step(inputs())}`,
      ...options?.(),
      onProcess: ({ pid }) => started.push(pid),
    });
    assert.equal(result.result, 'Succeeded', result.log.join('\n'));
    const output = result.outputs['entra.federatedTokenFile'];
    const paths = { [file]: output?.value, [podFile]: pathThere(pod.file) };
    const expected = Object.fromEntries(
      Object.entries(variables()).map(([variable, value]) => [
        variable,
        typeof value === 'symbol' ? paths[value] : value,
      ]),
    );
    assert.deepEqual(exported(result), expected);
    // Tools that know the connection ask for tokens themselves, with a job token that only a line of YAML gives them.
    assert.equal(
      result.log.some((line) => line.trim() === 'SYSTEM_ACCESSTOKEN: $(System.AccessToken)'),
      Object.keys(expected).some((variable) => /SERVICE_CONNECTION/.test(variable)),
      'the log shows the line to map where it is needed, and only there',
    );
    if (fileOutput === 'none') assert.equal(output, undefined);
    else assert.equal(output?.secret, false);
    if (fileOutput === 'pod') assert.equal(output?.value, pathThere(pod.file));
    if (fileOutput === 'own')
      assert.match(output?.value ?? '', /[\\/]_temp[\\/]entra-token-[0-9a-f-]{36}[\\/]id-token$/);
    assert.deepEqual(result.leftover, []);
    assert.deepEqual(result.orphans, []);
    assert.deepEqual(snapshot(podFolder), written, 'the volume of the pod is as it was');
    assert.equal(started.length, 2, 'main and post-job alone were started by the agent');
  });
}

/** Every name below a folder with what it holds. */
function snapshot(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .sort()
    .map((name) => {
      const path = join(folder, name);
      return lstatSync(path).isFile() ? `${name}: ${readFileSync(path, 'utf8')}` : name;
    });
}

test('the token file stands in a folder of its own that nobody else can enter, and holds one whole token', async () => {
  const names: string[] = [];
  for (let round = 0; round < 2; round++) {
    const job = await holdJob(cloud);
    try {
      const path = job.tokenFile;
      const folder = dirname(path);
      assert.equal(dirname(folder), job.environment['AGENT_TEMPDIRECTORY']);
      // Windows has access lists instead, and Wine keeps none.
      if (!onWindows) {
        assert.equal(statSync(folder).mode & 0o777, 0o700);
        for (const name of readdirSync(folder)) assert.equal(statSync(join(folder, name)).mode & 0o777, 0o600, name);
      }
      const text = readFileSync(path, 'utf8');
      assert.ok((expiryOf(text) ?? 0) > Date.now());
      assert.equal(text, text.trim(), 'no line end: most tools take the text as it stands');
      names.push(basename(folder));
    } finally {
      await job.release();
    }
  }
  assert.notEqual(names[0], names[1]);
});

test('two steps with two identities keep their outputs and files apart; the later one has the variables, and says so', async () => {
  const shared = { exportEnvironment: 'workloadIdentity,tokenFile', scopes: 'azureDevOps' };
  const steps = [
    step({ azureSubscription: 'prod', ...shared }, 'first'),
    step(
      {
        credentialSource: 'azureDevOps',
        azureDevOpsServiceConnection: 'devops',
        authorityHost: cloud.authorityUrl,
        ...shared,
      },
      'second',
    ),
  ].join('\n');
  const job = await holdJob(cloud, steps);
  const { environment } = job;
  const first = environment['FIRST_FEDERATEDTOKENFILE'] ?? '';
  const second = environment['SECOND_FEDERATEDTOKENFILE'] ?? '';
  try {
    const subjectOf = (path: string): unknown =>
      JSON.parse(Buffer.from(readFileSync(path, 'utf8').split('.')[1] ?? '', 'base64url').toString('utf8')).sub;
    assert.notEqual(dirname(first), dirname(second));
    assert.match(String(subjectOf(first)), new RegExp(cloud.connections.azureRM.id));
    assert.match(String(subjectOf(second)), new RegExp(cloud.connections.azureDevOps.id));
    assert.equal(refreshersOf(job.lookupId).length, 2);
    assert.equal(environment['AZURE_FEDERATED_TOKEN_FILE'], second);
    assert.equal(environment['AZURE_CLIENT_ID'], environment['SECOND_CLIENTID']);
    assert.notEqual(environment['FIRST_CLIENTID'], environment['SECOND_CLIENTID']);
  } finally {
    const result = await job.release();
    assert.equal(result.result, 'Succeeded');
    const [, later] = result.steps;
    const said = later?.lines.filter((line) => /replaced/.test(line)) ?? [];
    assert.equal(said.length, 1);
    assert.match(said[0] ?? '', /AZURE_CLIENT_ID.*AZURE_FEDERATED_TOKEN_FILE/);
    assert.doesNotMatch(said[0] ?? '', /AZURE_TENANT_ID/, 'both have the same tenant');
    assert.deepEqual(result.orphans, []);
    assert.deepEqual(result.leftover, []);
  }
});

test('terraform never finds both ways in: a later step empties what an earlier one set for the other', async () => {
  const withConnection = step({ azureSubscription: 'prod', exportEnvironment: 'terraform' }, 'connection');
  const without = step({ ...thePipeline(), exportEnvironment: 'terraform', ...not }, 'pipeline');
  const either = (result: JobResult): string[] =>
    Object.entries(exported(result, ['connection', 'pipeline']))
      .filter(([name, value]) => /FILE_PATH|SERVICE_CONNECTION/.test(name) && value !== '')
      .map(([name]) => name)
      .sort();

  assert.deepEqual(either(await run(`${withConnection}\n${without}`)), ['ARM_OIDC_TOKEN_FILE_PATH']);
  assert.deepEqual(either(await run(`${without}\n${withConnection}`)), [
    'ARM_ADO_PIPELINE_SERVICE_CONNECTION_ID',
    'ARM_OIDC_AZURE_SERVICE_CONNECTION_ID',
  ]);
});

// azure-pipelines-terraform #288, #232.
test('the subscription of an earlier connection does not stay beside a later one that has none', async () => {
  const prodThenGroup = [
    step({ azureSubscription: 'prod', exportEnvironment: 'terraform' }, 'first'),
    step({ azureSubscription: 'group', exportEnvironment: 'terraform' }, 'second'),
  ].join('\n');
  const result = await run(prodThenGroup);
  assert.equal(exported(result, ['first', 'second'])['ARM_SUBSCRIPTION_ID'], '');
  assert.ok(result.log.some((line) => /emptied +ARM_SUBSCRIPTION_ID:/.test(line)));

  const variables = { ...rehearsalOptions(cloud).variables, ARM_SUBSCRIPTION_ID: 'mine' };
  const own = await run(step({ azureSubscription: 'group', exportEnvironment: 'terraform' }), { variables });
  assert.equal(own.variables['ARM_SUBSCRIPTION_ID']?.value, 'mine');
});

test('without keepTokenFileFresh nothing is started, and the file is still removed at the end', async () => {
  const job = await holdJob(cloud, step({ azureSubscription: 'prod', exportEnvironment: 'tokenFile', ...not }));
  let path = '';
  try {
    path = job.tokenFile;
    assert.deepEqual(refreshersOf(job.lookupId), []);
    assert.ok((expiryOf(readFileSync(path, 'utf8')) ?? 0) > Date.now());
  } finally {
    const result = await job.release();
    assert.deepEqual(result.leftover, []);
  }
});
