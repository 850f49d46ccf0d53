/** What is peculiar to Windows. `npm run soak -- windows` runs these, and the tests that run the task elsewhere too. */
import assert from 'node:assert/strict';
import { copyFileSync, linkSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { root } from '../../scripts/layout.ts';
import { STATUS_FILE } from '../../tasks/EntraTokenV1/background/token-folder.ts';
import { type JobOptions, runJob } from '../agent/job.ts';
import type { StartedProcess } from '../agent/machine.ts';
import { type Cloud, startCloud } from '../cloud/cloud.ts';
import { endStep } from '../later-steps/ended-step.ts';
import { exportingStep, holdJob } from '../later-steps/held-job.ts';
import { killAgent } from '../later-steps/killed-agent.ts';
import { refreshersOf, within } from '../later-steps/processes.ts';
import { expiryOf } from '../later-steps/reads.ts';
import { pathHere, pathThere, testMachine } from '../on-windows.ts';
import { rehearsalOptions } from '../rehearsal.ts';
import { assertNothingLeaked, assertSucceeded, runSteps, values } from '../task/run-steps.ts';
import { nodeFolder, windowsFolder } from './wine.ts';

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
    // One that has expired meanwhile was taken out of the file first.
    const isRenewed = (text: string): boolean => text !== first && (expiryOf(text) ?? 0) > Date.now();
    assert.ok(await within(15_000, () => isRenewed(readWhole(job.tokenFile) ?? '')), 'the next one is put in place');
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

/** What Windows needs to start a process and to find its own parts; libuv adds it to every environment (uv_spawn). */
const OF_WINDOWS = [
  'HOMEDRIVE',
  'HOMEPATH',
  'LOGONSERVER',
  'PATH',
  'SYSTEMDRIVE',
  'SYSTEMROOT',
  'TEMP',
  'USERDOMAIN',
  'USERNAME',
  'USERPROFILE',
  'WINDIR',
];

test('the background process has the agent’s mark and what Windows needs, and nothing of the job', async () => {
  const job = await holdJob(cloud, exportingStep, { secretVariables: { unrelated: 'a secret of the job' } });
  try {
    const { pid } = JSON.parse(readFileSync(join(dirname(job.tokenFile), STATUS_FILE), 'utf8'));
    const environment = await environmentOf(pid);
    assert.equal(environment.get('VSTS_PROCESS_LOOKUP_ID'), job.lookupId, 'the agent finds it as its own');
    const others = [...environment.keys()].filter(
      (name) => !OF_WINDOWS.includes(name.toUpperCase()) && !isOfWine(name),
    );
    assert.deepEqual(others, ['VSTS_PROCESS_LOOKUP_ID']);
  } finally {
    await job.release();
  }
});

/** Wine hands its own settings on. */
const isOfWine = (name: string): boolean => name.startsWith('WINE');

/** The environment of a process, by its number on Windows. */
async function environmentOf(pid: number): Promise<Map<string, string>> {
  const { stdout } = await runThere(join(windowsFolder, 'environment.exe'), String(pid));
  // Names with `=` at their start are of the command shell's: the folder of each drive.
  const lines = stdout.split('\r\n').filter((line) => line !== '' && !line.startsWith('='));
  return new Map(lines.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]));
}

/** Runs a program on Windows to its end. */
async function runThere(program: string, ...args: string[]): Promise<{ exitCode: number | null; stdout: string }> {
  assert.ok(machine !== undefined);
  const worker = await machine.openWorker('program');
  try {
    const child = await worker.start({
      file: machine.pathThere(program),
      args: args.map((one) => machine.pathThere(one)),
      cwd: 'C:\\',
      env: machine.environment,
    });
    let stdout = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    await new Promise<void>((resolve) => child.on('close', resolve));
    return { exitCode: child.exitCode, stdout };
  } finally {
    await worker.close();
  }
}

const quickSteps = 'steps: [{ task: EntraToken@1, name: entra, inputs: { azureSubscription: prod } }]';

for (const old of [10, 16] as const) {
  test(`started with Node ${old} alone, the step says in one red line what to set, and post-job fails nothing`, async () => {
    const node = layOut(`alone-${old}`, { [`node${old}`]: nodeFolder(old) });
    const result = await runJob({
      ...rehearsalOptions(cloud),
      pipeline: quickSteps,
      node: { node20: node, node24: node },
    });
    const [main, post] = result.steps;
    assert.deepEqual(
      main?.issues.map(({ type, data }) => [type, data['code']]),
      [['error', 'ET_NODE_VERSION']],
    );
    assert.match(main?.issues[0]?.message ?? '', new RegExp(`with Node ${old}\\.\\S+, and this task needs Node 20 or`));
    assert.deepEqual([main?.result, main?.exitCode, main?.rawOutput.stderr], ['Failed', 0, '']);
    assert.deepEqual([post?.result, post?.exitCode, post?.rawOutput.stderr], ['Succeeded', 0, '']);
    assert.deepEqual(post?.issues, []);
  });

  test(`started with Node ${old}, both stages run with the newer Node that the agent has beside it`, async () => {
    const node = layOut(`beside-${old}`, { [`node${old}`]: nodeFolder(old), node20_1: nodeFolder(20) });
    const job = await holdJob(cloud, exportingStep, { node: { node20: node, node24: node } });
    await sleep(2000);
    const running = refreshersOf(job.lookupId).length;
    const result = await job.release();
    assert.equal(result.result, 'Succeeded', result.log.join('\n'));
    assert.match(result.outputs['entra.accessToken']?.value ?? '', /^ey/);
    assert.equal(running, 1, 'what stands between the agent and the step is gone, and took nothing with it');
    assert.match(postJobLine(result), /is removed; renewal was working to the end/);
    assert.deepEqual(result.orphans, []);
  });

  test(`started with Node ${old}, main passes the exit code of the newer one on, and post-job never fails`, async () => {
    const node = layOut(`passing-${old}`, { [`node${old}`]: nodeFolder(old), node20_1: nodeFolder(20) });
    const task = mkdtempSync(join(folder, 'task-'));
    for (const name of ['main', 'post-job', 'newer-node']) {
      copyFileSync(join(root, 'tasks', 'EntraTokenV1', `${name}.js`), join(task, `${name}.js`));
    }
    for (const name of ['step', 'clean-up']) {
      writeFileSync(join(task, `${name}.js`), 'console.log(process.versions.node); process.exit(7);');
    }
    const here = pathHere(node);
    const main = await runThere(here, join(task, 'main.js'));
    assert.deepEqual([main.exitCode, main.stdout.split('.')[0]], [7, '20']);
    const post = await runThere(here, join(task, 'post-job.js'));
    assert.equal(post.exitCode, 0);
    assert.match(post.stdout, /Nothing was cleaned up/);
  });
}

test('started with a Node that is too old, a cancelled step ends, and a killed agent takes it along', async () => {
  const node = layOut('ended', { node16: nodeFolder(16), node20_1: nodeFolder(20) });
  const nodes = { node: { node20: node, node24: node } };
  for (const delayMs of [300, 1500]) await endStep(cloud, 'SIGINT', delayMs, nodes);
  const silent = await startCloud();
  try {
    const running = await killAgent(silent, { step: 'entra', asking: 'devops' }, nodes);
    assert.equal(running.length, 2, 'what the agent started, and the step');
  } finally {
    await silent.close();
  }
});

/**
 * Lays Nodes out as an agent does, and gives the path of the first there.
 * @param nodes the folder of each binary, by the name of its own
 */
function layOut(agent: string, nodes: Readonly<Record<string, string>>): string {
  for (const [name, binaries] of Object.entries(nodes)) {
    const bin = join(folder, agent, 'externals', name, 'bin');
    mkdirSync(bin, { recursive: true });
    linkSync(join(binaries, 'node.exe'), join(bin, 'node.exe'));
  }
  return pathThere(join(folder, agent, 'externals', Object.keys(nodes)[0] ?? '', 'bin', 'node.exe'));
}
