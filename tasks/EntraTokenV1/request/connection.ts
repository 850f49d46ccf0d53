import type { Endpoint } from '../agent/agent.ts';
import { isLoopback } from '../agent/organization.ts';
import { Failure } from '../failure/failure.ts';
import { Secret } from '../text/secret.ts';
import { printable } from '../text/text.ts';
import { readAuthority } from './authority.ts';
import {
  type Cloud,
  cloudOfAuthority,
  cloudOfService,
  france,
  germany,
  knownClouds,
  privateCloud,
  publicCloud,
  singapore,
} from './clouds.ts';

export type ConnectionKind = 'azureRM' | 'azureDevOps';

/** A service connection with workload identity federation, checked. */
export interface ServiceConnection {
  readonly id: string;
  readonly clientId: string;
  readonly tenantId: string;
  readonly cloud: Cloud;
  /** Origin of its Entra. */
  readonly authority: string;
  readonly subscriptionId: string | undefined;
  /** What the connection stores of its federated credential; older connections do not. */
  readonly storedIssuer: string | undefined;
  readonly storedSubject: string | undefined;
  readonly isManagedIdentity: boolean;
  /** The values of it that the agent masks everywhere, although they are not secret. */
  readonly hidden: readonly string[];
  /** The late-bound ID token that the server put into the connection for this job, if it did. */
  readonly lateBoundIdToken: Secret | undefined;
}

const FEDERATED = 'workloadidentityfederation';

/** What decides, besides the connection, where its ID token may go. */
export interface ToldBesides {
  /** True if the step itself names the authority, and that of the connection is ignored. */
  readonly authorityIsNamed: boolean;
  /** True where the organization is on this machine: then Entra may be there as well. */
  readonly isRehearsal: boolean;
}

/**
 * Checks the connection that an input names. A connection to Azure DevOps carries client and tenant alone; nothing
 * else is required of either kind. Throws a Failure that says what is missing or which scheme the connection has.
 */
export function readConnection(
  kind: ConnectionKind,
  id: string,
  endpoint: Endpoint | undefined,
  told: ToldBesides,
): ServiceConnection {
  if (endpoint === undefined) {
    throw new Failure(
      'ET_CONNECTION_UNAVAILABLE',
      `The agent did not provide the service connection ${printable(id, 60)}.`,
    );
  }
  if (endpoint.scheme.toLowerCase() !== FEDERATED) {
    throw new Failure(
      'ET_CONNECTION_NOT_FEDERATED',
      `The service connection ${printable(id, 60)} ${schemeOf(endpoint)}.`,
    );
  }
  const clientId = endpoint.parameter('serviceprincipalid');
  const tenantId = endpoint.parameter('tenantid');
  const missing = [clientId ? [] : ['client ID'], tenantId ? [] : ['tenant ID']].flat();
  if (!clientId || !tenantId) {
    throw new Failure(
      'ET_CONNECTION_INCOMPLETE',
      `The service connection ${printable(id, 60)} has no ${missing.join(' and no ')}.`,
    );
  }
  for (const [what, value] of Object.entries({ 'client ID': clientId, 'tenant ID': tenantId })) {
    if (!isIdentifier(value)) {
      throw new Failure(
        'ET_CONNECTION_INCOMPLETE',
        `The ${what} of the service connection ${printable(id, 60)} is malformed.`,
      );
    }
  }
  const { cloud, authority } =
    kind === 'azureRM' ? readCloud(id, endpoint, told) : { cloud: publicCloud, authority: publicCloud.authority };
  const lateBound = endpoint.parameter('idToken');
  const storedIssuer = endpoint.parameter('workloadIdentityFederationIssuer');
  const storedSubject = endpoint.parameter('workloadIdentityFederationSubject');
  return {
    id,
    clientId,
    tenantId,
    cloud,
    authority,
    subscriptionId: subscriptionOf(endpoint, kind),
    storedIssuer,
    storedSubject,
    hidden: [clientId, storedIssuer, storedSubject].filter((value) => value !== undefined),
    isManagedIdentity: kind === 'azureRM' && /managed/i.test(endpoint.data('identityType') ?? ''),
    lateBoundIdToken: lateBound === undefined ? undefined : Secret.maskedByAgent(lateBound.trim()),
  };
}

/** A GUID or a domain name: text that is harmless in an address and in a variable. */
export function isIdentifier(text: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$/.test(text);
}

function subscriptionOf(endpoint: Endpoint, kind: ConnectionKind): string | undefined {
  const id = kind === 'azureRM' ? endpoint.data('subscriptionid') : undefined;
  return id !== undefined && isIdentifier(id) ? id : undefined;
}

function schemeOf(endpoint: Endpoint): string {
  switch (endpoint.scheme.toLowerCase()) {
    case 'serviceprincipal':
      return endpoint.parameter('authenticationType')?.toLowerCase() === 'spncertificate'
        ? 'has the scheme ServicePrincipal with a certificate'
        : 'has the scheme ServicePrincipal with a secret';
    case 'managedserviceidentity':
      return 'has the scheme ManagedServiceIdentity, the managed identity of the agent’s own machine';
    case 'publishprofile':
      return 'has the scheme PublishProfile, which holds a password for one app';
    case '':
      return 'has no scheme';
    default:
      return `has the scheme ${printable(endpoint.scheme, 60)}`;
  }
}

/**
 * The authority that the connection stores, else its cloud's; and the cloud that its environment names. An earlier
 * step that prints `task.setendpoint` changes any of these data. So the authority of a known cloud must be one of
 * that cloud's; and a private cloud, which only the connection describes, must not refer to a known one elsewhere.
 */
function readCloud(id: string, endpoint: Endpoint, told: ToldBesides): { cloud: Cloud; authority: string } {
  if (endpoint.data('EnableAdfsAuthentication')?.toLowerCase() === 'true') {
    throw new Failure('ET_ADFS', 'The service connection signs in with AD FS.');
  }
  const stored = AUTHORITY_DATA.map((name) => endpoint.data(name)).find((text) => text !== undefined);
  const authority = stored === undefined ? undefined : readAuthority(stored, 'the service connection');
  const cloud = cloudOf(endpoint, authority);
  if (authority !== undefined && !told.authorityIsNamed) {
    refuseForeignAuthority(id, cloud, authority, endpoint, told);
  }
  return { cloud, authority: authority ?? cloud.authority };
}

/** Best first. */
const AUTHORITY_DATA = ['activeDirectoryAuthority', 'environmentAuthorityUrl'];

/** Further data of a connection that are addresses of its cloud's services. */
const CLOUD_DATA = [
  ...AUTHORITY_DATA,
  'environmentUrl',
  'resourceManagerUrl',
  'serviceManagementUrl',
  'managementPortalUrl',
  'armManagementPortalUrl',
  'galleryUrl',
  'graphUrl',
  'microsoftGraphUrl',
  'activeDirectoryServiceEndpointResourceId',
  'AzureKeyVaultServiceEndpointResourceId',
];

function refuseForeignAuthority(
  id: string,
  cloud: Cloud,
  authority: string,
  endpoint: Endpoint,
  { isRehearsal }: ToldBesides,
): void {
  const url = new URL(authority);
  const known = cloudOfAuthority(url);
  const connection = `The service connection ${printable(id, 60)} is of ${cloud.title} (${cloud.name})`;
  if (known?.name === cloud.name || (isRehearsal && isLoopback(url))) {
    return;
  }
  if (cloud.name !== 'AzureStack') {
    throw new Failure(
      'ET_AUTHORITY_REFUSED',
      `${connection}, whose authority is ${cloud.authority}, but names ${printable(authority, 100)}.`,
    );
  }
  for (const name of known === undefined ? CLOUD_DATA : []) {
    const text = endpoint.data(name);
    const other = text === undefined ? undefined : cloudOfService(text);
    if (other !== undefined) {
      throw new Failure(
        'ET_AUTHORITY_REFUSED',
        `${connection} and names the authority ${printable(authority, 100)}, but its ${name} is that of ` +
          `${other.title} (${other.name}).`,
      );
    }
  }
}

function cloudOf(endpoint: Endpoint, authority: string | undefined): Cloud {
  const environment = endpoint.data('environment') ?? '';
  const ofAuthority = authority === undefined ? undefined : cloudOfAuthority(new URL(authority));
  const named = knownClouds.find(({ name }) => name.toLowerCase() === environment.toLowerCase());
  // The names of the newer sovereign clouds in Azure DevOps are not published; their authority identifies them.
  const isSovereign = ofAuthority !== undefined && [france, germany, singapore].includes(ofAuthority);
  if (named !== undefined) {
    return named;
  }
  switch (isSovereign ? '' : environment.toLowerCase()) {
    case 'azuregermancloud':
      throw new Failure(
        'ET_CONNECTION_INCOMPLETE',
        'The service connection is of Microsoft Cloud Germany, which was closed in 2021.',
      );
    case '':
      return ofAuthority ?? publicCloud;
    default:
      if (authority === undefined) {
        throw new Failure(
          'ET_CONNECTION_INCOMPLETE',
          `The service connection is of the cloud ${printable(environment, 60)} but names no authority.`,
        );
      }
      return privateCloud({
        authority,
        armResource: endpoint.data('activeDirectoryServiceEndpointResourceId'),
        graphResource: endpoint.data('microsoftGraphUrl') ?? endpoint.data('graphUrl'),
        keyVaultResource: endpoint.data('AzureKeyVaultServiceEndpointResourceId'),
      });
  }
}
