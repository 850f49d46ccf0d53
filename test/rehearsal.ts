import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { distFolder, readJson } from '../scripts/layout.ts';
import { type JobOptions, type JobResult, runJob, type ServiceConnection } from './agent/job.ts';
import type { Cloud } from './cloud/cloud.ts';

/** The package that `npm run package` left. */
export function packagedExtension(): string {
  const { publisher, id, version } = readJson('vss-extension.json');
  return join(distFolder, `${publisher}.${id}-${version}.vsix`);
}

/** A service connection of the cloud by its name. Throws where there is none. */
export function connectionNamed(cloud: Cloud, name: string): ServiceConnection {
  const connection = Object.values(cloud.connections).find((candidate) => candidate.name === name);
  if (connection === undefined) {
    throw new Error(`the local cloud has no service connection '${name}'`);
  }
  return connection;
}

/** The variables that a server sends with the cloud's one job. */
export function jobVariables(cloud: Cloud): Record<string, string> {
  return {
    'System.TeamProjectId': cloud.job.projectId,
    'System.TeamProject': cloud.job.project,
    'System.PlanId': cloud.job.planId,
    'System.JobId': cloud.job.jobId,
    'System.HostType': 'build',
    'System.ServerType': 'Hosted',
    'System.OidcRequestUri': cloud.job.oidcRequestUri,
  };
}

/** Everything that the rehearsal's pipelines find in their organization: connections, variables, and the way to the cloud. */
export function rehearsalOptions(cloud: Cloud): Omit<JobOptions, 'pipeline'> {
  return {
    vsix: packagedExtension(),
    collectionUri: cloud.devOpsUrl,
    jobToken: cloud.job.jobToken,
    connections: Object.values(cloud.connections),
    variables: { ...jobVariables(cloud), vault: cloud.apiUrl.replace(/\/$/, '') },
    certificates: { ca: cloud.caFile },
    environment: { CURL_CA_BUNDLE: cloud.caFile },
  };
}

/** Runs a pipeline of the repository on the local agent against the local cloud. */
export function runPipelineFile(cloud: Cloud, file: string, options: Partial<JobOptions> = {}): Promise<JobResult> {
  return runJob({ ...rehearsalOptions(cloud), pipeline: readFileSync(file, 'utf8'), ...options });
}
