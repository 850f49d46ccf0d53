/**
 * The local agent as a process of its own, so that a test can kill it. Reads the options of a job as JSON from its
 * standard input, and writes a line of JSON for each process that the job starts.
 */
import { readFileSync } from 'node:fs';
import { type JobOptions, runJob } from '../agent/job.ts';
import { testMachine } from '../on-windows.ts';

// Written by the test itself.
const options = JSON.parse(readFileSync(0, 'utf8')) as JobOptions;
const machine = testMachine();
await runJob({
  ...options,
  ...(machine === undefined ? {} : { machine }),
  onProcess: (info) => void process.stdout.write(`${JSON.stringify(info)}\n`),
});
