import { spawn } from 'node:child_process';
import { join } from 'node:path';

/** The agent's program that runs a job, on every system (agent: Agent.Worker.csproj). It starts Node itself. */
const WORKER = 'Agent.Worker';

/** Much longer than it takes. Milliseconds. */
const ANSWER_MS = 5_000;

/**
 * Whether a process is the agent's worker, by the name of its program: `ps` prints only the path, `tasklist /fo csv
 * /nh` the name as the first quoted field (Microsoft: tasklist). False if it cannot be determined.
 * @param systemRoot the folder of Windows, as the machine names it: a program in it is run
 */
export function isWorker(pid: number, systemRoot = 'C:\\Windows'): Promise<boolean> {
  const isWindows = process.platform === 'win32';
  const [program, given] = isWindows
    ? [join(systemRoot, 'System32', 'tasklist.exe'), ['/fi', `PID eq ${pid}`, '/fo', 'csv', '/nh']]
    : ['/bin/ps', ['-o', 'comm=', '-p', String(pid)]];
  return new Promise((resolve) => {
    const child = spawn(program, given, {
      // Windows makes no console for it, which could outlive it, and no window.
      detached: true,
      windowsHide: true,
      stdio: ['ignore', 'pipe', 'ignore'],
      timeout: ANSWER_MS,
      // Without the agent's mark: it ends before the job does.
      env: isWindows ? { SystemRoot: systemRoot } : {},
    });
    let answer = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      answer += text;
    });
    child.on('error', () => resolve(false));
    child.on('close', () => {
      const name = isWindows ? /^"([^"]*)\.exe"/im.exec(answer)?.[1] : answer.trim().split('/').at(-1);
      resolve(name === WORKER);
    });
  });
}
