/**
 * A tool that reads the token file as fast as it can, for so many seconds, and judges each read. A process of its own,
 * so that neither the local agent nor the local cloud slows it down. Usage: reader.ts FILE SECONDS
 */
import { judgeToken, noReads, type Reads, readToken } from './reads.ts';

const [, , file = '', seconds = ''] = process.argv;
const reads: Reads = noReads();
const end = performance.now() + Number(seconds) * 1000;
const seen = new Set<string>();
while (performance.now() < end) {
  const now = Date.now();
  judgeToken(readToken(file), now, reads, seen);
}
process.stdout.write(JSON.stringify(reads));
