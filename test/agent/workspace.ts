import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';

/** The folders of a job (agent: HostContext.cs, BuildDirectoryManager.cs). */
export interface Workspace {
  /** The agent's own folder. */
  home: string;
  work: string;
  /** `Agent.TempDirectory`. */
  temp: string;
  tools: string;
  /** `Pipeline.Workspace`. */
  pipeline: string;
  sources: string;
  artifacts: string;
  binaries: string;
  testResults: string;
  /** Removes the agent's folder, and with it the work folder if that was made for this job. */
  remove(): void;
}

/** Makes the folders, in the given work folder or in a fresh one, and empties those that the agent empties. */
export function createWorkspace(workFolder?: string): Workspace {
  const home = mkdtempSync(join(tmpdir(), 'local-agent-'));
  const work = workFolder ?? join(home, '_work');
  const pipeline = join(work, '1');
  const workspace: Workspace = {
    home,
    work,
    temp: join(work, '_temp'),
    tools: join(work, '_tool'),
    pipeline,
    sources: join(pipeline, 's'),
    artifacts: join(pipeline, 'a'),
    binaries: join(pipeline, 'b'),
    testResults: join(pipeline, 'TestResults'),
    remove: () => {
      rmSync(home, { recursive: true, force: true, maxRetries: 3 });
    },
  };
  const { temp, tools, sources, artifacts, binaries, testResults } = workspace;
  for (const folder of [temp, tools, sources, artifacts, binaries, testResults]) mkdirSync(folder, { recursive: true });
  for (const folder of [temp, artifacts, testResults]) emptyFolder(folder);
  return workspace;
}

/** Every file below a folder, as a path relative to it. */
export function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
    .sort();
}

/** Removes what is in a folder, as far as that is possible. */
export function emptyFolder(folder: string): void {
  for (const entry of readdirSync(folder)) {
    try {
      rmSync(join(folder, entry), { recursive: true, force: true });
    } catch {
      // Best effort, as in the agent: what another user owns stays.
    }
  }
}
