import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startCloud } from '../cloud/cloud.ts';
import { holdJob } from './held-job.ts';

// The one that it waits for may never come.
describe('a credential of an Azure SDK', { concurrency: 2, timeout: 180_000 }, () => {
  for (const name of ['DefaultAzureCredential', 'WorkloadIdentityCredential']) {
    test(`${name} held through a long deployment gets access tokens long after its first ID token has expired`, async () => {
      // Sixty times as fast: ID tokens that live eleven minutes, and a credential that reads the file every five.
      const quick = await startCloud({ idTokenLifetimeSeconds: 11, accessTokenLifetimeSeconds: 400 });
      const job = await holdJob(quick);
      try {
        const first = JSON.parse(
          Buffer.from(readFileSync(job.tokenFile, 'utf8').split('.')[1] ?? '', 'base64url').toString('utf8'),
        );
        const script = (file: string): string => fileURLToPath(new URL(file, import.meta.url));
        const given = [name, '5', String(first.exp)];
        const lines = await outputOf(
          ['--require', script('fast-clock.cjs'), script('long-deployment.cjs'), ...given],
          job.environment,
        );
        const answers: { token?: string; error?: string }[] = lines.map((line) => JSON.parse(line));
        assert.deepEqual(
          answers.flatMap(({ error }) => error ?? []),
          [],
        );
        const tokens = [...new Set(answers.flatMap(({ token }) => token ?? []))];
        const issuedAt = (token: string): number =>
          JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8')).iat;
        assert.ok(tokens.length >= 5, `${tokens.length} access tokens`);
        assert.ok(Math.max(...tokens.map(issuedAt)) > first.exp, 'the last one is younger than the first ID token');
      } finally {
        await job.release();
        await quick.close();
      }
    });
  }
});

/** Runs a script on Node, and gives the lines of its output. */
async function outputOf(given: string[], environment: Record<string, string>): Promise<string[]> {
  const child = spawn(process.execPath, given, { env: environment, stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  for await (const chunk of child.stdout) text += String(chunk);
  return text.split('\n').filter((line) => line !== '');
}
