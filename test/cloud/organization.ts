/** The Azure DevOps organization of the local cloud, and who the ID tokens of its connections and pipeline say they are. */
import { entraIssuer, publicTenant, type Tenant } from './directory.ts';
import { type CloudName, tokenExchangeAudience } from './national-clouds.ts';

export interface Organization {
  organization: string;
  organizationId: string;
  project: string;
  projectId: string;
  pipeline: string;
}

export const organization: Organization = {
  organization: 'contoso',
  organizationId: 'b4a3f0d5-6c0e-4a8e-9d8c-3c2f8a1d7e60',
  project: 'storefront',
  projectId: '590cfd2a-581c-4dcb-a12e-6568ce786175',
  pipeline: 'deploy-storefront',
};

export const azureDevOpsAppId = '499b84ac-1321-427f-aa17-267ca6975798';

/** Who a service connection's ID token says it is. */
export interface Federation {
  issuer: string;
  subject: string;
  audience: string;
}

export const devOpsIssuer = (organizationId: string): string => `https://vstoken.dev.azure.com/${organizationId}`;

/** The subject that Entra gives a connection of its own issuer: it names IDs alone, and so survives renaming. */
export function entraSubject(tenantId: string, connectionId: string): string {
  const [tenant, application] = [tenantId, azureDevOpsAppId].map(shortGuid);
  return `/eid1/c/pub/t/${tenant}/a/${application}/sc/${organization.organizationId}/${connectionId}`;
}

/** A GUID as .NET writes its bytes (the first three groups little-endian), in base64url. */
function shortGuid(guid: string): string {
  const bytes = Buffer.from(guid.replaceAll('-', ''), 'hex');
  bytes.subarray(0, 4).reverse();
  bytes.subarray(4, 6).reverse();
  bytes.subarray(6, 8).reverse();
  return bytes.toString('base64url');
}

const devOpsFederation = (connectionName: string, cloud: CloudName = 'public'): Federation => ({
  issuer: devOpsIssuer(organization.organizationId),
  subject: `sc://${organization.organization}/${organization.project}/${connectionName}`,
  audience: tokenExchangeAudience[cloud],
});

const entraFederation = (connectionId: string, tenant: Tenant = publicTenant): Federation => ({
  issuer: entraIssuer(tenant.id),
  subject: entraSubject(tenant.id, connectionId),
  audience: tokenExchangeAudience.public,
});

/** Who the ID token without a service connection is for. */
export const pipelineFederation: Federation = {
  issuer: devOpsIssuer(organization.organizationId),
  subject: `p://${organization.organization}/${organization.project}/${organization.pipeline}`,
  audience: tokenExchangeAudience.public,
};

/** The ID of each connection. */
export const connectionIds = {
  prod: 'a6a4b4a1-4a7e-4d1c-9f40-5f0a3f1b7c01',
  prodVstoken: 'a6a4b4a1-4a7e-4d1c-9f40-5f0a3f1b7c02',
  managementGroup: 'a6a4b4a1-4a7e-4d1c-9f40-5f0a3f1b7c03',
  multitenant: 'a6a4b4a1-4a7e-4d1c-9f40-5f0a3f1b7c04',
  usGov: 'a6a4b4a1-4a7e-4d1c-9f40-5f0a3f1b7c05',
  china: 'a6a4b4a1-4a7e-4d1c-9f40-5f0a3f1b7c06',
  azureDevOps: 'a6a4b4a1-4a7e-4d1c-9f40-5f0a3f1b7c07',
  minimal: 'a6a4b4a1-4a7e-4d1c-9f40-5f0a3f1b7c08',
  marketplace: 'a6a4b4a1-4a7e-4d1c-9f40-5f0a3f1b7c09',
  secret: 'a6a4b4a1-4a7e-4d1c-9f40-5f0a3f1b7c11',
  certificate: 'a6a4b4a1-4a7e-4d1c-9f40-5f0a3f1b7c12',
  managedIdentity: 'a6a4b4a1-4a7e-4d1c-9f40-5f0a3f1b7c13',
  publishProfile: 'a6a4b4a1-4a7e-4d1c-9f40-5f0a3f1b7c14',
  disabled: 'a6a4b4a1-4a7e-4d1c-9f40-5f0a3f1b7c15',
} as const;

/** Who the ID token of each federated connection is for. */
export const federations = {
  prod: entraFederation(connectionIds.prod),
  prodVstoken: devOpsFederation('prod-vstoken'),
  managementGroup: entraFederation(connectionIds.managementGroup),
  multitenant: devOpsFederation('multitenant'),
  usGov: devOpsFederation('gov', 'usGov'),
  china: devOpsFederation('china', 'china'),
  azureDevOps: entraFederation(connectionIds.azureDevOps),
  minimal: entraFederation(connectionIds.minimal),
  marketplace: entraFederation(connectionIds.marketplace),
  disabled: entraFederation(connectionIds.disabled),
};

/** The ID token's identity of each federated connection, by the connection's ID. */
export const federationsById = (): Record<string, Federation> => {
  const named: Record<string, string> = connectionIds;
  return Object.fromEntries(Object.entries(federations).map(([name, federation]) => [named[name], { ...federation }]));
};

/** The connections that an administrator disabled. */
export const disabledConnections = (): string[] => [connectionIds.disabled];
