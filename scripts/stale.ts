import { staleFiles, staleTables } from './documents.ts';
import { stalePicture, stalePictures } from './pictures.ts';

/** Part of `npm run check`: stale tables are a fault, stale pictures a notice, because drawing them needs Chromium. */
const stale = staleFiles();
for (const file of stale) process.stderr.write(`${staleTables(file)}\n`);
for (const file of stalePictures()) process.stderr.write(`${stalePicture(file)}\n`);
process.exitCode = stale.length > 0 ? 1 : 0;
