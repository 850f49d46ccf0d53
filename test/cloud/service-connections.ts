import {
  type Application,
  chinaApplication,
  devOpsIdentity,
  multitenant,
  production,
  publicTenant,
  subscription,
  usGovApplication,
} from './directory.ts';
import type { CloudName } from './national-clouds.ts';
import { type Federation, federations, connectionIds as ids } from './organization.ts';

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
      parameters: federated(usGovApplication, federations.usGov),
    }),
    azureRMChina: azureRM({
      id: ids.china,
      name: 'china',
      cloud: 'china',
      authorities,
      parameters: federated(chinaApplication, federations.china),
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
