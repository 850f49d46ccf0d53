import type { Agent } from '../agent/agent.ts';
import type { ExportKind } from '../request/inputs.ts';
import type { Request } from '../request/request.ts';
import type { OpenSource } from '../source/source.ts';

/** What the variables are made of. */
export interface ExportFacts {
  readonly kinds: ReadonlySet<ExportKind>;
  readonly clientId: string;
  readonly tenantId: string;
  /** Origin of Entra. */
  readonly authority: string;
  readonly terraformEnvironment: string | undefined;
  readonly subscriptionId: string | undefined;
  readonly serviceConnectionId: string | undefined;
  /** True where Azure DevOps gives the ID tokens, so that tools can ask it themselves. */
  readonly fromAzureDevOps: boolean;
}

/** The facts of a request whose source is open. */
export function exportFacts(request: Request, source: OpenSource): ExportFacts {
  const connection = 'connection' in request.source ? request.source.connection : undefined;
  return {
    kinds: request.exports,
    clientId: request.clientId,
    tenantId: request.tenantId,
    authority: request.authority,
    terraformEnvironment: request.cloud.terraformEnvironment,
    subscriptionId: connection?.subscriptionId,
    serviceConnectionId: connection?.id,
    fromAzureDevOps: source.kind !== 'kubernetes',
  };
}

/** Terraform's providers ask for new tokens themselves where they know the connection; else they read the file. */
function terraformAsks(facts: ExportFacts): boolean {
  return facts.serviceConnectionId !== undefined && facts.fromAzureDevOps;
}

/** True where one of the chosen exports makes its tool read the token file. */
export function needsTokenFile(facts: ExportFacts): boolean {
  return [...facts.kinds].some((kind) => kind !== 'azurePipelines' && !(kind === 'terraform' && terraformAsks(facts)));
}

/** The variables of the chosen exports, by name. `tokenFile` is their file, where one is needed. */
export function exportVariables(facts: ExportFacts, tokenFile: string | undefined): Map<string, string> {
  const variables = new Map<string, string>();
  const set = (name: string, value: string | undefined): void => {
    if (value !== undefined) {
      variables.set(name, value);
    }
  };
  if (facts.kinds.has('workloadIdentity') || facts.kinds.has('azcopy')) {
    set('AZURE_CLIENT_ID', facts.clientId);
    set('AZURE_TENANT_ID', facts.tenantId);
    set('AZURE_AUTHORITY_HOST', `${facts.authority}/`);
    set('AZURE_FEDERATED_TOKEN_FILE', tokenFile);
  }
  if (facts.kinds.has('azcopy')) {
    set('AZCOPY_AUTO_LOGIN_TYPE', 'WORKLOAD');
    set('AZCOPY_TENANT_ID', facts.tenantId);
  }
  if (facts.kinds.has('azurePipelines')) {
    set('AZURESUBSCRIPTION_CLIENT_ID', facts.clientId);
    set('AZURESUBSCRIPTION_TENANT_ID', facts.tenantId);
    set('AZURESUBSCRIPTION_SERVICE_CONNECTION_ID', facts.serviceConnectionId);
  }
  if (facts.kinds.has('terraform')) {
    set('ARM_USE_OIDC', 'true');
    set('ARM_CLIENT_ID', facts.clientId);
    set('ARM_TENANT_ID', facts.tenantId);
    set('ARM_SUBSCRIPTION_ID', facts.subscriptionId);
    set('ARM_ENVIRONMENT', facts.terraformEnvironment);
    if (terraformAsks(facts)) {
      set('ARM_ADO_PIPELINE_SERVICE_CONNECTION_ID', facts.serviceConnectionId);
      set('ARM_OIDC_AZURE_SERVICE_CONNECTION_ID', facts.serviceConnectionId);
    } else {
      set('ARM_OIDC_TOKEN_FILE_PATH', tokenFile);
    }
  }
  return variables;
}

/** Terraform's two ways; a provider that finds both holds on to the file, and dies with the token in it. */
const TERRAFORM_FILE = ['ARM_OIDC_TOKEN_FILE_PATH'];
const TERRAFORM_CONNECTION = ['ARM_ADO_PIPELINE_SERVICE_CONNECTION_ID', 'ARM_OIDC_AZURE_SERVICE_CONNECTION_ID'];

/** Sets the variables for the rest of the job, and says which of an earlier step they replace. */
export function setExports(
  facts: ExportFacts,
  tokenFile: string | undefined,
  agent: Pick<Agent, 'setVariable' | 'variable' | 'log'>,
): void {
  const variables = exportVariables(facts, tokenFile);
  if (facts.kinds.has('terraform')) {
    // What an earlier step set for the other way is emptied; the two are never set together.
    for (const name of terraformAsks(facts) ? TERRAFORM_FILE : TERRAFORM_CONNECTION) {
      if (agent.variable(name) !== undefined) {
        variables.set(name, '');
      }
    }
  }
  const replaced: string[] = [];
  for (const [name, value] of variables) {
    const before = agent.variable(name);
    if (before !== undefined && before !== value) {
      replaced.push(name);
    }
    agent.setVariable(name, value);
  }
  if (variables.size > 0) {
    agent.log(`Exported      ${[...variables.keys()].join(', ')}`);
  }
  if (replaced.length > 0) {
    agent.log(`  replaced    ${replaced.join(', ')}: they had other values before, from now on this step's count`);
  }
  if ((facts.kinds.has('terraform') && terraformAsks(facts)) || facts.kinds.has('azurePipelines')) {
    agent.log('The tool asks for new tokens itself; map the job token into its step:');
    agent.log('    env:');
    agent.log('      SYSTEM_ACCESSTOKEN: $(System.AccessToken)');
  }
}
