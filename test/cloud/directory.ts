/**
 * What exists in the local cloud: one organization with its project, job and service connections, and for each of
 * the three national clouds a directory with tenants, applications, resources and federated credentials.
 * Everything here is plain data that a test may change while the cloud runs.
 */

export type CloudName = 'public' | 'usGov' | 'china';

/** The audience that a federated credential of each cloud has. */
export const tokenExchangeAudience: Record<CloudName, string> = {
  public: 'api://AzureADTokenExchange',
  usGov: 'api://AzureADTokenExchangeUSGov',
  china: 'api://AzureADTokenExchangeChina',
};

/** The audience of Kubernetes tokens for an identity binding of AKS. */
export const identityBindingAudience = 'api://AKSIdentityBinding';

/** The host of Entra that each cloud is known by. */
export const authorityHost: Record<CloudName, string> = {
  public: 'login.microsoftonline.com',
  usGov: 'login.microsoftonline.us',
  china: 'login.partner.microsoftonline.cn',
};

/** A service connection as the agent hands it to a step. */
export interface ServiceConnection {
  id: string;
  name: string;
  type: string;
  url: string;
  scheme: string;
  parameters: Record<string, string>;
  data: Record<string, string>;
}

export interface Tenant {
  id: string;
  domain: string;
  cloud: CloudName;
}

export interface Application {
  clientId: string;
  /** The tenant that the application and its federated credentials belong to. */
  tenantId: string;
  /** The object ID of its service principal. */
  objectId: string;
  /** Other tenants where a service principal of it exists; that makes it multitenant. */
  otherTenants?: string[];
}

export interface Resource {
  /** The identifier that a scope names, without a trailing slash. */
  resource: string;
  cloud: CloudName;
  /** Tenants that have it; default: all of its cloud. */
  tenants?: string[];
}

/** A federated identity credential: what an application trusts. */
export interface FederatedCredential {
  tenantId: string;
  clientId: string;
  issuer: string;
  subject: string;
  audience: string;
  /** Not yet seen by the token endpoint before this time, in milliseconds: just created. */
  visibleFrom?: number;
}

/** Who a service connection's ID token says it is. */
export interface Federation {
  issuer: string;
  subject: string;
  audience: string;
}

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

export const publicTenant: Tenant = {
  id: '8d3f5c1e-7a64-4b0f-9a51-2f6f0c7b4e19',
  domain: 'contoso.onmicrosoft.com',
  cloud: 'public',
};
export const partnerTenant: Tenant = {
  id: 'e1c7a2b4-0f3d-4c58-8b1e-5d9a6c3f7082',
  domain: 'fabrikam.onmicrosoft.com',
  cloud: 'public',
};
export const usGovTenant: Tenant = {
  id: '3b9e0d47-58f2-4d6a-b7c3-91f4e2a6d805',
  domain: 'contoso.onmicrosoft.us',
  cloud: 'usGov',
};
export const chinaTenant: Tenant = {
  id: '6f2a9c8e-1d75-4e3b-a0c4-7b8d5e9f1a36',
  domain: 'contoso.partner.onmschina.cn',
  cloud: 'china',
};

export const subscription = { id: '7c0d2e9f-4b1a-4d63-8e5c-f6a7b8c9d0e1', name: 'Contoso Production' };

const app = (clientId: string, tenant: Tenant, objectId: string, otherTenants?: string[]): Application => ({
  clientId,
  tenantId: tenant.id,
  objectId,
  ...(otherTenants === undefined ? {} : { otherTenants }),
});

const production = app('0a7d4c52-93be-4f18-8c6e-d5b1f2e3a947', publicTenant, '51d0b9e7-2c8f-4a63-b9d4-8e7f6a5c4b30');
const multitenant = app('c94e7f16-5b2a-4d83-a1f9-0e6d3c8b7a54', publicTenant, '7e5b3a19-8d4c-4f62-90ab-1c2d3e4f5a6b', [
  partnerTenant.id,
]);
const devOpsIdentity = app(
  '2e8b6d90-f4c1-4a7e-b5d3-9c0f8e7a6b12',
  publicTenant,
  '94c2e1f0-3b5d-4e7a-8c6f-0d9b8a7e6f5c',
);
const usGov = app('5f1c9b3e-7d60-4e2a-94b8-c3a5d7e9f102', usGovTenant, '1f2e3d4c-5b6a-4798-8a7b-6c5d4e3f2a1b');
const china = app('d83a5e27-6b4f-4c19-8e0d-a2f7b9c1e364', chinaTenant, '2a3b4c5d-6e7f-4a81-9b2c-3d4e5f6a7b8c');

export const azureDevOpsAppId = '499b84ac-1321-427f-aa17-267ca6975798';

/** The subject that Entra gives a connection of its own issuer: it names IDs alone, and so survives renaming. */
export function entraSubject(tenantId: string, connectionId: string): string {
  const [tenant, application] = [tenantId, azureDevOpsAppId].map(shortGuid);
  return `/eid1/c/pub/t/${tenant}/a/${application}/sc/${organization.organizationId}/${connectionId}`;
}

export const entraIssuer = (tenantId: string): string => `https://login.microsoftonline.com/${tenantId}/v2.0`;
export const devOpsIssuer = (organizationId: string): string => `https://vstoken.dev.azure.com/${organizationId}`;

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

/** What the data of an AzureRM connection says of each cloud. The authority is the local one. */
const environments: Record<CloudName, Record<string, string>> = {
  public: {
    environment: 'AzureCloud',
    environmentUrl: 'https://management.azure.com/',
    environmentAuthorityUrl: 'https://login.windows.net/',
    activeDirectoryServiceEndpointResourceId: 'https://management.core.windows.net/',
    microsoftGraphUrl: 'https://graph.microsoft.com/',
    graphUrl: 'https://graph.windows.net/',
    AzureKeyVaultServiceEndpointResourceId: 'https://vault.azure.net',
    AzureKeyVaultDnsSuffix: 'vault.azure.net',
  },
  usGov: {
    environment: 'AzureUSGovernment',
    environmentUrl: 'https://management.usgovcloudapi.net/',
    environmentAuthorityUrl: 'https://login.microsoftonline.us/',
    activeDirectoryServiceEndpointResourceId: 'https://management.core.usgovcloudapi.net/',
    microsoftGraphUrl: 'https://graph.microsoft.us/',
    graphUrl: 'https://graph.windows.net/',
    AzureKeyVaultServiceEndpointResourceId: 'https://vault.usgovcloudapi.net',
    AzureKeyVaultDnsSuffix: 'vault.usgovcloudapi.net',
  },
  china: {
    environment: 'AzureChinaCloud',
    environmentUrl: 'https://management.chinacloudapi.cn/',
    environmentAuthorityUrl: 'https://login.chinacloudapi.cn/',
    activeDirectoryServiceEndpointResourceId: 'https://management.core.chinacloudapi.cn/',
    microsoftGraphUrl: 'https://microsoftgraph.chinacloudapi.cn/',
    graphUrl: 'https://graph.chinacloudapi.cn/',
    AzureKeyVaultServiceEndpointResourceId: 'https://vault.azure.cn',
    AzureKeyVaultDnsSuffix: 'vault.azure.cn',
  },
};

interface AzureRM {
  id: string;
  name: string;
  cloud?: CloudName;
  authorities: Record<CloudName, string>;
  scheme?: string;
  parameters: Record<string, string>;
  data?: Record<string, string>;
}

function azureRM({ id, name, cloud = 'public', authorities, scheme, parameters, data }: AzureRM): ServiceConnection {
  const environment = environments[cloud];
  return {
    id,
    name,
    type: 'azurerm',
    url: environment['environmentUrl'] ?? '',
    scheme: scheme ?? 'WorkloadIdentityFederation',
    parameters,
    data: {
      ...environment,
      activeDirectoryAuthority: authorities[cloud],
      subscriptionid: subscription.id,
      subscriptionname: subscription.name,
      ScopeLevel: 'Subscription',
      creationMode: 'Manual',
      identityType: 'AppRegistrationManual',
      ...data,
    },
  };
}

const federated = (application: Application, federation: Federation, type: 'EntraID' | '' = '') => ({
  serviceprincipalid: application.clientId,
  tenantid: application.tenantId,
  workloadIdentityFederationIssuer: federation.issuer,
  workloadIdentityFederationSubject: federation.subject,
  ...(type === '' ? {} : { workloadIdentityFederationIssuerType: type }),
  scope: `/subscriptions/${subscription.id}`,
});

const ids = {
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

const federations = {
  prod: entraFederation(ids.prod),
  prodVstoken: devOpsFederation('prod-vstoken'),
  managementGroup: entraFederation(ids.managementGroup),
  multitenant: devOpsFederation('multitenant'),
  usGov: devOpsFederation('gov', 'usGov'),
  china: devOpsFederation('china', 'china'),
  azureDevOps: entraFederation(ids.azureDevOps),
  minimal: entraFederation(ids.minimal),
  marketplace: entraFederation(ids.marketplace),
  disabled: entraFederation(ids.disabled),
};

/** The service connections of the project; `authorities` are the local listeners of Entra. */
export function serviceConnections(authorities: Record<CloudName, string>) {
  const spn = { serviceprincipalid: production.clientId, tenantid: publicTenant.id };
  const devOpsConnection = {
    type: 'workloadidentityuser',
    url: 'https://dev.azure.com/',
    scheme: 'WorkloadIdentityFederation',
    parameters: { ServicePrincipalId: devOpsIdentity.clientId, TenantId: publicTenant.id },
    data: {},
  };
  return {
    /** Public cloud, Entra's own issuer: what Azure DevOps creates today. */
    azureRM: azureRM({
      id: ids.prod,
      name: 'prod',
      authorities,
      parameters: federated(production, federations.prod, 'EntraID'),
    }),
    /** The issuer that is retired on 1 July 2027. */
    azureRMOldIssuer: azureRM({
      id: ids.prodVstoken,
      name: 'prod-vstoken',
      authorities,
      parameters: federated(production, federations.prodVstoken),
    }),
    /** Of a management group: it has no subscription. */
    azureRMManagementGroup: azureRM({
      id: ids.managementGroup,
      name: 'group',
      authorities,
      parameters: federated(production, federations.managementGroup, 'EntraID'),
      data: { subscriptionid: '', subscriptionname: '', ScopeLevel: 'ManagementGroup' },
    }),
    /** Of an application that the partner tenant has too. */
    azureRMMultitenant: azureRM({
      id: ids.multitenant,
      name: 'multitenant',
      authorities,
      parameters: federated(multitenant, federations.multitenant),
    }),
    azureRMUSGov: azureRM({
      id: ids.usGov,
      name: 'gov',
      cloud: 'usGov',
      authorities,
      parameters: federated(usGov, federations.usGov),
    }),
    azureRMChina: azureRM({
      id: ids.china,
      name: 'china',
      cloud: 'china',
      authorities,
      parameters: federated(china, federations.china),
    }),
    /** As old as they come: tenant and client, and of the data only what names the authority. */
    azureRMMinimal: {
      id: ids.minimal,
      name: 'minimal',
      type: 'azurerm',
      url: 'https://management.azure.com/',
      scheme: 'WorkloadIdentityFederation',
      parameters: { serviceprincipalid: production.clientId, tenantid: publicTenant.id },
      data: { activeDirectoryAuthority: authorities.public },
    } satisfies ServiceConnection,
    /** An "Azure DevOps" connection: nothing but tenant and client. */
    azureDevOps: { ...devOpsConnection, id: ids.azureDevOps, name: 'devops' } satisfies ServiceConnection,
    /** Another one, by which the extension itself is published. */
    marketplace: { ...devOpsConnection, id: ids.marketplace, name: 'marketplace' } satisfies ServiceConnection,
    secret: azureRM({
      id: ids.secret,
      name: 'with-secret',
      authorities,
      scheme: 'ServicePrincipal',
      parameters: { ...spn, authenticationType: 'spnKey', serviceprincipalkey: 'a-client-secret-of-nothing' },
    }),
    certificate: azureRM({
      id: ids.certificate,
      name: 'with-certificate',
      authorities,
      scheme: 'ServicePrincipal',
      parameters: {
        ...spn,
        authenticationType: 'spnCertificate',
        servicePrincipalCertificate: '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----',
      },
    }),
    managedIdentity: azureRM({
      id: ids.managedIdentity,
      name: 'managed-identity',
      authorities,
      scheme: 'ManagedServiceIdentity',
      parameters: { tenantid: publicTenant.id },
    }),
    publishProfile: azureRM({
      id: ids.publishProfile,
      name: 'publish-profile',
      authorities,
      scheme: 'PublishProfile',
      parameters: { tenantid: publicTenant.id, publishProfile: '<publishData><publishProfile /></publishData>' },
      data: { resourceId: `/subscriptions/${subscription.id}/sites/storefront` },
    }),
    /** Federated, and switched off by an administrator. */
    disabled: azureRM({
      id: ids.disabled,
      name: 'switched-off',
      authorities,
      parameters: federated(production, federations.disabled, 'EntraID'),
    }),
  };
}

/** The ID token's identity of each federated connection, by the connection's ID. */
export const federationsById = (): Record<string, Federation> => {
  const named: Record<string, string> = ids;
  return Object.fromEntries(Object.entries(federations).map(([name, federation]) => [named[name], { ...federation }]));
};

/** The connections that an administrator disabled. */
export const disabledConnections = (): string[] => [ids.disabled];

export const tenants = (): Tenant[] => [publicTenant, partnerTenant, usGovTenant, chinaTenant].map((t) => ({ ...t }));

export const applications = (): Application[] =>
  [production, multitenant, devOpsIdentity, usGov, china].map((a) => structuredClone(a));

export const defaultClientId = production.clientId;
export const multitenantClientId = multitenant.clientId;

/** The credentials that make every connection, the pipeline itself and the Kubernetes service account work. */
export function federatedCredentials(kubernetes: { issuer: string; subject: string }): FederatedCredential[] {
  const trust = ({ tenantId, clientId }: Application, federation: Federation): FederatedCredential => ({
    tenantId,
    clientId,
    ...federation,
  });
  return [
    trust(production, federations.prod),
    trust(production, federations.prodVstoken),
    trust(production, federations.managementGroup),
    trust(production, federations.minimal),
    trust(production, federations.disabled),
    trust(production, pipelineFederation),
    trust(production, { ...kubernetes, audience: tokenExchangeAudience.public }),
    trust(devOpsIdentity, federations.azureDevOps),
    trust(devOpsIdentity, federations.marketplace),
    trust(devOpsIdentity, { ...kubernetes, audience: tokenExchangeAudience.public }),
    trust(multitenant, federations.multitenant),
    trust(usGov, federations.usGov),
    trust(usGov, { ...kubernetes, audience: tokenExchangeAudience.usGov }),
    trust(china, federations.china),
    trust(china, { ...kubernetes, audience: tokenExchangeAudience.china }),
  ];
}

const everywhere = [
  'https://storage.azure.com',
  '6dae42f8-4368-4678-94ff-3960e28e3630',
  '2ff814a6-3304-4ab8-85cb-cd0e6f879c1d',
  'https://containerregistry.azure.net',
  'https://servicebus.azure.net',
  'https://eventhubs.azure.net',
  'https://cosmos.azure.com',
];

const named: Record<CloudName, string[]> = {
  public: [
    'https://management.azure.com',
    'https://management.core.windows.net',
    'https://graph.microsoft.com',
    'https://vault.azure.net',
    'https://database.windows.net',
    azureDevOpsAppId,
    'https://ossrdbms-aad.database.windows.net',
    'https://monitor.azure.com',
    'https://api.loganalytics.io',
    'https://azconfig.io',
    'https://appconfig.azure.com',
    'https://analysis.windows.net/powerbi/api',
    'https://contoso.crm.dynamics.com',
    'api://storefront',
  ],
  usGov: [
    'https://management.usgovcloudapi.net',
    'https://management.core.usgovcloudapi.net',
    'https://graph.microsoft.us',
    'https://vault.usgovcloudapi.net',
    'https://database.usgovcloudapi.net',
    'https://ossrdbms-aad.database.usgovcloudapi.net',
    'https://monitor.azure.us',
    'https://api.loganalytics.us',
    'https://azconfig.azure.us',
    'https://appconfig.azure.us',
    'https://analysis.usgovcloudapi.net/powerbi/api',
  ],
  china: [
    'https://management.chinacloudapi.cn',
    'https://management.core.chinacloudapi.cn',
    'https://microsoftgraph.chinacloudapi.cn',
    'https://vault.azure.cn',
    'https://database.chinacloudapi.cn',
    'https://ossrdbms-aad.database.chinacloudapi.cn',
    'https://monitor.azure.cn',
    'https://api.loganalytics.azure.cn',
    'https://azconfig.azure.cn',
    'https://appconfig.azure.cn',
    'https://analysis.chinacloudapi.cn/powerbi/api',
  ],
};

export function resources(): Resource[] {
  const clouds: CloudName[] = ['public', 'usGov', 'china'];
  return clouds.flatMap((cloud) => [...everywhere, ...named[cloud]].map((resource) => ({ resource, cloud })));
}
