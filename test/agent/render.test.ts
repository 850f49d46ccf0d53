import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { JobResult, StepResult } from './job.ts';
import type { LineKind } from './log.ts';
import { renderer, summary, takesColours } from './render.ts';

function show(colours: boolean, lines: [kind: LineKind, text: string, step?: string][]): string[] {
  let shown = '';
  const write = renderer({
    write: (text) => {
      shown += text;
    },
    colours,
  });
  for (const [kind, text, step = 'One'] of lines) write({ time: new Date(1_234), step, stage: 'main', kind, text });
  return shown.split('\n');
}

describe('renderer', () => {
  it('shows headings, groups, problems and times as plain text', () => {
    const shown = show(false, [
      ['section', '##[section]Starting: One'],
      ['plain', 'hello'],
      ['group', '##[group]Details'],
      ['plain', 'inside'],
      ['endgroup', '##[endgroup]'],
      ['error', '##[error]went wrong'],
      ['warning', '##[warning]take care'],
      ['debug', '##[debug]detail'],
      ['section', '##[section]Finishing: One'],
      ['section', '##[section]Starting: One'],
      ['plain', 'Skipping step', 'Two'],
    ]);
    assert.deepEqual(shown, [
      '',
      'One',
      '00:00:01.234 Starting: One',
      '00:00:01.234 hello',
      '00:00:01.234 ▾ Details',
      '00:00:01.234   inside',
      '00:00:01.234 error: went wrong',
      '00:00:01.234 warning: take care',
      '00:00:01.234 detail',
      '00:00:01.234 Finishing: One',
      '',
      'One',
      '00:00:01.234 Starting: One',
      '',
      'Two',
      '00:00:01.234 Skipping step',
      '',
    ]);
  });

  it('paints what stands out where there are colours', () => {
    assert.deepEqual(show(true, [['error', '##[error]no']]), [
      '',
      '\x1b[1mOne\x1b[0m',
      '\x1b[2m00:00:01.234\x1b[0m \x1b[31merror: no\x1b[0m',
      '',
    ]);
  });
});

describe('takesColours', () => {
  const cases: [isTTY: boolean, environment: NodeJS.ProcessEnv, colours: boolean][] = [
    [true, {}, true],
    [true, { NO_COLOR: '1' }, false],
    [true, { NO_COLOR: '' }, true],
    [true, { TERM: 'dumb' }, false],
    [false, {}, false],
  ];
  for (const [isTTY, environment, colours] of cases) {
    it(`is ${colours} for a ${isTTY ? 'terminal' : 'pipe'} with ${JSON.stringify(environment)}`, () => {
      assert.equal(takesColours({ isTTY }, environment), colours);
    });
  }
});

describe('summary', () => {
  const step: StepResult = {
    job: 'Job',
    name: 'entra',
    displayName: 'EntraToken',
    stage: 'main',
    result: 'Failed',
    issues: [{ type: 'error', message: 'no federation\nmore', data: {} }],
    lines: [],
    rawOutput: { stdout: '', stderr: '' },
    exitCode: 0,
    durationMs: 1_250,
    progress: 100,
    outputs: {},
    attachments: [],
  };
  const job: JobResult = {
    result: 'Failed',
    steps: [step, { ...step, name: 'Bash', displayName: 'Bash', result: 'Skipped', issues: [], durationMs: 1 }],
    log: [],
    variables: {},
    outputs: {},
    orphans: [],
    leftover: [],
    jobs: {},
  };

  it('lists each step with its result, its duration and its first error', () => {
    assert.deepEqual(summary(job), [
      '  ✗ EntraToken (entra)  Failed                 1.3 s',
      '      no federation',
      '  - Bash                Skipped',
      '✗ Failed in 1.3 s',
    ]);
  });

  it('names the job of a step where there are several', () => {
    assert.match(summary({ ...job, jobs: { A: job, B: job } })[0] ?? '', /Job: EntraToken \(entra\)/);
  });
});
