import { spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { buildFolder, root } from '../../scripts/layout.ts';

/** How a run of tests ended. */
export interface SuiteRun {
  /** What went wrong: the exit code, and each test that failed or was lost. */
  readonly wrong: readonly string[];
  /** `tests 1456`, `pass 1456` and so on. */
  readonly counts: readonly string[];
  readonly passed: number;
  readonly seconds: number;
}

/** What is run, and how. */
export interface SuiteOptions {
  /** The name of a file below `build/soak` for the output of a run that failed. */
  readonly log: string;
  readonly environment?: Readonly<Record<string, string>>;
  /** Files of tests; those of `npm test` where none are named. */
  readonly files?: readonly string[];
}

/** Runs tests on the package that is there. */
export async function runTests({ log, environment = {}, files = [] }: SuiteOptions): Promise<SuiteRun> {
  const start = performance.now();
  const tests = spawn(process.execPath, ['--import', 'tsx', join(root, 'scripts', 'test.ts'), ...files], {
    cwd: root,
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = new Promise<number | NodeJS.Signals | null>((resolve) =>
    tests.once('exit', (code, signal) => resolve(signal ?? code)),
  );
  const [stdout, status] = await Promise.all([text(tests.stdout), ended]);
  const seconds = (performance.now() - start) / 1000;
  const counts = [...stdout.matchAll(/^ℹ ((?:tests|pass|fail|skipped) \d+)$/gm)].map(([, line = '']) => line);
  const passed = Number(/^ℹ pass (\d+)$/m.exec(stdout)?.[1] ?? 0);
  if (status === 0) return { wrong: [], counts, passed, seconds };
  const folder = join(buildFolder, 'soak');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, log), stdout);
  const failed = [...stdout.matchAll(/^ *✖ (?!failing tests:)(.+?)(?: \([\d.]+ms\))?$/gm)].map(([, name = '']) => name);
  const lost = /^Lost, which is a failure:\n((?: {2}.*\n)*)/m.exec(stdout)?.[1]?.trimEnd().split('\n') ?? [];
  const wrong = [`exit code ${status}, in build/soak/${log}`, ...new Set([...failed, ...lost])];
  return { wrong, counts, passed, seconds };
}
