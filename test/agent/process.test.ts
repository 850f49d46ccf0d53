import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { lineReader, runProcess, type StreamName, type Waits } from './process.ts';

describe('lineReader', () => {
  const cases: [pieces: string[], lines: string[], why: string][] = [
    [['a\nb\r\nc\rd'], ['a', 'b', 'c', 'd'], 'all three ends, and an open last line'],
    [['a\r', '\nb\n'], ['a', 'b'], 'an end that is cut in two is one end'],
    [['a\r', '', '\nb'], ['a', 'b'], 'an empty piece in between'],
    [['a\r', 'b\r', '\rc'], ['a', 'b', '', 'c'], 'carriage returns of their own'],
    [['ab', 'cd', '\n'], ['abcd'], 'a line in pieces'],
    [['\n\n'], ['', ''], 'empty lines'],
    [[], [], 'nothing'],
  ];
  for (const [pieces, lines, why] of cases) {
    it(`splits ${JSON.stringify(pieces)}: ${why}`, () => {
      const read: string[] = [];
      const reader = lineReader((line) => read.push(line));
      for (const piece of pieces) reader.write(piece);
      reader.end();
      assert.deepEqual(read, lines);
    });
  }
});

/** A wait that has to end: a busy machine has run the process meanwhile, and what it printed was read. Milliseconds. */
const SHORT_MS = 2000;

/** A wait that must not end. Milliseconds. */
const LONG_MS = 60_000;

describe('runProcess', { concurrency: 4 }, () => {
  function run(
    script: string,
    options: {
      cancel?: AbortSignal;
      abandon?: AbortSignal;
      onLine?: (line: string) => void;
      waits?: Partial<Waits>;
    } = {},
  ): { exitCode: Promise<number | null>; lines: string[]; text: Record<StreamName, string>; pid: () => number } {
    const lines: string[] = [];
    const text = { stdout: '', stderr: '' };
    let started = 0;
    const exitCode = runProcess({
      file: process.execPath,
      args: ['-e', script],
      cwd: process.cwd(),
      env: {},
      onLine: (line, stream) => {
        lines.push(`${stream} ${line}`);
        options.onLine?.(line);
      },
      onText: (piece, stream) => {
        text[stream] += piece;
      },
      onStart: (pid) => {
        started = pid;
      },
      cancel: options.cancel ?? new AbortController().signal,
      abandon: options.abandon ?? new AbortController().signal,
      waits: { interruptMs: LONG_MS, terminateMs: LONG_MS, streamMs: LONG_MS, ...options.waits },
    });
    return { exitCode, lines, text, pid: () => started };
  }

  it('reads both streams, gives the exit code, and no input', async () => {
    const { exitCode, lines, text } = run(
      `process.stdin.on('end', () => { console.log('é'); process.stderr.write('open'); process.exitCode = 3 }).resume()`,
    );
    assert.equal(await exitCode, 3);
    assert.deepEqual(lines.sort(), ['stderr open', 'stdout é']);
    assert.deepEqual(text, { stdout: 'é\n', stderr: 'open' });
  });

  it('rejects where the program is not there', async () => {
    const never = new AbortController().signal;
    const request = { args: [], cwd: process.cwd(), env: {}, cancel: never, abandon: never };
    const ears = { onLine: () => {}, onText: () => {}, onStart: () => {} };
    const waits = { interruptMs: 1, terminateMs: 1, streamMs: 1 };
    await assert.rejects(runProcess({ file: '/nowhere/node', ...request, ...ears, waits }), /ENOENT/);
  });

  const stubborn = (signals: string): string =>
    `for (const s of ${signals}) process.on(s, () => console.log(s)); console.log('up'); setInterval(() => {}, 1000)`;
  const cancellations: { signals: string; exitCode: number; heard: string[]; waits: Partial<Waits>; why: string }[] = [
    { signals: '[]', exitCode: 130, heard: [], waits: {}, why: 'SIGINT ends what does not listen' },
    {
      signals: "['SIGINT']",
      exitCode: 143,
      heard: ['SIGINT'],
      waits: { interruptMs: SHORT_MS },
      why: 'SIGTERM follows',
    },
    {
      signals: "['SIGINT', 'SIGTERM']",
      exitCode: 137,
      heard: ['SIGINT', 'SIGTERM'],
      waits: { interruptMs: SHORT_MS, terminateMs: SHORT_MS },
      why: 'SIGKILL ends it all',
    },
  ];
  for (const { signals, exitCode, heard, waits, why } of cancellations) {
    it(`cancels a process that listens to ${signals}: ${why}`, async () => {
      const cancel = new AbortController();
      const running = run(stubborn(signals), {
        cancel: cancel.signal,
        waits,
        onLine: (line) => {
          if (line === 'up') cancel.abort();
        },
      });
      assert.equal(await running.exitCode, exitCode);
      assert.deepEqual(
        running.lines.map((line) => line.replace('stdout ', '')),
        ['up', ...heard],
      );
    });
  }

  it('does not wait for ever for a child that holds the streams, and lets the child be', async () => {
    const child = `require('child_process').spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'inherit' })`;
    const { exitCode, lines } = run(`console.log(${child}.pid); process.exit(0)`, { waits: { streamMs: SHORT_MS } });
    assert.equal(await exitCode, 0);
    const pid = Number(lines[0]?.replace('stdout ', ''));
    assert.equal(process.kill(pid, 0), true);
    process.kill(pid, 'SIGKILL');
  });

  it('leaves a process that is abandoned, and hears no more of it', async () => {
    const abandon = new AbortController();
    const running = run(`setInterval(() => console.log('again'), 5)`, {
      abandon: abandon.signal,
      onLine: () => abandon.abort(),
    });
    assert.equal(await running.exitCode, null);
    const heard = running.lines.length;
    assert.equal(process.kill(running.pid(), 0), true);
    process.kill(running.pid(), 'SIGKILL');
    assert.equal(running.lines.length, heard);
  });
});
