/** What has to go on working beside the rules of origin: each row is something that an administrator or an author meant. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { decodeJwt } from 'jose';
import { stringify } from 'yaml';
import { type JobOptions, type JobResult, runJob } from '../agent/job.ts';
import { type Cloud, startCloud } from '../cloud/cloud.ts';
import { type HttpProxy, startProxy } from '../cloud/proxy.ts';
import { realNames, rehearsalOptions } from '../rehearsal.ts';
import { type Strangers, startStrangers } from './strangers.ts';

const folder = mkdtempSync(join(tmpdir(), 'allowed-'));
let cloud: Cloud;
let elsewhere: Strangers;
let proxy: HttpProxy;
let pod: Record<string, string>;

before(async () => {
  [cloud, elsewhere] = await Promise.all([startCloud(), startStrangers()]);
  proxy = await startProxy({ resolve: { ...cloud.hosts, ...elsewhere.resolve } });
  pod = {
    AZURE_CLIENT_ID: cloud.clientId,
    AZURE_TENANT_ID: cloud.tenantId,
    AZURE_AUTHORITY_HOST: cloud.authorityUrl,
    AZURE_FEDERATED_TOKEN_FILE: (await cloud.kubernetes.writeProjectedVolume(join(folder, 'volume'))).file,
  };
});
after(async () => {
  await Promise.all([cloud.close(), elsewhere.close(), proxy.close()]);
  rmSync(folder, { recursive: true });
});

const entra = (name: string, inputs: Record<string, string>) => ({
  task: 'EntraToken@1',
  name,
  inputs,
  condition: 'always()',
});
const exporting = (): Record<string, string> => ({ exportEnvironment: 'workloadIdentity' });
/** A document of its own for each step: the pipeline's YAML knows no anchors. */
const kubernetes = (): Record<string, string> => ({ credentialSource: 'kubernetes' });

function run(steps: object[], options: Partial<JobOptions> = {}): Promise<JobResult> {
  return runJob({ ...rehearsalOptions(cloud), pipeline: stringify({ steps }), ...options });
}

function assertAllSucceeded(job: JobResult): void {
  for (const { name, result, stage, lines } of job.steps) {
    if (stage === 'main') assert.equal(result, 'Succeeded', `${name}: ${lines.join('\n')}`);
  }
}

describe('on the network of a company', { concurrency: 3 }, () => {
  const behindProxy = (): Partial<JobOptions> => {
    const { certificates: _, ...organization } = rehearsalOptions(cloud);
    return { ...organization, ...realNames(cloud), certificates: {}, proxy: { url: proxy.url } };
  };
  const ca = (): string => cloud.caFile;
  const rows: { title: string; options: () => Partial<JobOptions> }[] = [
    {
      title: 'NODE_EXTRA_CA_CERTS of a variable group, outside of the job’s folders',
      options: () => ({
        ...behindProxy(),
        variables: { ...realNames(cloud).variables, NODE_EXTRA_CA_CERTS: ca() },
      }),
    },
    {
      title: 'NODE_EXTRA_CA_CERTS of the machine',
      options: () => ({ ...behindProxy(), environment: { NODE_EXTRA_CA_CERTS: ca() } }),
    },
    { title: 'the agent’s authorities', options: () => ({ ...behindProxy(), certificates: { ca: ca() } }) },
    {
      title: 'the agent’s authorities, where its files cannot be read',
      options: () => ({ ...behindProxy(), certificates: { ca: ca() }, hasAgentFiles: false }),
    },
    {
      title: 'an agent that does not check certificates',
      options: () => ({ ...behindProxy(), certificates: { skipValidation: true } }),
    },
    {
      title: 'HTTPS_PROXY of a variable group',
      options: () => {
        const { proxy: _, ...others } = behindProxy();
        const variables = { ...realNames(cloud).variables, HTTPS_PROXY: proxy.url };
        return { ...others, variables, certificates: { ca: ca() } };
      },
    },
    {
      title: 'variables that repeat the agent’s under their names in the environment',
      options: () => ({
        ...behindProxy(),
        certificates: { ca: ca() },
        variables: {
          ...realNames(cloud).variables,
          SYSTEM_OIDCREQUESTURI: '$(System.OidcRequestUri)',
          SYSTEM_COLLECTIONURI: '$(System.CollectionUri)',
          SYSTEM_ACCESSTOKEN: '$(System.AccessToken)',
        },
      }),
    },
    {
      title: 'an agent before 5.277',
      options: () => ({ ...behindProxy(), certificates: { ca: ca() }, agentVersion: '4.260.0' }),
    },
  ];
  for (const { title, options } of rows) {
    it(`${title}: the step succeeds`, async () => {
      assertAllSucceeded(await run([entra('entra', { azureSubscription: 'prod' })], options()));
    });
  }
});

describe('a private cloud', () => {
  it('gets the ID token of its connection at the authority that the connection names', async () => {
    const stack = {
      ...cloud.connections.azureRMOldIssuer,
      id: '33333333-4444-4555-8666-777777777777',
      name: 'stack',
      url: 'https://management.stack.example/',
      data: {
        environment: 'AzureStack',
        activeDirectoryAuthority: `https://login.${elsewhere.host}/`,
        activeDirectoryServiceEndpointResourceId: 'https://management.stack.example/',
      },
    };
    cloud.addConnection(stack);
    await run([entra('entra', { azureSubscription: 'stack' })], {
      ...realNames(cloud),
      connections: [stack],
      proxy: { url: proxy.url },
      environment: { NODE_EXTRA_CA_CERTS: elsewhere.trustedCaFile },
    });
    assert.equal(elsewhere.arrived.length, 1);
    assert.match(elsewhere.arrived[0] ?? '', /oauth2\/v2\.0\/token\b[\s\S]*client_assertion=/);
  });
});

describe('a pod', { concurrency: 3 }, () => {
  const used = (job: JobResult, name: string): string => {
    const { aud = '', appid } = decodeJwt(job.outputs[`${name}.accessToken`]?.value ?? '');
    return `${appid} ${job.outputs[`${name}.credentialSource`]?.value} ${String(aud).slice(0, 8)}`;
  };

  for (const exportEnvironment of ['workloadIdentity', 'azcopy', 'terraform']) {
    it(`serves two steps in a row, the first exporting for ${exportEnvironment}`, async () => {
      const job = await run(
        [
          entra('first', { ...kubernetes(), exportEnvironment }),
          entra('second', { ...kubernetes(), exportEnvironment }),
        ],
        { environment: pod },
      );
      assertAllSucceeded(job);
      assert.equal(used(job, 'second'), used(job, 'first'));
    });
  }

  it('stays itself where a step exported another identity over its variables', async () => {
    const other = { azureSubscription: 'multitenant', ...exporting(), keepTokenFileFresh: 'false' };
    const job = await run(
      [
        entra('other', other),
        entra('own', kubernetes()),
        entra('again', { ...kubernetes(), ...exporting() }),
        entra('last', kubernetes()),
      ],
      {
        environment: pod,
      },
    );
    assertAllSucceeded(job);
    for (const name of ['own', 'again', 'last'])
      assert.equal(decodeJwt(job.outputs[`${name}.accessToken`]?.value ?? '')['appid'], cloud.clientId);
    assert.notEqual(decodeJwt(job.outputs['other.accessToken']?.value ?? '')['appid'], cloud.clientId);
  });

  it('may be described on the step, by its author', async () => {
    assertAllSucceeded(await run([{ ...entra('entra', kubernetes()), env: pod }]));
  });

  it('may be described by variables that the author writes into inputs', async () => {
    const inputs = { ...kubernetes(), clientId: '$(AZURE_CLIENT_ID)', tenantId: '$(AZURE_TENANT_ID)' };
    const { AZURE_CLIENT_ID = '', AZURE_TENANT_ID = '', ...machine } = pod;
    const variables = { ...rehearsalOptions(cloud).variables, AZURE_CLIENT_ID, AZURE_TENANT_ID };
    assertAllSucceeded(await run([entra('entra', inputs)], { variables, environment: machine }));
  });
});

// By itself: the fault is one of the cloud that all steps of this file share.
describe('a pod whose organization does not answer', () => {
  it('is used instead after a step that exported another identity, as before it', async () => {
    const job = await run(
      [
        entra('first', { azureSubscription: 'prod', ...exporting(), keepTokenFileFresh: 'false' }),
        { bash: 'echo "##vso[task.setvariable variable=unrelated]x"' },
        entra('second', { azureSubscription: 'prod' }),
      ],
      {
        environment: pod,
        onProcess: ({ step }) => {
          if (step === 'second') cloud.faults = [{ service: 'devops', do: { kind: 'answer', status: 404 } }];
        },
      },
    );
    cloud.faults = [];
    assertAllSucceeded(job);
    assert.equal(job.outputs['second.credentialSource']?.value, 'kubernetes');
  });
});
