import type { Entered } from './form.ts';

/** What the pictures of the form show for each source: entries that work, with the names of the local cloud's connections. */
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
    clientId: '0a7d4c52-93be-4f18-8c6e-d5b1f2e3a947',
    scopes: 'graph',
  },
  kubernetes: { credentialSource: 'kubernetes', scopes: 'arm\ndb = sql', exportEnvironment: 'workloadIdentity' },
};
