/**
 * The presets: the names by which a pipeline asks for a well-known resource, and the resource in each cloud. One row
 * each, so that a person can check them against the source named beside them. A dash is a service that the cloud does
 * not have, or whose resource Microsoft does not publish.
 *
 * Sources: azure-cli `cloud.py`; Azure SDK for .NET, JS and Go (audience types of each service's client);
 * azure-pipelines-tasks `azure-arm-endpoint.ts`; kubelogin's documentation; Microsoft Learn, pages as noted.
 */
// biome-ignore format: a table is read by its columns
const presets = {
  // preset           public cloud                                       US Government                                        China
  arm:              ['https://management.azure.com',                    'https://management.usgovcloudapi.net',               'https://management.chinacloudapi.cn'],            // azure-cli: resource_manager
  graph:            ['https://graph.microsoft.com',                     'https://graph.microsoft.us',                         'https://microsoftgraph.chinacloudapi.cn'],        // azure-cli: microsoft_graph_resource_id
  keyVault:         ['https://vault.azure.net',                         'https://vault.usgovcloudapi.net',                    'https://vault.azure.cn'],                         // azure-cli: suffixes.keyvault_dns
  storage:          ['https://storage.azure.com',                       'https://storage.azure.com',                          'https://storage.azure.com'],                      // Learn: storage/blobs/authorize-access-azure-active-directory, one for all clouds
  sql:              ['https://database.windows.net',                    'https://database.usgovcloudapi.net',                 'https://database.chinacloudapi.cn'],              // azure-cli: suffixes.sql_server_hostname
  azureDevOps:      ['499b84ac-1321-427f-aa17-267ca6975798',            '-',                                                  '-'],                                              // Learn: azure/devops/integrate/get-started/authentication; public cloud only
  aks:              ['6dae42f8-4368-4678-94ff-3960e28e3630',            '6dae42f8-4368-4678-94ff-3960e28e3630',               '6dae42f8-4368-4678-94ff-3960e28e3630'],           // kubelogin: AKS server application, the same everywhere
  acr:              ['https://containerregistry.azure.net',             'https://containerregistry.azure.net',                'https://containerregistry.azure.net'],            // azure-cli acr: one audience for all clouds
  databricks:       ['2ff814a6-3304-4ab8-85cb-cd0e6f879c1d',            '2ff814a6-3304-4ab8-85cb-cd0e6f879c1d',               '2ff814a6-3304-4ab8-85cb-cd0e6f879c1d'],           // databricks-sdk-go: azure environments
  serviceBus:       ['https://servicebus.azure.net',                    'https://servicebus.azure.net',                       'https://servicebus.azure.net'],                   // Learn: service-bus-messaging/authenticate-application, one for all clouds
  eventHubs:        ['https://eventhubs.azure.net',                     'https://eventhubs.azure.net',                        'https://eventhubs.azure.net'],                    // Learn: event-hubs/authenticate-application, one for all clouds
  cosmos:           ['https://cosmos.azure.com',                        'https://cosmos.azure.us',                            'https://cosmos.azure.cn'],                        // azure_core (Rust) cloud configurations
  postgres:         ['https://ossrdbms-aad.database.windows.net',       'https://ossrdbms-aad.database.usgovcloudapi.net',    'https://ossrdbms-aad.database.chinacloudapi.cn'], // azure-cli: ossrdbms_resource_id
  monitor:          ['https://monitor.azure.com',                       'https://monitor.azure.us',                           'https://monitor.azure.cn'],                       // Azure SDK for .NET: LogsIngestionAudience
  appConfiguration: ['https://appconfig.azure.com',                     'https://appconfig.azure.us',                         'https://appconfig.azure.cn'],                     // Azure SDK for JS: KnownAppConfigAudience
  powerBI:          ['https://analysis.windows.net/powerbi/api',        'https://analysis.usgovcloudapi.net/powerbi/api',     'https://analysis.chinacloudapi.cn/powerbi/api'],  // Learn: power-bi/developer/embedded/embed-sample-for-customers-national-clouds
} as const satisfies Readonly<Record<string, readonly [publicCloud: string, usGovernment: string, china: string]>>;

export type PresetName = keyof typeof presets;

/** The names of the presets, in the order of the documentation. */
export const presetNames: readonly PresetName[] = Object.keys(presets).filter(isPreset);

function isPreset(name: string): name is PresetName {
  return Object.hasOwn(presets, name);
}

export type CloudName =
  | 'AzureCloud'
  | 'AzureUSGovernment'
  | 'AzureChinaCloud'
  | 'AzureBleuCloud'
  | 'AzureGermanyCloud'
  | 'AzureSingaporeCloud'
  | 'AzureStack';

export interface Cloud {
  readonly name: CloudName;
  /** The name in messages. */
  readonly title: string;
  /** Origin of the cloud's Entra, without a slash at the end. */
  readonly authority: string;
  /** The audience an ID token must have to be exchanged here. */
  readonly idTokenAudience: string;
  /** Resource of each preset; a preset that is missing does not exist in this cloud. */
  readonly resources: Readonly<Partial<Record<PresetName, string>>>;
  /** The name that Terraform's providers use in ARM_ENVIRONMENT; they have none for a private cloud. */
  readonly terraformEnvironment: string | undefined;
}

function column(index: 0 | 1 | 2): Partial<Record<PresetName, string>> {
  const resources: Partial<Record<PresetName, string>> = {};
  for (const name of presetNames) {
    const resource: string = presets[name][index];
    if (resource !== '-') {
      resources[name] = resource;
    }
  }
  return resources;
}

export const publicCloud: Cloud = {
  name: 'AzureCloud',
  title: 'the Azure public cloud',
  authority: 'https://login.microsoftonline.com',
  idTokenAudience: 'api://AzureADTokenExchange',
  resources: column(0),
  terraformEnvironment: 'public',
};

export const usGovernment: Cloud = {
  name: 'AzureUSGovernment',
  title: 'Azure US Government',
  authority: 'https://login.microsoftonline.us',
  idTokenAudience: 'api://AzureADTokenExchangeUSGov',
  resources: column(1),
  terraformEnvironment: 'usgovernment',
};

export const china: Cloud = {
  name: 'AzureChinaCloud',
  title: 'Azure in China',
  authority: 'https://login.chinacloudapi.cn',
  idTokenAudience: 'api://AzureADTokenExchangeChina',
  resources: column(2),
  terraformEnvironment: 'china',
};

/**
 * The published values of the sovereign clouds of France, Germany and Singapore: hosts by MSAL for JS and .NET (its
 * `KnownCloudConfiguration` has the audiences, none for Singapore); `arm` by Azure SDK for .NET (default scopes of
 * `AzureAuthorityHosts`) and Azure PowerShell; `graph` and `keyVault` by the tools of Azure Functions;
 * `appConfiguration` by Azure SDK for Go. Their names are those of Azure PowerShell; Singapore has none there.
 */
export const france: Cloud = {
  name: 'AzureBleuCloud',
  title: 'the sovereign cloud of France (Bleu)',
  authority: 'https://login.sovcloud-identity.fr',
  idTokenAudience: 'api://AzureADTokenExchangeFrance',
  resources: {
    arm: 'https://management.sovcloud-api.fr',
    graph: 'https://graph.svc.sovcloud.fr',
    keyVault: 'https://vault.sovcloud-api.fr',
    appConfiguration: 'https://appconfig.sovcloud-api.fr',
  },
  terraformEnvironment: undefined,
};

export const germany: Cloud = {
  name: 'AzureGermanyCloud',
  title: 'the sovereign cloud of Germany (Delos)',
  authority: 'https://login.sovcloud-identity.de',
  idTokenAudience: 'api://AzureADTokenExchangeGermany',
  resources: {
    arm: 'https://management.sovcloud-api.de',
    graph: 'https://graph.svc.sovcloud.de',
    keyVault: 'https://vault.sovcloud-api.de',
  },
  terraformEnvironment: undefined,
};

export const singapore: Cloud = {
  name: 'AzureSingaporeCloud',
  title: 'the sovereign cloud of Singapore',
  authority: 'https://login.sovcloud-identity.sg',
  idTokenAudience: publicCloud.idTokenAudience,
  resources: {},
  terraformEnvironment: undefined,
};

/** The clouds that a connection can name, each by the word in its `environment`. */
export const knownClouds: readonly Cloud[] = [publicCloud, usGovernment, china, france, germany, singapore];

/** Entra's host names and the cloud that each belongs to (from the instance discovery answer that MSAL ships). */
const knownHosts: Readonly<Record<string, Cloud>> = {
  'login.microsoftonline.com': publicCloud,
  'login.windows.net': publicCloud,
  'login.microsoft.com': publicCloud,
  'sts.windows.net': publicCloud,
  'login.microsoftonline.us': usGovernment,
  'login.usgovcloudapi.net': usGovernment,
  'login-us.microsoftonline.com': usGovernment,
  'login.chinacloudapi.cn': china,
  'login.partner.microsoftonline.cn': china,
  'login.sovcloud-identity.fr': france,
  'login.sovcloud-identity.de': germany,
  'login.sovcloud-identity.sg': singapore,
};

/** The domains under which each cloud has its services, Entra apart. */
const knownDomains: readonly (readonly [string, Cloud])[] = [
  ['management.azure.com', publicCloud],
  ['portal.azure.com', publicCloud],
  ['vault.azure.net', publicCloud],
  ['graph.microsoft.com', publicCloud],
  ['windows.net', publicCloud],
  ['windowsazure.com', publicCloud],
  ['usgovcloudapi.net', usGovernment],
  ['azure.us', usGovernment],
  ['graph.microsoft.us', usGovernment],
  ['chinacloudapi.cn', china],
  ['azure.cn', china],
  ['windowsazure.cn', china],
  ['sovcloud-api.fr', france],
  ['sovcloud.fr', france],
  ['sovcloud-api.de', germany],
  ['sovcloud.de', germany],
  ['sovcloud-api.sg', singapore],
];

/** The cloud whose Entra answers under this authority, or undefined for a host that is in no published list. */
export function cloudOfAuthority(authority: URL): Cloud | undefined {
  return Object.hasOwn(knownHosts, authority.hostname) ? knownHosts[authority.hostname] : undefined;
}

/** The cloud that has a service, or Entra, at this address; undefined where it is none of a known cloud's. */
export function cloudOfService(address: string): Cloud | undefined {
  if (!URL.canParse(address)) {
    return undefined;
  }
  const url = new URL(address);
  const { hostname } = url;
  return (
    cloudOfAuthority(url) ??
    knownDomains.find(([domain]) => hostname === domain || hostname.endsWith(`.${domain}`))?.[1]
  );
}

/** The values of an Azure Stack or private cloud in the data of its service connection. */
export interface PrivateCloudData {
  readonly authority: string;
  readonly armResource: string | undefined;
  readonly graphResource: string | undefined;
  readonly keyVaultResource: string | undefined;
}

/** A cloud that only its service connection describes: it has the presets that the connection names, and no others. */
export function privateCloud(data: PrivateCloudData): Cloud {
  const resources: Partial<Record<PresetName, string>> = {};
  if (data.armResource) {
    resources.arm = data.armResource;
  }
  if (data.graphResource) {
    resources.graph = data.graphResource;
  }
  if (data.keyVaultResource) {
    resources.keyVault = data.keyVaultResource;
  }
  return {
    name: 'AzureStack',
    title: 'the private cloud that the service connection describes',
    authority: data.authority,
    idTokenAudience: (cloudOfAuthority(new URL(data.authority)) ?? publicCloud).idTokenAudience,
    resources,
    terraformEnvironment: undefined,
  };
}
