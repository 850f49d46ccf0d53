import type { Job } from '../agent/job.ts';
import type { Origins } from '../origins/origins.ts';

/** Where the step runs: in a job container, on the host of a job that has containers, or in a job without any. */
export type Place = 'in a container' | 'beside containers' | 'without containers';

/** The agent mounts its work folder there in every job container (agent: ContainerInfo.cs), and nowhere else. */
const CONTAINER_WORK_FOLDER = /^(?:\/|[A-Za-z]:\\)__w[/\\]/;

/** Determines where the step runs, from the paths of its folders and the agent's variable `Agent.ContainerMapping`. */
export function placeOf({ temporaryFolder }: Job, origins: Pick<Origins, 'environment'>): Place {
  if (CONTAINER_WORK_FOLDER.test(temporaryFolder ?? '')) {
    return 'in a container';
  }
  const containers = origins.environment('AGENT_CONTAINERMAPPING')?.value;
  return containers === undefined || /^\s*\{\s*\}\s*$/.test(containers) ? 'without containers' : 'beside containers';
}
