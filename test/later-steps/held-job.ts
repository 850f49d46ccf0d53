import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type JobOptions, type JobResult, type ProcessInfo, runJob } from '../agent/job.ts';
import { LOOKUP_ID } from '../agent/orphans.ts';
import type { Cloud } from '../cloud/cloud.ts';
import { rehearsalOptions } from '../rehearsal.ts';
import { processesOf } from './processes.ts';

/** A job whose last step waits, so that a test can look at what the steps before it left. */
export interface HeldJob {
  /** The mark that the agent puts on each process of the job. */
  readonly lookupId: string;
  /** The process of the waiting step. */
  readonly pid: number;
  /** The environment of the waiting step. */
  readonly environment: Readonly<Record<string, string>>;
  /** The file of the step `entra`; empty where it wrote none. */
  readonly tokenFile: string;
  /** Lets the last step end, and gives the result of the job. */
  release(): Promise<JobResult>;
}

/** One step that exports `workloadIdentity`, under the name `entra`. */
export const exportingStep = `
- task: EntraToken@1
  name: entra
  inputs:
    azureSubscription: prod
    scopes: keyVault
    exportEnvironment: workloadIdentity
`;

/**
 * Runs steps and holds the job after them, whatever they ended in. Rejects where the job ends before that.
 * @param steps YAML, a list of steps
 * @param mapped what the waiting step maps into its environment
 */
export async function holdJob(
  cloud: Cloud,
  steps: string = exportingStep,
  options: Partial<JobOptions> = {},
  mapped: Readonly<Record<string, string>> = {},
): Promise<HeldJob> {
  const folder = mkdtempSync(join(tmpdir(), 'held-job-'));
  const gate = join(folder, 'open');
  const pipeline = `steps:\n${steps}\n${holdingStep(gate, mapped)}`;
  let job: Promise<JobResult> | undefined;
  const release = async (): Promise<JobResult> => {
    writeFileSync(gate, '');
    try {
      return await (job ?? Promise.reject(new Error('the job was not started')));
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  };
  const { pid, environment } = await new Promise<ProcessInfo>((resolve, reject) => {
    job = runJob({
      ...rehearsalOptions(cloud),
      pipeline,
      // A step whose streams are held by what it left running would be seen to hang.
      waits: { streamMs: 600_000 },
      ...options,
      onProcess: (info) => {
        options.onProcess?.(info);
        if (info.step === 'hold') resolve(info);
      },
    });
    job.then(({ log }) => reject(new Error(`the job ended early:\n${log.join('\n')}`)), reject);
  });
  // The step is a script, and has the paths of this machine.
  const tokenFile = environment['ENTRA_FEDERATEDTOKENFILE'] ?? '';
  return { lookupId: environment[LOOKUP_ID] ?? '', pid, environment, tokenFile, release };
}

/** Lets a held job end after its use, and gives its result. It must succeed, and nothing may be left of it. */
export async function useJob<Job extends Pick<HeldJob, 'lookupId' | 'release'>>(
  job: Job,
  use: (job: Job) => Promise<void>,
): Promise<JobResult> {
  let fault: unknown;
  try {
    await use(job);
  } catch (error) {
    fault = error;
  }
  const result = await job.release();
  if (fault !== undefined) throw fault;
  assert.equal(result.result, 'Succeeded', result.log.join('\n'));
  assert.deepEqual(result.orphans, [], 'post-job ended the process, the agent had nothing to kill');
  assert.deepEqual(processesOf(job.lookupId), []);
  assert.deepEqual(result.leftover, []);
  return result;
}

/** A step that waits until a file is there. */
export function holdingStep(gate: string, mapped: Readonly<Record<string, string>> = {}): string {
  const names = Object.entries(mapped);
  return [
    '- bash: |',
    `    while [ ! -e "${gate}" ]; do sleep 0.1; done`,
    '  name: hold',
    '  condition: always()',
    ...(names.length === 0 ? [] : ['  env:', ...names.map(([name, value]) => `    ${name}: ${value}`)]),
    '',
  ].join('\n');
}
