import { contributor } from './contributor.ts';
import { crowd } from './crowd.ts';
import { endpoint } from './endpoint.ts';
import { fuzz } from './fuzz.ts';
import { places } from './places.ts';
import { rows } from './rows.ts';
import { Report, type Section } from './section.ts';
import { steady } from './steady.ts';
import { tokenFile } from './token-file.ts';
import { windows } from './windows.ts';

const HELP = `The long tests, on the packaged extension.

  npm run soak                   every section at its full size
  npm run soak -- SECTION        one of them
  npm run soak -- SECTION SCALE  that section with another number of cases
`;

const sections: Section[] = [rows, steady, places, fuzz, crowd, endpoint, tokenFile, windows, contributor];
const [name, scale] = process.argv.slice(2);
const chosen = sections.filter((section) => name === undefined || section.name === name);
const size = scale === undefined ? undefined : Number(scale);
if (chosen.length === 0 || (size !== undefined && !(Number.isInteger(size) && size > 0))) {
  const list = sections.map((section) => `  ${section.name.padEnd(12)} ${section.size}: ${section.about}`);
  process.stdout.write(`${HELP}\nSections, and their full size:\n\n${list.join('\n')}\n`);
  process.exit(name === '--help' ? 0 : 2);
}

const report = new Report((text) => process.stdout.write(`${text}\n`));
for (const section of chosen) {
  const cases = size ?? section.size;
  report.begin(section.name, cases);
  try {
    await section.run(cases, report);
  } catch (error) {
    report.failed(
      `the section came to no end: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
    );
  }
  report.end();
}
process.stdout.write(`\n${report.summary()}\n`);
process.exit(report.failures === 0 && report.passes > 0 ? 0 : 1);
