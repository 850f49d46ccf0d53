import assert from 'node:assert/strict';
import { stringify } from 'yaml';
import { type JobOptions, type JobResult, runJob, type StepResult } from '../agent/job.ts';
import type { Cloud, Fault, RecordedRequest } from '../cloud/cloud.ts';
import { rehearsalOptions } from '../rehearsal.ts';

/** A step with the task, and what happens while it runs. */
export interface TaskStep {
  /** Under which later steps see its outputs. */
  name: string;
  inputs: Record<string, string>;
  env?: Record<string, string>;
  /** The only faults of the cloud during this step. */
  faults?: Fault[];
  /** Called when the process of the step has just begun. */
  started?: () => void;
}

/** How a step ended, and what it asked of the services. */
export interface Outcome {
  step: StepResult;
  requests: RecordedRequest[];
  /** The output variables by name. */
  outputs: Record<string, { value: string; secret: boolean }>;
  /** The masked log as one text. */
  log: string;
}

export interface Rehearsed {
  job: JobResult;
  /** The outcome of the step with this name. Throws where there is none. */
  of(name: string): Outcome;
}

/**
 * Runs steps with the task one after another in one job, each whatever became of the one before, and sorts the cloud's
 * requests by the steps that made them.
 */
export async function runSteps(
  cloud: Cloud,
  steps: readonly TaskStep[],
  options: Partial<JobOptions> = {},
): Promise<Rehearsed> {
  const begins = new Map<string, number>();
  // Azure Pipelines knows no anchors, which would stand for inputs that several steps share.
  const pipeline = stringify(
    {
      steps: steps.map(({ name, inputs, env }) => ({
        task: 'EntraToken@1',
        name,
        inputs,
        condition: 'always()',
        ...(env === undefined ? {} : { env }),
      })),
    },
    { aliasDuplicateObjects: false },
  );
  const before = cloud.requests.length;
  const job = await runJob({
    ...rehearsalOptions(cloud),
    pipeline,
    ...options,
    onProcess(info) {
      const step = steps.find(({ name }) => name === info.step);
      if (info.stage !== 'main' || step === undefined) return;
      begins.set(step.name, cloud.requests.length);
      cloud.faults = step.faults ?? [];
      step.started?.();
    },
  });
  cloud.faults = [];
  const bounds = [...begins.values(), cloud.requests.length];
  const ordered = [...begins.keys()];
  const of = (name: string): Outcome => {
    const step = job.steps.find((one) => one.name === name && one.stage === 'main');
    assert.ok(step, `a step ${name} ran`);
    const place = ordered.indexOf(name);
    const requests = place < 0 ? [] : cloud.requests.slice(bounds[place] ?? before, bounds[place + 1]);
    const mine = Object.entries(job.outputs).filter(([output]) => output.startsWith(`${name}.`));
    return {
      step,
      requests,
      outputs: Object.fromEntries(mine.map(([output, value]) => [output.slice(name.length + 1), value])),
      log: step.lines.join('\n'),
    };
  };
  return { job, of };
}

/** The requests to one service. */
export function to(service: RecordedRequest['service'], requests: readonly RecordedRequest[]): RecordedRequest[] {
  return requests.filter((request) => request.service === service);
}

/** The values of an outcome's outputs. */
export function values({ outputs }: Outcome): Record<string, string> {
  return Object.fromEntries(Object.entries(outputs).map(([name, { value }]) => [name, value]));
}

/** The step succeeded, without an error. */
export function assertSucceeded({ step, log }: Outcome): void {
  const errors = step.issues.filter(({ type }) => type === 'error');
  assert.deepEqual(
    { result: step.result, errors, exitCode: step.exitCode },
    { result: 'Succeeded', errors: [], exitCode: 0 },
    log,
  );
}

/** The step failed with the one red line that product.md promises, exit code 0, and set no output. Gives the line. */
export function assertFailed(outcome: Outcome, code: string): string {
  const { step, log } = outcome;
  const errors = step.issues.filter(({ type }) => type === 'error');
  assert.equal(errors.length, 1, `one error, not ${errors.length}:\n${log}`);
  const [error] = errors;
  assert.equal(error?.data['code'], code, error?.message);
  assert.equal(step.result, 'Failed');
  assert.equal(step.exitCode, 0);
  assert.deepEqual(outcome.outputs, {}, 'a failed step sets no outputs');
  const red = step.lines.filter((line) => line.startsWith('##[error]'));
  assert.equal(red.length, 1, 'one red line');
  assert.ok(error.message.startsWith(`${code}: `), error.message);
  assert.match(error.message, new RegExp(`See https://\\S+#${code.toLowerCase()}$`));
  return error.message;
}

/** Nothing that the job shows holds any part of a token that went over the wire, or was handed on. */
export function assertNothingLeaked(cloud: Cloud, job: JobResult, more: readonly string[] = []): void {
  const tokens = new Set([...more, cloud.job.jobToken]);
  for (const { headers, form } of cloud.requests) {
    const bearer = /^bearer (.+)$/i.exec(headers.authorization ?? '')?.[1];
    for (const token of [bearer, form?.['client_assertion']]) if (token) tokens.add(token);
  }
  for (const { value, secret } of Object.values(job.outputs)) if (secret) tokens.add(value);
  const shown = everythingShown(job);
  const pieces = new Set([...tokens].flatMap(piecesOf));
  // A piece has no blank; so only where so many characters stand together can one be.
  for (const run of new Set(shown.match(/[\w+/=.-]{24,}/g))) {
    for (let at = 0; at + PIECE <= run.length; at++) {
      // Not the piece itself: this message too ends in a log.
      assert.ok(!pieces.has(run.slice(at, at + PIECE)), `a piece of a token is shown, after: ${run.slice(0, at)}`);
    }
  }
  // Whatever looks like the beginning of a JWT, should one have come from somewhere else.
  assert.ok(!/eyJ[\w-]{10,}\.eyJ[\w-]{10,}/.test(shown), 'a JWT is shown');
}

/** The masked log, the issues, and what the processes printed apart from the commands that tell the agent a secret. */
function everythingShown(job: JobResult): string {
  const raw = job.steps.flatMap(({ rawOutput }) => [...rawOutput.stdout.split('\n'), ...rawOutput.stderr.split('\n')]);
  const plain = raw.filter((line) => !/^##vso\[task\.(setsecret\]|setvariable [^\]]*issecret=true)/.test(line));
  const issues = job.steps.flatMap((step) => [JSON.stringify(step.issues), step.currentOperation ?? '']);
  return [...plain, ...job.log, ...issues].join('\n');
}

const PIECE = 24;

/** Pieces of a token and of its Base64 forms, such that whoever shows a larger part of one shows a whole piece. */
function piecesOf(token: string): string[] {
  const forms = [token, ...[0, 1, 2].map((offset) => Buffer.from(`${' '.repeat(offset)}${token}`).toString('base64'))];
  return forms.flatMap((form) => {
    const pieces: string[] = [];
    for (let start = 4; start + PIECE <= form.length - 4; start += PIECE) pieces.push(form.slice(start, start + PIECE));
    return pieces;
  });
}
