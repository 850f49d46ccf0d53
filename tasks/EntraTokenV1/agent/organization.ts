import { Failure } from '../failure/failure.ts';
import { environmentName } from '../origins/environment.ts';
import { printable } from '../text/text.ts';
import { tryUrl } from '../text/url.ts';
import type { Agent } from './agent.ts';

/**
 * An organization of Azure DevOps Services, by any of its names; a local cloud on this machine; or an Azure DevOps
 * Server.
 */
export interface Organization {
  readonly kind: 'services' | 'loopback' | 'server';
  readonly name: string;
  readonly collection: string;
  /** The folders of a path that do not name the organization. */
  foldersOf(path: string): string[];
}

/**
 * The organization that the job's connection and its variables name. The connection cannot be changed on newer
 * agents; before 5.277 a variable can replace it, and before 4.274.1 `task.setendpoint` changes its address. So its
 * host must be one of Azure DevOps Services, and whatever else names the organization must name the same one.
 */
export function readOrganization(agent: Agent): Organization | undefined {
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
  // Nobody else has a host of Azure DevOps Services. If there is one, a variable that names another host is ignored.
  const others = more.filter(({ where, url, organization }) => {
    const counts = first?.organization.kind !== 'services' || organization.kind !== 'server';
    if (!counts) {
      agent.log(
        `${upperFirst(where)} names ${shown(url)}, which is not a host of Azure DevOps Services and is ignored.`,
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
  // A variable makes a local cloud an Azure DevOps Server, but never an organization of Azure DevOps Services.
  return first?.organization.kind === 'loopback' && isOwnServer
    ? { ...first.organization, kind: 'server' }
    : first?.organization;
}

/** Undefined for an address that carries a user, which none of the agent's does. */
export function organizationOf(url: URL): Organization | undefined {
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
    // The organization is the first folder, not a part of the host.
    const [name = ''] = folders(url.pathname);
    return { kind: 'services', name: `${name}${port}`, collection, foldersOf: (path) => folders(path).slice(1) };
  }
  const [name] = /^([a-z0-9-]+)\.(?:[a-z0-9-]+\.)*visualstudio\.com$/.exec(hostname)?.slice(1) ?? [];
  if (name !== undefined) {
    // The name of its only collection is optional.
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

/**
 * The value of a variable, whoever set it. It is only compared, and decides nothing: pipelines set some of them for
 * their tools, under the name in the environment.
 */
export function whoeverSetIt({ origins }: Agent, name: string): string | undefined {
  return origins.environment(environmentName(name))?.value;
}
