/**
 * A tool that reads the token file as fast as it can, for so many seconds or until it is enough, and judges each read. A
 * process of its own, so that neither the local agent nor the local cloud slows it down. Usage: reader.ts FILE SECONDS
 * ENOUGH, the last as JSON, `null` for all the time.
 */
import { type Enough, isEnough, judgeToken, noReads, type Reads, readToken } from './reads.ts';

const [, , file = '', seconds = '', json = 'null'] = process.argv;
const enough = JSON.parse(json) as Enough | null;
const reads: Reads = noReads();
const end = performance.now() + Number(seconds) * 1000;
const seen = new Set<string>();
while (performance.now() < end && !(enough !== null && isEnough(reads, enough))) {
  const now = Date.now();
  judgeToken(readToken(file), now, reads, seen);
}
process.stdout.write(JSON.stringify(reads));
