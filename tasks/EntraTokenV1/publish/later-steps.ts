import type { ChildProcess } from 'node:child_process';
import type { Agent } from '../agent/agent.ts';
import type { Surroundings } from '../agent/surroundings.ts';
import { createTokenFolder } from '../background/create-token-folder.ts';
import { findAgent, markProcess } from '../background/processes.ts';
import { networkOrders, renewalOrders, startRefresher } from '../background/refresher.ts';
import { writeTokenFile } from '../background/token-file.ts';
import { FOLDER_VARIABLE, newTokenFolder, removeTokenFolder, tokenFileIn } from '../background/token-folder.ts';
import { Failure } from '../failure/failure.ts';
import type { Network } from '../network/settings.ts';
import type { Request } from '../request/request.ts';
import type { OpenSource } from '../source/source.ts';
import { exportFacts, needsTokenFile, setExports } from './exports.ts';

/** Gives later steps what they were promised: a token file where one is read, and the variables of their tools. Throws a Failure. */
export async function exportToLaterSteps(
  request: Request,
  source: OpenSource,
  network: Network,
  agent: Agent,
  surroundings: Surroundings,
): Promise<void> {
  const facts = exportFacts(request, source);
  const tokenFile = needsTokenFile(facts)
    ? await provideTokenFile(request, source, network, agent, surroundings)
    : undefined;
  if (tokenFile !== undefined) {
    agent.setOutput('federatedTokenFile', tokenFile);
  }
  setExports(facts, tokenFile, agent);
}

/** The pod's own file, which the kubelet renews; or a file of this step's, kept fresh by a process of its own. */
async function provideTokenFile(
  request: Request,
  source: OpenSource,
  network: Network,
  agent: Agent,
  surroundings: Surroundings,
): Promise<string> {
  const podFile = podTokenFile(request, source);
  if (podFile !== undefined) {
    agent.log(`Token file    ${podFile} (the pod's own; the kubelet renews it)`);
    return podFile;
  }
  if (request.job.temporaryFolder === undefined) {
    throw new Failure('ET_TOKEN_FILE', 'The agent names no temporary folder (Agent.TempDirectory).');
  }
  const folder = newTokenFolder(request.job.temporaryFolder);
  // Told to the agent before there is anything to clean up, so that even a killed step leaves nothing behind.
  agent.setTaskVariable(FOLDER_VARIABLE, folder);
  surroundings.onFailure(() => removeTokenFolder(folder));
  const idToken = await source.idToken();
  createTokenFolder(folder, agent.origins.machine('SystemRoot'));
  writeTokenFile(folder, idToken.token);
  const file = tokenFileIn(folder);
  if (!request.keepTokenFileFresh || source.renewal === undefined) {
    const why = request.keepTokenFileFresh ? 'Azure DevOps cannot be asked' : 'keepTokenFileFresh is false';
    agent.log(`Token file    ${file} (not renewed: ${why})`);
    return file;
  }
  const job = findAgent(surroundings.parent, agent.origins.environment('VSTS_PROCESS_LOOKUP_ID')?.value);
  if (job === undefined) {
    throw new Failure('ET_REFRESHER', 'The agent that started the step has ended.');
  }
  const now = surroundings.now();
  const expiresAt = idToken.expiresAt - (source.skewMs ?? 0);
  const pid = await startRefresher(
    surroundings.refresherScript,
    {
      ...renewalOrders(source.renewal),
      folder,
      expiresAt,
      lifeMs: expiresAt - now,
      step: markProcess(process.pid),
      job,
      network: networkOrders(network),
    },
    (name) => agent.origins.environment(name)?.value,
    (child) => surroundings.onFailure(() => end(child)),
  );
  agent.log(`Token file    ${file} (kept fresh by process ${pid} until the job ends)`);
  return file;
}

function podTokenFile(request: Request, source: OpenSource): string | undefined {
  if (source.kind !== 'kubernetes') {
    return undefined;
  }
  return request.source.kind === 'kubernetes' ? request.source.file.path : request.source.fallback?.path;
}

function end(child: ChildProcess): void {
  child.kill('SIGKILL');
}
