import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { root } from './layout.ts';

/** What the registry says of the packages that ship. */
export type Verdict =
  | { readonly kind: 'clean' }
  | { readonly kind: 'vulnerable'; readonly lines: readonly string[] }
  | { readonly kind: 'unanswered'; readonly reason: string };

/** Reads the answer of `npm audit --json`, version 2 of its report. What is no such report is no answer, never a clean one. */
export function readAudit(output: string): Verdict {
  let report: unknown;
  try {
    report = JSON.parse(output);
  } catch {
    return { kind: 'unanswered', reason: 'npm printed no JSON' };
  }
  const { error, message, auditReportVersion, vulnerabilities } = fields(report);
  if (auditReportVersion !== 2 || typeof vulnerabilities !== 'object' || vulnerabilities === null) {
    const { summary } = fields(error);
    return { kind: 'unanswered', reason: String(summary || message || 'npm printed no audit report').slice(0, 300) };
  }
  const lines = Object.entries(vulnerabilities).map(([name, vulnerability]) => {
    const { severity, range, via } = fields(vulnerability);
    const titles = (Array.isArray(via) ? via : [via]).map((item) => fields(item)['title'] ?? String(item));
    return `${name} ${range}: ${severity}: ${titles.join('; ')}`;
  });
  return lines.length === 0 ? { kind: 'clean' } : { kind: 'vulnerable', lines };
}

function fields(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? Object.fromEntries(Object.entries(value)) : {};
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const npm = process.env['npm_execpath'];
  const options = ['audit', '--omit=dev', '--omit=optional', '--json'];
  const ran = npm
    ? spawnSync(process.execPath, [npm, ...options], { cwd: root, encoding: 'utf8' })
    : spawnSync('npm', options, { cwd: root, encoding: 'utf8', shell: process.platform === 'win32' });
  const verdict = readAudit(ran.stdout ?? '');
  switch (verdict.kind) {
    case 'clean':
      process.stdout.write('No known vulnerability in what ships.\n');
      break;
    case 'vulnerable':
      process.stderr.write(`Known vulnerabilities in what ships:\n${verdict.lines.join('\n')}\n`);
      process.exitCode = 1;
      break;
    case 'unanswered':
      process.stderr.write(`The registry did not answer: ${verdict.reason}\n`);
      process.exitCode = 2;
  }
}
