import { Failure } from '../failure/failure.ts';
import { Secret } from '../text/secret.ts';
import { tryUrl } from '../text/url.ts';
import type { Agent } from './agent.ts';
import { isLoopback, type Organization, organizationOf, readOrganization, whoeverSetIt } from './organization.ts';

/** What the step knows of the job that it runs in. */
export interface Job {
  /** The token for requests to Azure DevOps; undefined where the job has none. */
  readonly token: Secret | undefined;
  /** The address of the job's ID token endpoint, or why there is none. */
  readonly idTokenAddress: IdTokenAddress;
  /** True for Azure DevOps Server, which has no ID token endpoint. */
  readonly isServer: boolean;
  /** True where the organization is on this machine, as the local cloud is: then Entra may be there as well. */
  readonly isRehearsal: boolean;
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
 * there where the pipeline maps it, or in classic pipelines with a switch. Throws ET_VARIABLE_REFUSED, and
 * ET_ORGANIZATION_REFUSED where the job names no organization that its token may be sent to.
 */
export function readJob(agent: Agent): Job {
  if (agent.origins.variables.areForged) {
    throw new Failure(
      'ET_VARIABLE_REFUSED',
      'The job has a pipeline variable with = in its name, which stands under another name in the environment.',
    );
  }
  const token =
    agent.endpoint('SYSTEMVSSCONNECTION')?.parameter('AccessToken')?.trim() ||
    agent.secretVariable('System.AccessToken');
  if (token) {
    agent.guard(token);
  }
  const organization = readOrganization(agent);
  return {
    token: token ? Secret.maskedByAgent(token) : undefined,
    idTokenAddress: readIdTokenAddress(agent, organization),
    isServer: organization?.kind === 'server',
    isRehearsal: organization !== undefined && isLoopback(new URL(organization.collection)),
    stepName: agent.variable('System.TaskInstanceName') ?? '',
    temporaryFolder: agent.origins.temporaryFolder,
  };
}

/** The address is made from the parts, unless `System.OidcRequestUri` is the same endpoint under another host of the organization. */
function readIdTokenAddress(agent: Agent, organization: Organization | undefined): IdTokenAddress {
  const parts = {
    'System.TeamProjectId': agent.variable('System.TeamProjectId'),
    'System.PlanId': agent.variable('System.PlanId'),
    'System.JobId': agent.variable('System.JobId'),
  };
  const given = tryUrl(whoeverSetIt(agent, 'System.OidcRequestUri'));
  if (given !== undefined && organization !== undefined && organization.kind !== 'server') {
    const projects = [parts['System.TeamProjectId'], agent.variable('System.TeamProject')];
    if (isEndpointOf(given, organization, projects, parts['System.PlanId'], parts['System.JobId'])) {
      given.search = '';
      given.hash = '';
      return { url: given.href };
    }
    agent.log(
      `System.OidcRequestUri (${given.protocol}//${given.host}) is not the ID token endpoint of this organization, plan ` +
        'and job; the address is made of the collection, project, plan and job instead.',
    );
  }
  const missing = Object.entries(parts).flatMap(([name, value]) => (isPathSegment(value) ? [] : [name]));
  if (organization === undefined || missing.length > 0) {
    return { missing: organization === undefined ? ['System.CollectionUri', ...missing] : missing };
  }
  const base = new URL(organization.collection);
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

/**
 * Whether an address is this job's endpoint, whatever a variable says; only the host may be another one of the same
 * organization.
 */
function isEndpointOf(
  given: URL,
  organization: Organization,
  projects: readonly (string | undefined)[],
  plan: string | undefined,
  job: string | undefined,
): boolean {
  const own = organizationOf(given);
  const route = /\/([^/]+)\/_apis\/distributedtask\/hubs\/[a-z]+\/plans\/([^/]+)\/jobs\/([^/]+)\/oidctoken\/?$/i.exec(
    given.pathname,
  );
  if (given.protocol !== 'https:' || own === undefined || route === null) {
    return false;
  }
  const [path, project = '', planId, jobId] = route;
  const before = given.pathname.slice(0, given.pathname.length - path.length);
  const isSame = (known: string | undefined, value: string | undefined): boolean =>
    known === undefined ? isPathSegment(value) : known.toLowerCase() === value?.toLowerCase();
  const named = projects.filter((name) => name !== undefined);
  return (
    own.kind === organization.kind &&
    own.name === organization.name &&
    own.foldersOf(before).join('/') === organization.foldersOf(new URL(organization.collection).pathname).join('/') &&
    (named.length === 0 ? isPathSegment(project) : named.some((name) => isSame(name, decoded(project)))) &&
    isSame(plan, planId) &&
    isSame(job, jobId)
  );
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function isPathSegment(text: string | undefined): boolean {
  return text !== undefined && /^[A-Za-z0-9][A-Za-z0-9 ._-]*$/.test(text);
}

/** Classic releases run under the hub `release`, their gates and deployment jobs too; all else is a build. */
function hubOf(hostType: string | undefined): string {
  return ['release', 'deployment', 'gates'].includes(hostType?.toLowerCase() ?? '') ? 'release' : 'build';
}
