import type { ServiceConnection } from './job-options.ts';

/** The code of a step that shows what the agent gave it. */
export const PRINT_ENVIRONMENT = 'console.log(JSON.stringify(process.env))';

/** The connections of the project. */
export const CONNECTIONS: ServiceConnection[] = [
  {
    id: '11111111-1111-1111-1111-111111111111',
    name: 'prod',
    type: 'AzureRM',
    url: 'https://management.azure.com',
    scheme: 'WorkloadIdentityFederation',
    parameters: { tenantid: 'tenant-1', serviceprincipalid: 'client-1' },
    data: { subscriptionId: 'sub-$(stage)', 'dotted.key name': 'v' },
  },
  {
    id: '22222222-2222-2222-2222-222222222222',
    name: 'other',
    type: 'AzureRM',
    url: 'https://example.com/x',
    scheme: 'ServicePrincipal',
    parameters: { serviceprincipalkey: 'k3y' },
  },
];

/** What the task `Run@1` of the tests has beside its code. */
export const RUN_TASK = {
  inputs: [
    { name: 'connectedServiceNameARM', aliases: ['azureSubscription'], type: 'connectedService:AzureRM' },
    { name: 'text', type: 'string', defaultValue: '  $(stage)-default  ' },
    { name: 'flag', type: 'boolean', defaultValue: true },
    { name: 'path', type: 'filePath' },
    { name: 'empty', type: 'string' },
  ],
  outputVariables: [{ name: 'declared' }],
};

/** A step that runs JavaScript, in YAML. */
export function step(code: string, more = ''): string {
  return `- task: Run@1\n  name: s\n  inputs: { code: ${JSON.stringify(code)} }\n${more}`;
}
