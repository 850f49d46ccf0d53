import { Failure } from '../failure/failure.ts';
import { environmentName } from '../origins/environment.ts';
import { Secret } from '../text/secret.ts';
import { printable } from '../text/text.ts';
import type { Agent } from './agent.ts';

/** What the step knows of the job that it runs in. */
export interface Job {
  /** What Azure DevOps is asked with; undefined where the job has none. */
  readonly token: Secret | undefined;
  /** The address of the job's ID token endpoint, or why there is none. */
  readonly idTokenAddress: IdTokenAddress;
  /** True for Azure DevOps Server, which has no ID token endpoint. */
  readonly isServer: boolean;
  /** True where the organization is on this machine, as in a rehearsal: then Entra may be there as well. */
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

/** What of an address no variable changes: it must be this very endpoint; only the host may be another of the same organization. */
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

/**
 * A variable that is compared, and decides nothing: pipelines do set such a one for their tools, under its name in the
 * environment.
 */
function whoeverSetIt({ origins }: Agent, name: string): string | undefined {
  return origins.environment(environmentName(name))?.value;
}

/** An organization of Azure DevOps Services, by whichever of its names; a rehearsal on this machine; or a server of one's own. */
interface Organization {
  readonly kind: 'services' | 'loopback' | 'server';
  readonly name: string;
  readonly collection: string;
  /** The folders of a path that do not name the organization. */
  foldersOf(path: string): string[];
}

/**
 * The organization that the job's connection and its variables name. The connection cannot be changed on newer agents;
 * before 5.277 a variable stands in for it, and before 4.274.1 `task.setendpoint` changes its address. So its host must
 * be one of Azure DevOps Services, and whatever else names the organization must name the same one.
 */
function readOrganization(agent: Agent): Organization | undefined {
  const named = {
    'the connection of the job': agent.endpointUrl('SYSTEMVSSCONNECTION'),
    'the variable System.CollectionUri':
      whoeverSetIt(agent, 'System.CollectionUri') ?? whoeverSetIt(agent, 'System.TeamFoundationCollectionUri'),
  };
  const found = Object.entries(named).flatMap(([where, text]) => {
    const url = tryUrl(text);
    const organization = url && organizationOf(url);
    return organization === undefined ? [] : [{ where, url, organization }];
  });
  const [first, ...more] = found;
  // No stranger has a host of Azure DevOps Services; beside one, what a variable says of others does not count.
  const others = more.filter(({ where, url, organization }) => {
    const counts = first?.organization.kind !== 'services' || organization.kind !== 'server';
    if (!counts) {
      agent.log(
        `${upperFirst(where)} names ${shown(url)}, which is no host of Azure DevOps Services, and is passed over.`,
      );
    }
    return counts;
  });
  const other = others.find(
    ({ organization: { kind, name } }) =>
      kind !== first?.organization.kind || (kind !== 'server' && name !== first.organization.name),
  );
  if (first !== undefined && other !== undefined) {
    throw new Failure(
      'ET_ORGANIZATION_REFUSED',
      `${upperFirst(first.where)} names ${shown(first.url)}, but ${other.where} names ${shown(other.url)}.`,
    );
  }
  const isOwnServer = agent.variable('System.ServerType')?.toLowerCase() === 'onpremises';
  if (first?.organization.kind === 'server' && !isOwnServer) {
    throw new Failure(
      'ET_ORGANIZATION_REFUSED',
      `${upperFirst(first.where)} names ${shown(first.url)}, which is not a host of Azure DevOps Services.`,
    );
  }
  // A rehearsal of a server says so; an organization of Azure DevOps Services is none, whatever a variable says.
  return first?.organization.kind === 'loopback' && isOwnServer
    ? { ...first.organization, kind: 'server' }
    : first?.organization;
}

/** Undefined for an address that carries a user, which none of the agent's does. */
function organizationOf(url: URL): Organization | undefined {
  if (url.username !== '' || url.password !== '') {
    return undefined;
  }
  const folders = (path: string): string[] =>
    path
      .toLowerCase()
      .split('/')
      .filter((folder) => folder !== '');
  const collection = url.href;
  if (isLoopback(url)) {
    return { kind: 'loopback', name: url.port, collection, foldersOf: folders };
  }
  const { hostname } = url;
  const port = url.port === '' ? '' : `:${url.port}`;
  if (/^(?:[a-z0-9-]+\.)*dev\.azure\.com$/.test(hostname)) {
    // The organization is the first folder, and no part of the host.
    const [name = ''] = folders(url.pathname);
    return { kind: 'services', name: `${name}${port}`, collection, foldersOf: (path) => folders(path).slice(1) };
  }
  const [name] = /^([a-z0-9-]+)\.(?:[a-z0-9-]+\.)*visualstudio\.com$/.exec(hostname)?.slice(1) ?? [];
  if (name !== undefined) {
    // Its one collection has a name that may be written or not.
    const foldersOf = (path: string): string[] => folders(path).filter((folder) => folder !== 'defaultcollection');
    return { kind: 'services', name: `${name}${port}`, collection, foldersOf };
  }
  return { kind: 'server', name: url.host, collection, foldersOf: folders };
}

/** True for an address of this machine. */
export function isLoopback({ hostname }: URL): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(hostname);
}

function shown(url: URL | undefined): string {
  return url === undefined ? '' : printable(`${url.protocol}//${url.host}${url.pathname}`, 200);
}

function upperFirst(text: string): string {
  return `${text.slice(0, 1).toUpperCase()}${text.slice(1)}`;
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

function tryUrl(text: string | undefined): URL | undefined {
  try {
    return new URL(text ?? '');
  } catch {
    return undefined;
  }
}
