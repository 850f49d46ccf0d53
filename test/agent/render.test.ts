import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { emptyResult, type JobResult, type StepResult } from './job-result.ts';
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

const heading = (step: string): string => `── ${step} ${'─'.repeat(74 - step.length)}`;

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
      heading('One'),
      '00:00:01.234 Starting: One',
      '00:00:01.234 hello',
      '00:00:01.234 ▾ Details',
      '00:00:01.234   inside',
      '00:00:01.234 error: went wrong',
      '00:00:01.234 warning: take care',
      '00:00:01.234 detail',
      '00:00:01.234 Finishing: One',
      '',
      heading('One'),
      '00:00:01.234 Starting: One',
      '',
      heading('Two'),
      '00:00:01.234 Skipping step',
      '',
    ]);
  });

  it('paints what stands out where there are colours', () => {
    assert.deepEqual(show(true, [['error', '##[error]no']]), [
      '',
      `\x1b[1m${heading('One')}\x1b[0m`,
      '\x1b[2m00:00:01.234\x1b[0m \x1b[31merror: no\x1b[0m',
      '',
    ]);
  });

  it('shows the header of a task dim, and what follows it not', () => {
    const rule = '='.repeat(78);
    const shown = show(true, [
      ['plain', rule],
      ['plain', 'Version : 1.0.0'],
      ['plain', rule],
      ['plain', 'hello'],
    ]);
    assert.deepEqual(
      shown.slice(2, -1).map((line) => line.slice(line.indexOf(' ') + 1)),
      [`\x1b[2m${rule}\x1b[0m`, '\x1b[2mVersion : 1.0.0\x1b[0m', `\x1b[2m${rule}\x1b[0m`, 'hello'],
    );
  });
});

describe('takesColours', () => {
  const cases: [isTTY: boolean, environment: NodeJS.ProcessEnv, colours: boolean][] = [
    [true, {}, true],
    [true, { NO_COLOR: '1' }, false],
    [true, { NO_COLOR: '' }, true],
    [true, { TERM: 'dumb' }, false],
    [false, {}, false],
    [false, { FORCE_COLOR: '1' }, true],
    [true, { FORCE_COLOR: '1', NO_COLOR: '1' }, false],
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
    ...emptyResult(),
    result: 'Failed',
    steps: [step, { ...step, name: 'Bash', displayName: 'Bash', result: 'Skipped', issues: [], durationMs: 1 }],
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
