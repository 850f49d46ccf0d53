import type { Agent } from '../agent/agent.ts';
import { type ExportFacts, terraformAsks } from './exports.ts';

type Job = Pick<Agent, 'origins' | 'warn'>;

/**
 * Warns of exports that will not take effect: names that are secret, variables that tools prefer to the exported
 * ones, and tools that will try to get a token in a way that fails.
 */
export function warnOfExports(
  facts: ExportFacts,
  exported: readonly string[],
  emptied: readonly string[],
  job: Job,
): void {
  warnOfSecretNames(exported, job);
  warnOfConflicts(facts, emptied, job);
  warnOfTools(facts, job);
}

/** A secret variable stays secret, whoever sets it, and the agent passes no secret to scripts. */
function warnOfSecretNames(names: readonly string[], { origins, warn }: Job): void {
  const secret = names.filter((name) => origins.variables.isSecret(name));
  if (secret.length > 0) {
    const lines = secret.map((name) => `${name}: $(${name})`).join(', ');
    warn(
      `The job has ${secret.join(', ')} as secret variables (of a variable group, a Key Vault or the pipeline). What ` +
        'this step sets under such a name stays secret, and scripts do not see it. Make the variable a plain one, or map ' +
        `it in each step that needs it, under env: ${lines}`,
    );
  }
}

/** The variables that tools prefer to the exported ones, in the order of their documentation. */
function conflictsOf(facts: ExportFacts, { origins }: Pick<Job, 'origins'>): string[] {
  const value = (name: string): string => origins.environment(name)?.value.trim() ?? '';
  const isSet = (name: string): boolean => value(name) !== '' || origins.variables.isSecret(name);
  const names: string[] = [];
  if (facts.kinds.has('terraform')) {
    // go-azure-sdk: certificate, secret, token, Azure DevOps; the request variables before SYSTEM_ACCESSTOKEN.
    names.push(
      'ARM_CLIENT_CERTIFICATE',
      'ARM_CLIENT_CERTIFICATE_PATH',
      'ARM_CLIENT_SECRET',
      'ARM_CLIENT_SECRET_FILE_PATH',
      'ARM_CLIENT_ID_FILE_PATH',
      'ARM_OIDC_TOKEN',
    );
    if (terraformAsks(facts)) {
      names.push('ARM_OIDC_REQUEST_TOKEN', 'ARM_OIDC_REQUEST_URL', 'ARM_OIDC_TOKEN_FILE_PATH');
      names.push('ACTIONS_ID_TOKEN_REQUEST_TOKEN', 'ACTIONS_ID_TOKEN_REQUEST_URL');
    }
    if (value('ARM_USE_AKS_WORKLOAD_IDENTITY').toLowerCase() === 'true') {
      names.push('ARM_USE_AKS_WORKLOAD_IDENTITY');
    }
  }
  if (facts.kinds.has('workloadIdentity')) {
    // DefaultAzureCredential of the Azure SDKs: EnvironmentCredential before WorkloadIdentityCredential.
    names.push('AZURE_CLIENT_SECRET', 'AZURE_CLIENT_CERTIFICATE_PATH', 'AZURE_USERNAME');
    if (!['', 'prod', 'workloadidentitycredential'].includes(value('AZURE_TOKEN_CREDENTIALS').toLowerCase())) {
      names.push('AZURE_TOKEN_CREDENTIALS');
    }
    if (facts.fromAzureDevOps) {
      // The SDKs would send the ID token of Azure DevOps to the pod's token proxy.
      names.push('AZURE_KUBERNETES_TOKEN_PROXY');
    }
  }
  if (facts.kinds.has('azcopy')) {
    names.push('AZCOPY_OAUTH_TOKEN_INFO');
  }
  return names.filter(isSet);
}

/** The variables that this step emptied are still in its own environment. */
function warnOfConflicts(facts: ExportFacts, emptied: readonly string[], agent: Job): void {
  const names = conflictsOf(facts, agent).filter((name) => !emptied.includes(name));
  const [plain, secret] = [false, true].map((isSecret) =>
    names.filter((name) => agent.origins.variables.isSecret(name) === isSecret),
  );
  for (const [found = [], when] of [
    [plain, 'The later steps find'],
    [secret, 'Where a step maps the secret variables of the job, it finds'],
  ] as const) {
    if (found.length > 0) {
      agent.warn(
        `${when} ${found.join(', ')} as well, which tools prefer to what this step exports: they would sign in as ` +
          'another identity, or not at all. Remove them from the job or the machine, or unset them in the script.',
      );
    }
  }
}

/** Tools that request an ID token themselves, which fails for the source of this step. */
function warnOfTools(facts: ExportFacts, { warn }: Job): void {
  if (facts.kinds.has('azurePipelines') && !facts.fromAzureDevOps) {
    warn(
      'exportEnvironment azurePipelines: its tools ask Azure DevOps for ID tokens themselves, and Azure DevOps could not ' +
        'be asked in this step. They will fail for as long as that lasts; those of workloadIdentity read the token of the pod.',
    );
  }
  if (facts.kinds.has('terraform') && facts.isBound) {
    warn(
      'exportEnvironment terraform: the token of this pod is for an identity binding and goes through the token proxy of ' +
        'AKS, which Terraform’s providers do not use; Entra itself will refuse it. Give the pod a federated credential of ' +
        'its own, or use a service connection.',
    );
  }
}
