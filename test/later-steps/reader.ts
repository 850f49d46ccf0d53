/**
 * A tool that reads the token file as fast as it can, for so many seconds, and judges each read. A process of its own,
 * so that neither the local agent nor the local cloud slows it down. Usage: reader.ts FILE SECONDS
 */
import { readFileSync } from 'node:fs';
import { judgeToken, noReads, type Reads } from './reads.ts';

const [, , file = '', seconds = ''] = process.argv;
const reads: Reads = noReads();
const end = performance.now() + Number(seconds) * 1000;
const seen = new Set<string>();
while (performance.now() < end) {
  const now = Date.now();
  let text: string | undefined;
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    // Counted below.
  }
  judgeToken(text, now, reads, seen);
}
process.stdout.write(JSON.stringify(reads));
