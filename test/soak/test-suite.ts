import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildFolder, root } from '../../scripts/layout.ts';

/** How a whole run of the tests ended. */
export interface SuiteRun {
  /** What went wrong: the exit code, and each test that failed or was lost. */
  readonly wrong: readonly string[];
  /** `tests 1456`, `pass 1456` and so on. */
  readonly counts: readonly string[];
  readonly seconds: number;
}

/**
 * Runs the tests of `npm test` on the package that is there.
 * @param log the name of a file below `build/soak` for the output of a run that failed
 */
export function runTests(log: string, environment: Readonly<Record<string, string>> = {}): SuiteRun {
  const start = performance.now();
  const { status, signal, stdout } = spawnSync(
    process.execPath,
    ['--import', 'tsx', join(root, 'scripts', 'test.ts')],
    {
      cwd: root,
      env: { ...process.env, ...environment },
      stdio: ['ignore', 'pipe', 'inherit'],
      encoding: 'utf8',
      maxBuffer: 2 ** 28,
    },
  );
  const seconds = (performance.now() - start) / 1000;
  const counts = [...stdout.matchAll(/^ℹ ((?:tests|pass|fail|skipped) \d+)$/gm)].map(([, line = '']) => line);
  if (status === 0) return { wrong: [], counts, seconds };
  const folder = join(buildFolder, 'soak');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, log), stdout);
  const failed = [...stdout.matchAll(/^ *✖ (?!failing tests:)(.+?)(?: \([\d.]+ms\))?$/gm)].map(([, name = '']) => name);
  const lost = /^Lost, which is a failure:\n((?: {2}.*\n)*)/m.exec(stdout)?.[1]?.trimEnd().split('\n') ?? [];
  return {
    wrong: [`exit code ${status ?? signal}, in build/soak/${log}`, ...new Set([...failed, ...lost])],
    counts,
    seconds,
  };
}
