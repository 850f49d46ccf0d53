import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { JobOptions, ProcessInfo } from '../agent/job.ts';
import { LOOKUP_ID } from '../agent/orphans.ts';
import type { Cloud } from '../cloud/cloud.ts';
import { onWindows } from '../on-windows.ts';
import { rehearsalOptions } from '../rehearsal.ts';
import { exportingStep, holdingStep } from './held-job.ts';
import { PATIENCE_MS, processesOf, taskProcessesOf, within } from './processes.ts';

/** When the agent is killed. */
export type Moment =
  /** So many milliseconds after a process of the step that exports, or of the one after it, was started. */
  | { readonly step: 'entra' | 'hold'; readonly delayMs: number }
  /** While the step that exports waits for this service, which does not answer. */
  | { readonly step: 'entra'; readonly asking: 'devops' | 'entra' };

/**
 * Kills an agent, without grace, in the middle of a job, and makes sure that nothing of the task outlives it. Gives the
 * scripts of the task that were running just before. A service that does not answer, answers no other job either.
 */
export async function killAgent(
  cloud: Cloud,
  moment: Moment,
  options: Pick<JobOptions, 'node' | 'node10' | 'environment'> = {},
): Promise<string[]> {
  const folder = mkdtempSync(join(tmpdir(), 'killed-agent-'));
  const gate = join(folder, 'open');
  const workFolder = join(folder, '_work');
  const tsx = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;
  const script = fileURLToPath(new URL('agent-process.ts', import.meta.url));
  // By its name alone the task knows the worker where the system shows nothing else of a process.
  const worker = join(folder, 'Agent.Worker');
  symlinkSync(process.execPath, worker);
  const agent = spawn(worker, ['--import', tsx, script], { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = new Promise((resolve) => agent.once('exit', resolve));
  const at = `the agent killed ${JSON.stringify(moment)}`;
  if ('asking' in moment) cloud.faults = [{ service: moment.asking, do: { kind: 'silence' } }];
  let lookupId = '';
  try {
    const pipeline = `steps:\n${exportingStep}\n${holdingStep(gate)}`;
    agent.stdin.end(JSON.stringify({ ...rehearsalOptions(cloud), ...options, pipeline, workFolder }));
    for await (const line of createInterface({ input: agent.stdout })) {
      const started: ProcessInfo = JSON.parse(line);
      lookupId ||= started.environment[LOOKUP_ID] ?? '';
      if (started.step === moment.step) break;
    }
    assert.notEqual(lookupId, '', `${at}: the step was started`);
    if ('asking' in moment) {
      const isAsked = (): boolean => cloud.requests.some(({ service }) => service === moment.asking);
      assert.ok(await within(PATIENCE_MS, isAsked), `${at}: it asked`);
    } else {
      await sleep(moment.delayMs);
    }
    // Looked at before, because they may be gone by the time that they could be looked at after.
    const running = taskProcessesOf(lookupId).map((one) => one.arguments.at(-1)?.replace(/.*[/\\]/, '') ?? '');
    agent.kill('SIGKILL');
    await ended;
    const isOver = (): boolean => taskProcessesOf(lookupId).length === 0;
    assert.ok(await within(PATIENCE_MS, isOver), `${at}: no process outlives the job`);
    const temporary = join(workFolder, '_temp');
    const left = existsSync(temporary) ? readdirSync(temporary, { recursive: true, encoding: 'utf8' }) : [];
    // Wine shows nothing of the access lists of Windows.
    for (const name of left.filter((one) => one.startsWith('entra-token-') && !onWindows)) {
      assert.equal(statSync(join(temporary, name)).mode & 0o077, 0, `${at}: nobody else can read ${name}`);
    }
    if (running.includes('background.js') && moment.step === 'hold') {
      assert.deepEqual(
        left.filter((name) => /id-token/.test(name)),
        [],
        `${at}: no token is left`,
      );
    }
    return running;
  } finally {
    agent.kill('SIGKILL');
    await ended;
    // The waiting step is no business of the task's: it has lost its agent, and is ended here.
    writeFileSync(gate, '');
    await within(PATIENCE_MS, () => processesOf(lookupId).length === 0);
    rmSync(folder, { recursive: true, force: true });
  }
}
