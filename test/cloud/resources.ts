import type { Resource } from './directory.ts';
import type { CloudName } from './national-clouds.ts';
import { azureDevOpsAppId } from './organization.ts';

/** The resources that exist under the same identifier in every national cloud. */
const everywhere = [
  'https://storage.azure.com',
  '6dae42f8-4368-4678-94ff-3960e28e3630',
  '2ff814a6-3304-4ab8-85cb-cd0e6f879c1d',
  'https://containerregistry.azure.net',
  'https://servicebus.azure.net',
  'https://eventhubs.azure.net',
  'https://cosmos.azure.com',
];

/** Those of each national cloud. */
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

/** Every resource that Entra gives tokens for. */
export function resources(): Resource[] {
  const clouds: CloudName[] = ['public', 'usGov', 'china'];
  return clouds.flatMap((cloud) => [...everywhere, ...named[cloud]].map((resource) => ({ resource, cloud })));
}
