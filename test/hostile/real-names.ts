import type { JobOptions } from '../agent/job.ts';
import type { Cloud } from '../cloud/cloud.ts';
import { jobVariables } from '../rehearsal.ts';

/** A job of dev.azure.com whose connection names login.microsoftonline.com: addresses that only a proxy leads from. */
export function realNames(cloud: Cloud): Pick<JobOptions, 'collectionUri' | 'connections' | 'variables'> {
  const organization = `https://dev.azure.com/${cloud.job.organization}/`;
  return {
    collectionUri: organization,
    connections: Object.values(cloud.connections).map((connection) => ({
      ...connection,
      data: { ...connection.data, activeDirectoryAuthority: 'https://login.microsoftonline.com/' },
    })),
    variables: {
      ...jobVariables(cloud),
      'System.OidcRequestUri': cloud.job.oidcRequestUri.replace(cloud.devOpsUrl, organization),
    },
  };
}
