import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { root } from '../../scripts/layout.ts';
import type { JobResult } from '../agent/job.ts';
import { createAuthority } from '../cloud/certificates.ts';
import { type Cloud, startCloud } from '../cloud/cloud.ts';
import { startProxy } from '../cloud/proxy.ts';
import { startGitServer } from '../recipes/git-server.ts';
import { rehearsalOptions, runPipelineFile } from '../rehearsal.ts';
import { exportingStep, holdJob } from './held-job.ts';

const azureDevOps = '499b84ac-1321-427f-aa17-267ca6975798';
const greeting = 'Hello from the protected API';

let cloud: Cloud;
let scratch: string;

before(async () => {
  scratch = mkdtempSync(join(tmpdir(), 'recipes-'));
  cloud = await startCloud();
});
after(async () => {
  await cloud.close();
  rmSync(scratch, { recursive: true, force: true });
});

const example = (name: string): string => join(root, 'examples', `recipe-${name}.yml`);

/** What tools on an agent need to trust the local cloud, and the packages that npm installed on it. */
const tools = (): Record<string, string> => ({
  CURL_CA_BUNDLE: cloud.caFile,
  REQUESTS_CA_BUNDLE: cloud.caFile,
  NODE_EXTRA_CA_CERTS: cloud.caFile,
  NODE_PATH: join(root, 'node_modules'),
});

interface Given {
  readonly variables?: Record<string, string>;
  readonly environment?: Record<string, string>;
}

async function runExample(name: string, { variables, environment }: Given = {}): Promise<JobResult> {
  const result = await runPipelineFile(cloud, example(name), {
    environment: { ...tools(), ...environment },
    variables: { ...rehearsalOptions(cloud).variables, ...variables },
  });
  assert.equal(result.result, 'Succeeded', result.log.join('\n'));
  assert.deepEqual(result.orphans, []);
  return result;
}

const says = (result: JobResult, text: string | RegExp): boolean =>
  result.log.some((line) => (typeof text === 'string' ? line.includes(text) : text.test(line)));

/** Why az is not run here; false where it is. */
const noAzureCli =
  spawnSync('sh', ['-c', 'command -v az']).status === 0 ? false : 'the Azure CLI (az) is not installed here';

describe('each recipe does with the real tool what it says', { concurrency: 3 }, () => {
  test('curl reads a secret', async () => {
    assert.ok(says(await runExample('curl'), greeting));
  });

  test('@azure/identity, with no option that names the identity, reads a secret', async () => {
    assert.ok(says(await runExample('azure-sdk'), `200 ${greeting}`));
  });

  for (const name of ['DefaultAzureCredential', 'WorkloadIdentityCredential']) {
    test(`${name} held through a long deployment gets access tokens long after its first ID token has expired`, async () => {
      // Sixty times as fast: ID tokens that live eleven minutes, and a credential that reads the file every five.
      const quick = await startCloud({ idTokenLifetimeSeconds: 11, accessTokenLifetimeSeconds: 400 });
      const job = await holdJob(quick, exportingStep, {
        environment: { ...tools(), CURL_CA_BUNDLE: quick.caFile, NODE_EXTRA_CA_CERTS: quick.caFile },
      });
      try {
        const first = JSON.parse(
          Buffer.from(readFileSync(job.tokenFile, 'utf8').split('.')[1] ?? '', 'base64url').toString('utf8'),
        );
        const script = (file: string): string => fileURLToPath(new URL(`../recipes/${file}`, import.meta.url));
        const given = [name, '18'];
        const lines = await outputOf(
          ['--require', script('fast-clock.cjs'), script('long-deployment.cjs'), ...given],
          job.environment,
        );
        const answers: { token?: string; error?: string }[] = lines.map((line) => JSON.parse(line));
        assert.deepEqual(
          answers.flatMap(({ error }) => error ?? []),
          [],
        );
        const tokens = [...new Set(answers.flatMap(({ token }) => token ?? []))];
        const issuedAt = (token: string): number =>
          JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8')).iat;
        assert.ok(tokens.length >= 5, `${tokens.length} access tokens`);
        assert.ok(Math.max(...tokens.map(issuedAt)) > first.exp, 'the last one is younger than the first ID token');
      } finally {
        await job.release();
        await quick.close();
      }
    });
  }

  test('git clones with the token of Azure DevOps, which no process shows in its arguments', async () => {
    const folder = join(scratch, 'repositories');
    makeRepository(folder);
    const shown: string[] = [];
    const server = await startGitServer({
      folder,
      verify: async (token) => {
        const { aud } = await cloud.verifyAccessToken(token);
        assert.equal(aud, azureDevOps);
        shown.push(...argumentsThatHold(token));
      },
    });
    try {
      const result = await runExample('git', { variables: { repository: `${server.url}/storefront.git` } });
      assert.ok(says(result, 'The first commit'));
      assert.ok(server.answers.length >= 2 && server.answers.every((status) => status === 200));
      assert.deepEqual(shown, []);
    } finally {
      await server.close();
    }
  });

  test('az signs in with the token from the file', { skip: noAzureCli }, async () => {
    const manager = await startResourceManager();
    const authorities = join(scratch, 'authorities.pem');
    writeFileSync(authorities, `${cloud.ca.pem}\n${manager.ca}`);
    const proxy = await startProxy({ resolve: { ...cloud.hosts, 'management.azure.com:443': manager.address } });
    try {
      const result = await runExample('azure-cli', {
        environment: {
          HTTPS_PROXY: proxy.url,
          NO_PROXY: 'localhost,127.0.0.1',
          REQUESTS_CA_BUNDLE: authorities,
          AZURE_CORE_COLLECT_TELEMETRY: 'no',
        },
      });
      assert.ok(says(result, /^\d{4}-\d\d-\d\d \d\d:/), 'it shows when its access token expires');
      assert.ok(manager.asked() > 0, 'it looked for subscriptions with an access token');
    } finally {
      await proxy.close();
      await manager.close();
    }
  });

  test('terraform finds the identity and the way to new tokens, and no token that could grow old', async () => {
    const result = await runExample('terraform');
    for (const line of ['SYSTEM_ACCESSTOKEN is set', 'SYSTEM_OIDCREQUESTURI is set', 'ARM_USE_OIDC=true']) {
      assert.ok(says(result, line), line);
    }
    assert.ok(!says(result, 'ARM_OIDC_TOKEN'));
  });

  test('terraform without a connection finds the file', async () => {
    const result = await runExample('terraform-file');
    assert.ok(says(result, /^ARM_OIDC_TOKEN_FILE_PATH=.*id-token$/));
    assert.ok(!says(result, 'SERVICE_CONNECTION'));
  });
});

/** Azure Resource Manager for an identity without any subscription. */
async function startResourceManager(): Promise<{
  readonly ca: string;
  readonly address: string;
  asked(): number;
  close(): Promise<void>;
}> {
  const authority = await createAuthority('Resource Manager');
  let asked = 0;
  const server = createServer(
    await authority.issue({ name: 'management', hosts: ['management.azure.com'] }),
    (request, response) => {
      const token = /^Bearer (.+)$/i.exec(request.headers.authorization ?? '')?.[1] ?? '';
      cloud.verifyAccessToken(token).then(
        () => {
          asked++;
          response.setHeader('content-type', 'application/json').end('{"value":[]}');
        },
        () => response.writeHead(401).end(),
      );
    },
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    ca: authority.pem,
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked: () => asked,
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

/** Runs a script on Node, and gives the lines of its output. */
async function outputOf(given: string[], environment: Record<string, string>): Promise<string[]> {
  const child = spawn(process.execPath, given, { env: environment, stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  for await (const chunk of child.stdout) text += String(chunk);
  return text.split('\n').filter((line) => line !== '');
}

/** The processes of this machine that have a token among their arguments. */
function argumentsThatHold(token: string): string[] {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .flatMap((pid) => {
      try {
        const text = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
        return text.includes(token) ? [text.slice(0, 60)] : [];
      } catch {
        return [];
      }
    });
}

/** A bare repository `storefront.git` with one commit. */
function makeRepository(folder: string): void {
  mkdirSync(folder, { recursive: true });
  const git = (cwd: string, ...given: string[]): void => {
    const identity = ['-c', 'user.name=Contoso', '-c', 'user.email=contoso@example.com'];
    const { status, stderr } = spawnSync('git', [...identity, ...given], { cwd, encoding: 'utf8' });
    assert.equal(status, 0, stderr);
  };
  const work = mkdtempSync(join(scratch, 'work-'));
  git(work, 'init', '--quiet');
  writeFileSync(join(work, 'README.md'), 'Storefront\n');
  git(work, 'add', '.');
  git(work, 'commit', '--quiet', '--message', 'The first commit');
  git(folder, 'clone', '--quiet', '--bare', work, 'storefront.git');
}
