/** What is peculiar to Windows. `npm run soak -- windows` runs these, and the tests that run the task elsewhere too. */
import assert from 'node:assert/strict';
import { linkSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { JobOptions } from '../agent/job.ts';
import type { StartedProcess } from '../agent/machine.ts';
import { type Cloud, startCloud } from '../cloud/cloud.ts';
import { exportingStep, holdJob } from '../later-steps/held-job.ts';
import { refreshersOf, within } from '../later-steps/processes.ts';
import { expiryOf } from '../later-steps/reads.ts';
import { testMachine } from '../on-windows.ts';
import { assertNothingLeaked, assertSucceeded, runSteps, values } from '../task/run-steps.ts';
import { windowsFolder } from './wine.ts';

const machine = testMachine();
assert.ok(machine !== undefined, 'npm run soak -- windows runs these');

const cloud = await startCloud();
const folder = mkdtempSync(join(tmpdir(), 'windows-'));
after(async () => {
  await cloud.close();
  rmSync(folder, { recursive: true, force: true });
});

const prod = { azureSubscription: 'prod' };

test('lines of inputs and of the pod’s file may end in CRLF', async () => {
  const file = join(folder, 'crlf');
  writeFileSync(file, `${await cloud.kubernetes.issueToken()}\r\n`);
  const pod = {
    AZURE_CLIENT_ID: cloud.clientId,
    AZURE_TENANT_ID: cloud.tenantId,
    AZURE_AUTHORITY_HOST: cloud.authorityUrl,
  };
  const { job, of } = await runSteps(cloud, [
    { name: 'pod', inputs: { credentialSource: 'kubernetes' }, env: { ...pod, AZURE_FEDERATED_TOKEN_FILE: file } },
    { name: 'lines', inputs: { ...prod, scopes: 'arm\r\nkv = keyVault\r\n\r\ngraph=graph\r\n' } },
    { name: 'kinds', inputs: { ...prod, exportEnvironment: 'terraform,\r\n azcopy\r\n', keepTokenFileFresh: 'false' } },
  ]);
  for (const name of ['lines', 'kinds', 'pod']) assertSucceeded(of(name));
  assert.ok(['accessToken', 'kv.accessToken', 'graph.accessToken'].every((name) => values(of('lines'))[name]));
  assertNothingLeaked(cloud, job);
});

test('names of the environment count whatever their case', async () => {
  const volume = await cloud.kubernetes.writeProjectedVolume(join(folder, 'volume'));
  const { of } = await runSteps(cloud, [{ name: 'entra', inputs: { credentialSource: 'kubernetes' } }], {
    environment: {
      azure_client_id: cloud.clientId,
      Azure_Tenant_Id: cloud.tenantId,
      AZURE_federated_TOKEN_file: volume.file,
      Azure_Authority_Host: cloud.authorityUrl,
    },
  });
  assertSucceeded(of('entra'));
  assert.equal(values(of('entra'))['credentialSource'], 'kubernetes');
});

const places: readonly (readonly [title: string, name: string])[] = [
  ['with blanks, umlauts and an ampersand', "Agent Müller & Söhne (2), the 'new' one"],
  ['of more than 260 characters', 'long '.repeat(38).trim().replaceAll(' ', '-')],
];
for (const [title, name] of places) {
  test(`a work folder ${title} holds the token file, the process and what it leaves`, async () => {
    const workFolder = join(folder, name, '_work');
    mkdirSync(workFolder, { recursive: true });
    const quick = await startCloud({ idTokenLifetimeSeconds: 6 });
    try {
      const { file, result } = await renewed(quick, { workFolder });
      assert.match(file, /^[A-Z]:\\/);
      assert.match(postJobLine(result), /renewed .* is removed; renewal was working to the end/);
    } finally {
      await quick.close();
    }
  });
}

/** Holds a job until the file has been renewed once, and lets it end. */
async function renewed(quick: Cloud, options: Partial<JobOptions>) {
  const job = await holdJob(quick, exportingStep, options);
  const first = readFileSync(job.tokenFile, 'utf8');
  const isRenewed = await within(15_000, () => readFileSync(job.tokenFile, 'utf8') !== first);
  const result = await job.release();
  assert.ok(isRenewed, 'renewed');
  assert.deepEqual(result.orphans, []);
  assert.deepEqual(result.leftover, []);
  return { result, file: result.outputs['entra.federatedTokenFile']?.value ?? '' };
}

function postJobLine({
  steps,
}: {
  steps: readonly { stage: string; result: string; rawOutput: { stdout: string } }[];
}): string {
  const post = steps.find(({ stage }) => stage === 'post');
  assert.equal(post?.result, 'Succeeded');
  return post?.rawOutput.stdout.trim() ?? '';
}

/** Opens a file on Windows and keeps it open. */
async function hold(file: string): Promise<{ release(): Promise<void> }> {
  assert.ok(machine !== undefined);
  const worker = await machine.openWorker('reader');
  const reader: StartedProcess = await worker.start({
    file: machine.pathThere(join(windowsFolder, 'hold.exe')),
    args: [machine.pathThere(file)],
    cwd: 'C:\\',
    env: machine.environment,
  });
  const said = await new Promise<string>((resolve) =>
    reader.stdout.once('data', (text: Buffer) => resolve(String(text))),
  );
  assert.match(said, /^open/);
  return {
    async release() {
      reader.terminate?.();
      await worker.close();
    },
  };
}

test('a reader that keeps the file open delays a renewal, and does not end it', async () => {
  const quick = await startCloud({ idTokenLifetimeSeconds: 6 });
  const job = await holdJob(quick, exportingStep);
  try {
    const first = readFileSync(job.tokenFile, 'utf8');
    const reader = await hold(job.tokenFile);
    const asked = quick.requests.length;
    assert.ok(await within(15_000, () => quick.requests.length > asked + 1), 'it goes on trying');
    await reader.release();
    assert.ok(
      await within(15_000, () => (readWhole(job.tokenFile) ?? first) !== first),
      'the next one is put in place',
    );
    assert.ok((expiryOf(readFileSync(job.tokenFile, 'utf8')) ?? 0) > Date.now());
    assert.equal(refreshersOf(job.lookupId).length, 1);
  } finally {
    await job.release();
    await quick.close();
  }
});

test('a reader that keeps the file open beyond its end finds no expired token in it', async () => {
  const quick = await startCloud({ idTokenLifetimeSeconds: 6 });
  const job = await holdJob(quick, exportingStep);
  const reader = await hold(job.tokenFile);
  try {
    quick.faults = [{ service: 'devops', do: { kind: 'reset' } }];
    await sleep(7000);
    const text = readWhole(job.tokenFile);
    assert.ok(text === undefined || text === '' || (expiryOf(text) ?? 0) > Date.now(), 'an expired token is left');
    assert.equal(refreshersOf(job.lookupId).length, 1, 'it goes on trying');
    quick.faults = [];
    await reader.release();
    assert.ok(await within(20_000, () => (expiryOf(readWhole(job.tokenFile) ?? '') ?? 0) > Date.now()), 'it heals');
  } finally {
    const result = await job.release();
    assert.deepEqual(result.orphans, []);
    await quick.close();
  }
});

test('a reader that keeps the file open at the end of the job makes no step fail, and the token is gone', async () => {
  const job = await holdJob(cloud, exportingStep, { workFolder: join(folder, 'held', '_work') });
  // The local agent removes what is left, held or not; by another name it can still be looked at.
  const left = join(folder, 'left');
  linkSync(job.tokenFile, left);
  const reader = await hold(job.tokenFile);
  const result = await job.release();
  assert.match(postJobLine(result), /could not be removed/);
  assert.deepEqual(result.orphans, []);
  assert.equal(readFileSync(left, 'utf8'), '', 'a token is left');
  await reader.release();
  rmSync(dirname(job.tokenFile), { recursive: true, force: true });
});

function readWhole(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}
