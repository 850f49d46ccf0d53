import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { strToU8, zipSync } from 'fflate';
import { type JobOptions, type JobResult, runJob, type StepResult } from './job.ts';

/** A package made up for a test, and the way to run pipelines with it. */
export interface FakeExtension {
  folder: string;
  vsix: string;
  /** Runs the steps, in YAML, with a work folder inside of the test's own. */
  run(steps: string, options?: Partial<JobOptions>): Promise<JobResult>;
  remove(): void;
}

const COMMON = {
  id: '00000000-aaaa-bbbb-cccc-000000000001',
  friendlyName: 'A made-up task',
  description: 'Runs the JavaScript of its inputs',
  author: 'Somebody',
  helpMarkDown: 'No help',
  version: { Major: 1, Minor: 2, Patch: 3 },
};
const CODE_INPUT = { name: 'code', type: 'multiLine' };

/**
 * Packages two tasks: `Run@1`, which runs the JavaScript of its input `code`, and `Stages@1`, which runs `pre`, `code`
 * and `post` in its three stages. `task` is merged into the task.json of `Run@1`.
 */
export function fakeExtension(task: Record<string, unknown> & { inputs?: unknown[] } = {}): FakeExtension {
  const folder = mkdtempSync(join(tmpdir(), 'agent-test-'));
  const vsix = join(folder, 'fake.vsix');
  const handlers = (target: string): unknown => ({ Node24: { target }, Node20_1: { target } });
  const run = {
    ...COMMON,
    name: 'Run',
    execution: handlers('main.js'),
    ...task,
    inputs: [CODE_INPUT, ...(task.inputs ?? [])],
  };
  const stages = {
    ...COMMON,
    id: '00000000-aaaa-bbbb-cccc-000000000002',
    name: 'Stages',
    inputs: [CODE_INPUT, { name: 'pre' }, { name: 'post' }],
    prejobexecution: handlers('pre.js'),
    execution: handlers('main.js'),
    postjobexecution: handlers('post.js'),
  };
  const code = (input: string): Uint8Array => strToU8(`eval(process.env.INPUT_${input})`);
  const files = {
    'extension.vsomanifest': strToU8('{}'),
    'RunV1/task.json': strToU8(`\uFEFF${JSON.stringify(run)}`),
    'RunV1/main.js': code('CODE'),
    'StagesV1/task.json': strToU8(JSON.stringify(stages)),
    'StagesV1/pre.js': code('PRE'),
    'StagesV1/main.js': code('CODE'),
    'StagesV1/post.js': code('POST'),
  };
  writeFileSync(vsix, zipSync(files, { level: 0 }));
  return {
    folder,
    vsix,
    run: (steps, options = {}) => {
      const workFolder = mkdtempSync(join(folder, 'work-'));
      return runJob({ pipeline: steps, vsix, collectionUri: 'https://dev.azure.com/example/', workFolder, ...options });
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

/** The stage that a test means; the main one unless it says otherwise. */
export function stepOf(result: JobResult, name: string, stage = 'main'): StepResult {
  const step = result.steps.find((one) => one.name === name && one.stage === stage);
  if (step === undefined) throw new Error(`There is no ${stage} stage of ${name}.`);
  return step;
}

/** What a step printed as JSON, before masking. */
export function printed(step: StepResult): Record<string, string> {
  const text = step.rawOutput.stdout;
  return JSON.parse(text.slice(text.indexOf('{'), text.lastIndexOf('}') + 1));
}

/** The log without the banners and without the agent's own lines. */
export function said(step: StepResult): string[] {
  const end = step.lines.lastIndexOf('='.repeat(78));
  return step.lines.slice(end + 1).filter((line) => !line.startsWith('##[section]'));
}
