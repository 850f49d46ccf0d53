import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type Cloud, startCloud } from '../cloud/cloud.ts';
import type { Fault } from '../cloud/faults.ts';
import { identityBindingAudience } from '../cloud/national-clouds.ts';
import { startTokenProxy } from '../cloud/token-proxy.ts';
import { refreshersOf, within } from '../later-steps/processes.ts';
import { notOnWindows } from '../on-windows.ts';
import { askAccessToken, askIdToken, claimsOf, type ServedJob, servingStep, withEndpoint } from './served-job.ts';

const timeout = 120_000;

let cloud: Cloud;
let scratch: string;

before(async () => {
  scratch = mkdtempSync(join(tmpdir(), 'endpoint-'));
  cloud = await startCloud();
});
after(async () => {
  await cloud.close();
  rmSync(scratch, { recursive: true, force: true });
});

/** A step of another source, with both kinds of tokens. */
const step = (...inputs: string[]): string => servingStep(...inputs).replace('    azureSubscription: prod\n', '');

interface Pod {
  environment: Record<string, string>;
  write(token: string): Promise<unknown>;
}

/** The pod of an agent on AKS, with a token file of its own. */
async function podWith(token: string): Promise<Pod> {
  const folder = mkdtempSync(join(scratch, 'pod-'));
  const volume = await cloud.kubernetes.writeProjectedVolume(folder, token);
  return {
    environment: {
      AZURE_CLIENT_ID: cloud.clientId,
      AZURE_TENANT_ID: cloud.tenantId,
      AZURE_AUTHORITY_HOST: cloud.authorityUrl,
      AZURE_FEDERATED_TOKEN_FILE: volume.file,
    },
    write: (next) => volume.rotate(next),
  };
}

describe('the token endpoint of each source', { timeout }, () => {
  test('an Azure DevOps connection', async () => {
    const text = step(
      'credentialSource: azureDevOps',
      'azureDevOpsServiceConnection: devops',
      `authorityHost: ${cloud.authorityUrl}`,
    );
    await withEndpoint(cloud, text, async (job) => {
      const { status, body } = await askAccessToken(job, '499b84ac-1321-427f-aa17-267ca6975798');
      assert.equal(status, 200, JSON.stringify(body));
      assert.equal(
        (await askAccessToken(job, 'https://app.vssps.visualstudio.com')).body['resource'],
        'https://app.vssps.visualstudio.com',
      );
    });
  });

  test('the pipeline itself', async () => {
    const text = step(
      'credentialSource: pipeline',
      `tenantId: ${cloud.tenantId}`,
      `clientId: ${cloud.clientId}`,
      `authorityHost: ${cloud.authorityUrl}`,
    );
    await withEndpoint(cloud, text, async (job) => {
      assert.equal((await askAccessToken(job)).status, 200);
      assert.match(String(claimsOf((await askIdToken(job)).body['value'])['sub']), /^p:\/\//);
    });
  });

  test('a connection with its ID token, in a job that has no token to ask Azure DevOps for another', async () => {
    const idToken = await cloud.issueIdToken({ connection: 'prod' });
    const { azureRM } = cloud.connections;
    const connections = [{ ...azureRM, parameters: { ...azureRM.parameters, idToken } }];
    const use = async (job: ServedJob): Promise<void> => {
      const before = cloud.requests.length;
      assert.deepEqual((await askIdToken(job)).body, { value: idToken });
      assert.equal((await askAccessToken(job)).status, 200);
      const services = cloud.requests.slice(before).map(({ service }) => service);
      assert.deepEqual(services, ['entra'], 'one exchange, and nothing of Azure DevOps');
    };
    await withEndpoint(cloud, servingStep('scopes: arm'), use, { jobToken: undefined, connections });
  });

  test('a pod, whose token file is read anew for each exchange', async () => {
    const first = await cloud.kubernetes.issueToken();
    const pod = await podWith(first);
    await withEndpoint(
      cloud,
      step('credentialSource: kubernetes', 'scopes: |', '  arm', '  kv = keyVault'),
      async (job) => {
        assert.equal((await askIdToken(job)).body['value'], first);
        assert.equal((await askAccessToken(job)).status, 200);
        const second = await cloud.kubernetes.issueToken({ claims: { jti: 'the second' } });
        await pod.write(second);
        assert.equal((await askIdToken(job)).body['value'], second);
        await pod.write('no token');
        const { status, body } = await askAccessToken(job, 'https://vault.azure.net');
        assert.equal(status, 400);
        assert.match(String(body['message']), /^ET_KUBERNETES_FILE_WRONG/);
        assert.equal((await askAccessToken(job)).status, 200, 'the one at hand needs no file');
      },
      { environment: pod.environment },
    );
  });

  test('a pod with an identity binding, through the proxy of the cluster', async () => {
    const pod = await podWith(await cloud.kubernetes.issueToken({ audience: identityBindingAudience }));
    const proxy = await startTokenProxy({ cloud });
    const bound = {
      AZURE_KUBERNETES_TOKEN_PROXY: proxy.url,
      AZURE_KUBERNETES_SNI_NAME: proxy.serverName,
      AZURE_KUBERNETES_CA_FILE: proxy.caFile,
    };
    await withEndpoint(
      cloud,
      step('credentialSource: kubernetes'),
      async (job) => assert.equal((await askAccessToken(job)).status, 200),
      { environment: { ...pod.environment, ...bound } },
    );
    await proxy.close();
  });
});

/** A service that asks for patience beyond the end of all tries, so that none of them is waited for. */
const down = (service: 'devops' | 'entra'): Fault => ({
  service,
  do: { kind: 'answer', status: 503, headers: { 'retry-after': '3600' }, text: 'the text of the service' },
});

describe('the token endpoint in an outage', { timeout }, () => {
  for (const service of ['devops', 'entra'] as const) {
    test(`of ${service} answers 503 with our sentence, and a token as soon as that is over`, async () => {
      const own = await startCloud();
      await withEndpoint(own, servingStep(), async (job) => {
        own.faults = [down(service)];
        const { status, headers, body } = await askAccessToken(job);
        assert.equal(status, 503);
        assert.equal(headers['retry-after'], '5');
        assert.match(
          String(body['message']),
          service === 'devops' ? /^ET_DEVOPS_UNAVAILABLE: / : /^ET_ENTRA_UNAVAILABLE: /,
        );
        assert.ok(!JSON.stringify(body).includes('the text of the service'));
        own.faults = [];
        assert.equal((await askAccessToken(job)).status, 200);
        own.faults = [down(service)];
        assert.equal((await askAccessToken(job)).status, 200, 'the one at hand');
      });
      await own.close();
    });
  }

  test('keeps its port and answers 400 after the job token was refused for good, and the file is gone', async () => {
    const own = await startCloud({ idTokenLifetimeSeconds: 6 });
    const result = await withEndpoint(own, servingStep('exportEnvironment: tokenFile'), async (job) => {
      assert.equal(refreshersOf(job.lookupId).length, 1, 'one process for both');
      own.devOps.jobFinished = true;
      assert.ok(await within(40_000, () => !existsSync(job.tokenFile)));
      const { status, body } = await askIdToken(job);
      assert.equal(status, 400);
      assert.match(String(body['message']), /^ET_DEVOPS_UNAUTHORIZED: /);
      assert.equal(refreshersOf(job.lookupId).length, 1);
    });
    const said = result.steps.find(({ stage }) => stage === 'post')?.rawOutput.stdout ?? '';
    assert.match(said, /token file.*failing.*ET_DEVOPS_UNAUTHORIZED/);
    assert.match(said, /token endpoint gave out no token and is closed/);
    await own.close();
  });
});

test('the process and the folder of an attempt that failed do not outlive the job (retryCountOnTaskFailure)', {
  timeout,
  skip: notOnWindows('it starts no scripts as programs'),
}, async () => {
  const marker = join(scratch, 'attempted');
  const shim = join(scratch, 'node');
  writeFileSync(
    shim,
    `#!/bin/bash --norc\n"$NODE" "$@"\nstatus=$?\nif [ ! -e "${marker}" ]; then touch "${marker}"; exit 1; fi\nexit $status\n`,
  );
  chmodSync(shim, 0o755);
  const home = mkdtempSync(join(scratch, 'agent-'));
  const folders = (): string[] =>
    readdirSync(join(home, '_work', '_temp')).filter((name) => name.startsWith('entra-token-'));
  const text = servingStep('exportEnvironment: tokenFile').replace(
    '  inputs:',
    '  retryCountOnTaskFailure: 1\n  inputs:',
  );
  await withEndpoint(
    cloud,
    text,
    async (job) => {
      assert.equal(folders().length, 2, 'both attempts made one');
      assert.ok(refreshersOf(job.lookupId).length >= 1);
      assert.equal((await askAccessToken(job)).status, 200);
    },
    { workFolder: join(home, '_work'), node: { node20: shim, node24: shim }, environment: { NODE: process.execPath } },
  );
  assert.deepEqual(folders(), []);
});

test('its background process is started with the options for TLS of the step, and no others', {
  timeout,
  skip: notOnWindows('Linux does not see what Windows gave to a process'),
}, async () => {
  const options = { environment: { NODE_OPTIONS: '--tls-min-v1.2 --no-warnings', OPENSSL_CONF: '/dev/null' } };
  await withEndpoint(
    cloud,
    servingStep(),
    async (job) => {
      const [background] = refreshersOf(job.lookupId);
      assert.ok(background?.arguments.includes('--tls-min-v1.2'));
      assert.ok(!background?.arguments.includes('--no-warnings'));
      const names = background?.environment.map((entry) => entry.split('=')[0]);
      assert.deepEqual(names?.sort(), ['OPENSSL_CONF', 'VSTS_PROCESS_LOOKUP_ID']);
      assert.equal((await askAccessToken(job)).status, 200);
      assert.ok(background?.arguments.includes('--jitless'));
    },
    options,
  );
});
