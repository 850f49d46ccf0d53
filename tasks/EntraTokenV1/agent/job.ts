import { Secret } from '../text/secret.ts';
import type { Agent } from './agent.ts';

/** What the step knows of the job that it runs in. */
export interface Job {
  /** What Azure DevOps is asked with; undefined where the job has none. */
  readonly token: Secret | undefined;
  /** The address of the job's ID token endpoint, or why there is none. */
  readonly idTokenAddress: IdTokenAddress;
  /** True for Azure DevOps Server, which has no ID token endpoint. */
  readonly isServer: boolean;
  /** The name under which later steps find the outputs. */
  readonly stepName: string;
  readonly temporaryFolder: string | undefined;
}

export type IdTokenAddress =
  | { readonly url: string }
  | { readonly missing: readonly string[] }
  | { readonly notHttps: true };

/**
 * Every job has the connection SystemVssConnection, with the job's token; the variable System.AccessToken is only
 * there where the pipeline maps it, or in classic pipelines with a switch.
 */
export function readJob(agent: Agent): Job {
  const token =
    agent.endpoint('SYSTEMVSSCONNECTION')?.parameter('AccessToken')?.trim() ||
    agent.secretVariable('System.AccessToken');
  if (token) {
    agent.guard(token);
  }
  return {
    token: token ? Secret.maskedByAgent(token) : undefined,
    idTokenAddress: readIdTokenAddress(agent),
    isServer: agent.variable('System.ServerType')?.toLowerCase() === 'onpremises',
    stepName: agent.variable('System.TaskInstanceName') ?? '',
    temporaryFolder: agent.variable('Agent.TempDirectory'),
  };
}

/**
 * `System.OidcRequestUri` is an ordinary variable; where read-only variables are not enforced, any earlier step can
 * point it at a host of its own and collect job tokens. So it is taken only where it names a host of the
 * organization; otherwise the address is made from the parts, with the collection of the connection.
 */
function readIdTokenAddress(agent: Agent): IdTokenAddress {
  const collection =
    agent.endpointUrl('SYSTEMVSSCONNECTION') ??
    agent.variable('System.CollectionUri') ??
    agent.variable('System.TeamFoundationCollectionUri');
  const given = tryUrl(agent.variable('System.OidcRequestUri'));
  if (given !== undefined && given.protocol === 'https:' && isSameOrganization(given, tryUrl(collection))) {
    given.search = '';
    given.hash = '';
    return { url: given.href };
  }
  if (given !== undefined) {
    agent.log(
      `System.OidcRequestUri names ${given.protocol}//${given.host}, which is not the organization of this job; the ` +
        'address is made of the collection, project, plan and job instead.',
    );
  }
  const parts = {
    'System.TeamProjectId': agent.variable('System.TeamProjectId'),
    'System.PlanId': agent.variable('System.PlanId'),
    'System.JobId': agent.variable('System.JobId'),
  };
  const base = tryUrl(collection);
  const missing = Object.entries(parts).flatMap(([name, value]) => (isPathSegment(value) ? [] : [name]));
  if (base === undefined || missing.length > 0) {
    return { missing: base === undefined ? ['System.CollectionUri', ...missing] : missing };
  }
  if (base.protocol !== 'https:') {
    return { notHttps: true };
  }
  const hub = hubOf(agent.variable('System.HostType'));
  const { 'System.TeamProjectId': project, 'System.PlanId': plan, 'System.JobId': job } = parts;
  const folder = base.pathname.replace(/\/*$/, '');
  base.pathname = `${folder}/${project}/_apis/distributedtask/hubs/${hub}/plans/${plan}/jobs/${job}/oidctoken`;
  base.search = '';
  base.hash = '';
  return { url: base.href };
}

function isPathSegment(text: string | undefined): boolean {
  return text !== undefined && /^[A-Za-z0-9][A-Za-z0-9 ._-]*$/.test(text);
}

/** Classic releases run under the hub `release`, their gates and deployment jobs too; all else is a build. */
function hubOf(hostType: string | undefined): string {
  return ['release', 'deployment', 'gates'].includes(hostType?.toLowerCase() ?? '') ? 'release' : 'build';
}

/** The same host and port, by whichever of the names of Azure DevOps Services or of this machine. */
function isSameOrganization(given: URL, collection: URL | undefined): boolean {
  const isServices = ({ host }: URL): boolean => /(?:^|\.)(?:dev\.azure\.com|visualstudio\.com)$/.test(host);
  const isLocal = ({ hostname }: URL): boolean => ['localhost', '127.0.0.1', '[::1]'].includes(hostname);
  return (
    collection === undefined ||
    given.host === collection.host ||
    (isServices(given) && isServices(collection)) ||
    (isLocal(given) && isLocal(collection) && given.port === collection.port)
  );
}

function tryUrl(text: string | undefined): URL | undefined {
  try {
    return new URL(text ?? '');
  } catch {
    return undefined;
  }
}
