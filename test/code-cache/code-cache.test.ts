import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type JobResult, runJob } from '../agent/job.ts';
import { type Cloud, startCloud } from '../cloud/cloud.ts';
import { rehearsalOptions } from '../rehearsal.ts';

const pipeline = `
steps:
  - task: EntraToken@1
    name: entra
    inputs: { azureSubscription: prod, scopes: keyVault }
`;

describe('compiled code is kept between the jobs of a self-hosted agent', { concurrency: 1 }, () => {
  let cloud: Cloud;
  let work: string;

  before(async () => {
    cloud = await startCloud();
    work = mkdtempSync(join(tmpdir(), 'entra-token-code-'));
  });
  after(async () => {
    await cloud.close();
    rmSync(work, { recursive: true, force: true });
  });

  const run = (workFolder: string, isHosted = false): Promise<JobResult> =>
    runJob({ ...rehearsalOptions(cloud), pipeline, workFolder, isHosted });
  const folderOf = (workFolder: string): string => join(workFolder, '_tool', '.entra-token');
  const stores = (workFolder: string): string[] => {
    try {
      return readdirSync(folderOf(workFolder)).map((name) => join(folderOf(workFolder), name));
    } catch {
      return [];
    }
  };
  const succeeded = (result: JobResult): void => {
    assert.equal(result.result, 'Succeeded');
    assert.ok(result.outputs['entra.accessToken'], 'the output is there');
  };

  it('keeps it after the first job, for the agent’s user alone, and not again after the second', async () => {
    succeeded(await run(work));
    const [store = '', ...others] = stores(work);
    assert.deepEqual(others, []);
    assert.equal(statSync(folderOf(work)).mode & 0o777, 0o700);
    assert.equal(statSync(store).mode & 0o777, 0o600);
    const { mtimeMs } = statSync(store);
    succeeded(await run(work));
    assert.equal(statSync(store).mtimeMs, mtimeMs, 'the code of the first job was taken');
  });

  it('runs from the sources where the kept code is damaged, and replaces it', async () => {
    const [store = ''] = stores(work);
    const sound = readFileSync(store);
    for (const at of [0, 40, Math.floor(sound.length / 2), sound.length - 1]) {
      const damaged = Buffer.from(sound);
      damaged.writeUInt8(damaged.readUInt8(at) ^ 0xff, at);
      writeFileSync(store, damaged);
      succeeded(await run(work));
      assert.notDeepEqual(readFileSync(store), damaged);
    }
    writeFileSync(store, '');
    succeeded(await run(work));
  });

  it('keeps nothing in a folder that others may write to, because the code is run without being looked at', async () => {
    const open = mkdtempSync(join(tmpdir(), 'entra-token-code-'));
    try {
      mkdirSync(folderOf(open), { recursive: true });
      chmodSync(folderOf(open), 0o777);
      succeeded(await run(open));
      assert.deepEqual(stores(open), []);
    } finally {
      rmSync(open, { recursive: true, force: true });
    }
  });

  it('keeps nothing on a hosted agent, which never has a second job', async () => {
    const hosted = mkdtempSync(join(tmpdir(), 'entra-token-code-'));
    try {
      succeeded(await run(hosted, true));
      assert.deepEqual(stores(hosted), []);
    } finally {
      rmSync(hosted, { recursive: true, force: true });
    }
  });
});
