import { podFileOf } from '../request/identity.ts';
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
  /** True if the pod's token can only be sent through the token proxy of an identity binding. */
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
    isBound: source.kind === 'kubernetes' && podFileOf(request.source)?.binding.proxy !== undefined,
  };
}

/** The connection's subscription, which belongs to the connection's tenant and to no other. */
export function ownSubscription({ source, tenantId }: Request): string | undefined {
  const connection = 'connection' in source ? source.connection : undefined;
  return connection?.tenantId.toLowerCase() === tenantId.toLowerCase() ? connection.subscriptionId : undefined;
}

/** Terraform's providers ask for new tokens themselves where they know the connection; else they read the file. */
export function terraformAsks(facts: ExportFacts): boolean {
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
