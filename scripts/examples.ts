import type { Entered } from './form.ts';

/** What the pictures of the form show for each source: entries that work, with the names of the rehearsal's connections. */
export const formExamples: Readonly<Record<string, Entered>> = {
  azureRM: {
    credentialSource: 'azureRM',
    connectedServiceNameARM: 'prod',
    scopes: 'arm\nkv = keyVault',
    exportEnvironment: 'workloadIdentity',
  },
  azureDevOps: { credentialSource: 'azureDevOps', azureDevOpsServiceConnection: 'devops' },
  pipeline: {
    credentialSource: 'pipeline',
    tenantId: '8d3f5c1e-7a64-4b0f-9a51-2f6f0c7b4e19',
    clientId: '5b2f1c3a-6d0e-4f48-8a6b-1c9d2e7f3a40',
    scopes: 'graph',
  },
  kubernetes: { credentialSource: 'kubernetes', scopes: 'arm\ndb = sql', exportEnvironment: 'workloadIdentity' },
};
