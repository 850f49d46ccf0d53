import { createHash } from 'node:crypto';
import type { Agent } from '../agent/agent.ts';
import { isExportedTokenFile } from '../background/token-folder.ts';
import type { TokenFile } from '../request/identity.ts';
import type { ExportKind } from '../request/inputs.ts';
import type { Request } from '../request/request.ts';
import type { OpenSource } from '../source/source.ts';
import { isRecord } from '../text/json.ts';

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
  /** True where the pod's token goes to Entra through the token proxy of an identity binding alone. */
  readonly isBound: boolean;
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
    subscriptionId: ownSubscription(request),
    serviceConnectionId: connection?.id,
    fromAzureDevOps: source.kind !== 'kubernetes',
    isBound: source.kind === 'kubernetes' && podBinding(request)?.proxy !== undefined,
  };
}

function podBinding({ source }: Request): TokenFile['binding'] | undefined {
  return (source.kind === 'kubernetes' ? source.file : source.fallback)?.binding;
}

/** The connection's subscription, which belongs to the connection's tenant and to no other. */
export function ownSubscription({ source, tenantId }: Request): string | undefined {
  const connection = 'connection' in source ? source.connection : undefined;
  return connection?.tenantId.toLowerCase() === tenantId.toLowerCase() ? connection.subscriptionId : undefined;
}

/** Terraform's providers ask for new tokens themselves where they know the connection; else they read the file. */
function terraformAsks(facts: ExportFacts): boolean {
  return facts.serviceConnectionId !== undefined && facts.fromAzureDevOps;
}

/** One export: what it sets, and whether its tool reads the token file. */
interface Export {
  /** The variables by name; those without a value are not set. */
  variables(facts: ExportFacts, tokenFile: string | undefined): Readonly<Record<string, string | undefined>>;
  readsTokenFile(facts: ExportFacts): boolean;
}

/** The variables that every Azure SDK reads. */
const sdkVariables: Export['variables'] = ({ clientId, tenantId, authority }, tokenFile) => ({
  AZURE_CLIENT_ID: clientId,
  AZURE_TENANT_ID: tenantId,
  AZURE_AUTHORITY_HOST: `${authority}/`,
  AZURE_FEDERATED_TOKEN_FILE: tokenFile,
});

const exportsByKind: Readonly<Record<ExportKind, Export>> = {
  tokenFile: { variables: () => ({}), readsTokenFile: () => true },
  workloadIdentity: { variables: sdkVariables, readsTokenFile: () => true },
  azcopy: {
    variables: (facts, tokenFile) => ({
      ...sdkVariables(facts, tokenFile),
      AZCOPY_AUTO_LOGIN_TYPE: 'WORKLOAD',
      AZCOPY_TENANT_ID: facts.tenantId,
    }),
    readsTokenFile: () => true,
  },
  azurePipelines: {
    variables: ({ clientId, tenantId, serviceConnectionId }) => ({
      AZURESUBSCRIPTION_CLIENT_ID: clientId,
      AZURESUBSCRIPTION_TENANT_ID: tenantId,
      AZURESUBSCRIPTION_SERVICE_CONNECTION_ID: serviceConnectionId,
    }),
    readsTokenFile: () => false,
  },
  terraform: {
    variables: (facts, tokenFile) => ({
      ARM_USE_OIDC: 'true',
      ARM_CLIENT_ID: facts.clientId,
      ARM_TENANT_ID: facts.tenantId,
      ARM_SUBSCRIPTION_ID: facts.subscriptionId,
      ARM_ENVIRONMENT: facts.terraformEnvironment,
      ...(terraformAsks(facts)
        ? {
            ARM_ADO_PIPELINE_SERVICE_CONNECTION_ID: facts.serviceConnectionId,
            ARM_OIDC_AZURE_SERVICE_CONNECTION_ID: facts.serviceConnectionId,
          }
        : { ARM_OIDC_TOKEN_FILE_PATH: tokenFile }),
    }),
    readsTokenFile: (facts) => !terraformAsks(facts),
  },
};

/** True where one of the chosen exports makes its tool read the token file. */
export function needsTokenFile(facts: ExportFacts): boolean {
  return [...facts.kinds].some((kind) => exportsByKind[kind].readsTokenFile(facts));
}

/** The variables of the chosen exports, by name. `tokenFile` is their file, where one is needed. */
export function exportVariables(facts: ExportFacts, tokenFile: string | undefined): Map<string, string> {
  const chosen = Object.entries(exportsByKind).filter(([kind]) => [...facts.kinds].some((one) => one === kind));
  const all = chosen.flatMap(([, { variables }]) => Object.entries(variables(facts, tokenFile)));
  return new Map(all.flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])));
}

/**
 * Names that only some identities have, or that must fit those beside them. What an earlier step of this task left under
 * them is emptied, because the tool would put it together with the identity of this step.
 */
const LEFT_OVER: readonly { readonly kind: ExportKind; readonly names: readonly string[] }[] = [
  {
    kind: 'terraform',
    names: [
      'ARM_SUBSCRIPTION_ID',
      'ARM_ENVIRONMENT',
      'ARM_ADO_PIPELINE_SERVICE_CONNECTION_ID',
      'ARM_OIDC_AZURE_SERVICE_CONNECTION_ID',
      'ARM_OIDC_TOKEN_FILE_PATH',
    ],
  },
];
const OF_AZCOPY = ['AZCOPY_TENANT_ID', 'AZCOPY_AUTO_LOGIN_TYPE'];
const REMEMBERED: ReadonlySet<string> = new Set([...LEFT_OVER.flatMap(({ names }) => names), ...OF_AZCOPY]);

/**
 * The variable of the job in which this task keeps which of these names it has set, with a digest of each value: a value
 * that somebody else has set since is not emptied. Any step could write it; so nothing follows from it but that one of
 * the names above is emptied.
 */
export const MEMORY = 'EntraToken.Exported';

type Job = Pick<Agent, 'variable' | 'origins'>;

/** Sets the variables for the rest of the job, empties what is left over, and says what will not work as it looks. */
export function setExports(
  facts: ExportFacts,
  tokenFile: string | undefined,
  agent: Job & Pick<Agent, 'setVariable' | 'log' | 'warn'>,
): void {
  const exported = exportVariables(facts, tokenFile);
  const memory = readMemory(agent);
  const emptied = leftOver(facts, exported, memory, agent);
  const replaced = [...exported].flatMap(([name, value]) => {
    const before = agent.variable(name);
    return before !== undefined && before !== value ? [name] : [];
  });
  // What the job has already may be read-only, and the agent would fail the step; and it is not ours to empty later.
  const set = new Map([...exported].filter(([name, value]) => !isThere(name, value, agent)));
  for (const [name, value] of [...set, ...emptied.map((name) => [name, ''] as const)]) {
    agent.setVariable(name, value);
  }
  remember(memory, set, emptied, agent);
  if (exported.size > 0) {
    agent.log(`Exported      ${[...exported.keys()].join(', ')}`);
  }
  if (replaced.length > 0) {
    agent.log(
      `  replaced    ${replaced.join(', ')}: their previous values are overwritten ` +
        '(unless the agent says that one is read-only: then rename the variable of the job)',
    );
  }
  if (emptied.length > 0) {
    agent.log(
      `  emptied     ${emptied.join(', ')}: an earlier step exported them, and they do not belong to this identity`,
    );
  }
  if (asksAzureDevOps(facts) && facts.fromAzureDevOps) {
    agent.log('The tool requests new tokens itself; map the job token into its step:');
    agent.log('    env:');
    agent.log('      SYSTEM_ACCESSTOKEN: $(System.AccessToken)');
  }
  warnOfSecretNames([...exported.keys()], agent);
  warnOfConflicts(facts, emptied, agent);
  warnOfTools(facts, agent);
}

function asksAzureDevOps(facts: ExportFacts): boolean {
  return (facts.kinds.has('terraform') && terraformAsks(facts)) || facts.kinds.has('azurePipelines');
}

function leftOver(
  facts: ExportFacts,
  exported: ReadonlyMap<string, string>,
  memory: ReadonlyMap<string, string>,
  agent: Job,
): string[] {
  const names = LEFT_OVER.flatMap(({ kind, names: ofKind }) => (facts.kinds.has(kind) ? ofKind : []));
  // AzCopy goes on with this step's client, and would ask for it in the tenant of the earlier one.
  const otherTenant = agent.variable('AZCOPY_TENANT_ID')?.toLowerCase() !== facts.tenantId.toLowerCase();
  const ofAzCopy = facts.kinds.has('workloadIdentity') && otherTenant ? OF_AZCOPY : [];
  return [...names, ...ofAzCopy].filter((name) => {
    const value = agent.variable(name);
    return (
      !exported.has(name) && value !== undefined && (memory.get(name) === digest(value) || isExportedTokenFile(value))
    );
  });
}

/** Whether the job has exactly this as a public variable. */
function isThere(name: string, value: string, { origins }: Job): boolean {
  const found = origins.environment(name);
  return origins.variables.has(name) && !origins.variables.isSecret(name) && found?.value === value;
}

function readMemory(agent: Job): Map<string, string> {
  try {
    const memory: unknown = JSON.parse(agent.variable(MEMORY) ?? '{}');
    const entries = Object.entries(isRecord(memory) ? memory : {});
    return new Map(
      entries.flatMap(([name, mark]) => (REMEMBERED.has(name) && typeof mark === 'string' ? [[name, mark]] : [])),
    );
  } catch {
    return new Map();
  }
}

function remember(
  memory: Map<string, string>,
  set: ReadonlyMap<string, string>,
  emptied: readonly string[],
  agent: Job & Pick<Agent, 'setVariable'>,
): void {
  const before = JSON.stringify(Object.fromEntries(memory));
  for (const name of emptied) {
    memory.delete(name);
  }
  for (const [name, value] of set) {
    if (REMEMBERED.has(name)) {
      memory.set(name, digest(value));
    }
  }
  const now = JSON.stringify(Object.fromEntries(memory));
  if (now !== before) {
    agent.setVariable(MEMORY, now);
  }
}

function digest(value: string): string {
  return createHash('sha256').update(value).digest('hex').slice(0, 16);
}

/** A variable that is a secret stays one, whoever sets it; and the agent gives secrets to no script. */
function warnOfSecretNames(names: readonly string[], { origins, warn }: Job & Pick<Agent, 'warn'>): void {
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

/** What the tools take before they look for what was exported, in the order of their own documentation. */
function conflictsOf(facts: ExportFacts, { origins }: Job): string[] {
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

/** What this step emptied is still in its own environment. */
function warnOfConflicts(facts: ExportFacts, emptied: readonly string[], agent: Job & Pick<Agent, 'warn'>): void {
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

/** What a tool does by itself, in a step whose ID token it cannot get that way. */
function warnOfTools(facts: ExportFacts, { warn }: Pick<Agent, 'warn'>): void {
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
