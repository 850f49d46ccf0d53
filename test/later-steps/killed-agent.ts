import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { JobOptions, ProcessInfo } from '../agent/job.ts';
import { LOOKUP_ID } from '../agent/orphans.ts';
import type { Cloud } from '../cloud/cloud.ts';
import { rehearsalOptions } from '../rehearsal.ts';
import { exportingStep, holdingStep } from './held-job.ts';
import { processesOf, taskProcessesOf, within } from './processes.ts';

/** When the agent is killed: so many milliseconds after a process of a step was started. */
export interface Moment {
  /** The step that exports, or the one after it. */
  readonly step: 'entra' | 'hold';
  readonly delayMs: number;
}

/**
 * Kills an agent, without grace, in the middle of a job, and makes sure that nothing of the task outlives it. Gives the
 * scripts of the task that were running then.
 */
export async function killAgent(
  cloud: Cloud,
  { step, delayMs }: Moment,
  options: Pick<JobOptions, 'node'> = {},
): Promise<string[]> {
  const folder = mkdtempSync(join(tmpdir(), 'killed-agent-'));
  const gate = join(folder, 'open');
  const workFolder = join(folder, '_work');
  const tsx = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;
  const script = fileURLToPath(new URL('agent-process.ts', import.meta.url));
  const agent = spawn(process.execPath, ['--import', tsx, script], { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = new Promise((resolve) => agent.once('exit', resolve));
  const at = `the agent killed ${delayMs} ms after the start of ${step}`;
  let lookupId = '';
  try {
    const pipeline = `steps:\n${exportingStep}\n${holdingStep(gate)}`;
    agent.stdin.end(JSON.stringify({ ...rehearsalOptions(cloud), ...options, pipeline, workFolder }));
    for await (const line of createInterface({ input: agent.stdout })) {
      const started: ProcessInfo = JSON.parse(line);
      lookupId ||= started.environment[LOOKUP_ID] ?? '';
      if (started.step === step) break;
    }
    assert.notEqual(lookupId, '', `${at}: the step was started`);
    await sleep(delayMs);
    agent.kill('SIGKILL');
    await ended;
    const running = taskProcessesOf(lookupId).map((one) => one.arguments.at(-1)?.replace(/.*\//, '') ?? '');
    assert.ok(await within(5000, () => taskProcessesOf(lookupId).length === 0), `${at}: no process outlives the job`);
    const temporary = join(workFolder, '_temp');
    const left = existsSync(temporary) ? readdirSync(temporary, { recursive: true, encoding: 'utf8' }) : [];
    for (const name of left.filter((one) => one.startsWith('entra-token-'))) {
      assert.equal(statSync(join(temporary, name)).mode & 0o077, 0, `${at}: nobody else can read ${name}`);
    }
    if (running.includes('background.js') && step === 'hold') {
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
    await within(5000, () => processesOf(lookupId).length === 0);
    rmSync(folder, { recursive: true, force: true });
  }
}
