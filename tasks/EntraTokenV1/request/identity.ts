import type { Agent } from '../agent/agent.ts';
import { isExportedTokenFile } from '../background/token-folder.ts';
import { Failure } from '../failure/failure.ts';
import { type BindingVariables, bindingVariables } from '../id-token/identity-binding.ts';
import { printable } from '../text/text.ts';
import { readAuthority } from './authority.ts';
import { type Cloud, cloudOfAuthority, publicCloud } from './clouds.ts';
import { type ConnectionKind, isIdentifier, readConnection, type ServiceConnection } from './connection.ts';
import type { Fault, Inputs } from './inputs.ts';

/** Where ID tokens come from. */
export type Source =
  | { readonly kind: ConnectionKind; readonly connection: ServiceConnection; readonly fallback: TokenFile | undefined }
  | { readonly kind: 'pipeline'; readonly fallback: TokenFile | undefined }
  | { readonly kind: 'kubernetes'; readonly file: TokenFile };

/** The pod's service account token, and the proxy that takes it on AKS with an identity binding. */
export interface TokenFile {
  readonly path: string;
  readonly binding: BindingVariables;
}

/** Whose tokens are asked for, and where. */
export interface Identity {
  readonly source: Source;
  readonly clientId: string;
  readonly tenantId: string;
  /** The tenant that the identity itself names; undefined where only the step names one. */
  readonly ownTenantId: string | undefined;
  readonly cloud: Cloud;
  readonly authority: string;
}

/** Reads the identity that the inputs, else the connection, else (for `kubernetes` alone) the pod's variables name. */
export function readIdentity(inputs: Inputs, agent: Agent, faults: Fault[]): Identity | undefined {
  switch (inputs.credentialSource) {
    case undefined:
      return undefined;
    case 'azureRM':
      return connectionIdentity('azureRM', 'connectedServiceNameARM', inputs, agent, faults);
    case 'azureDevOps':
      return connectionIdentity('azureDevOps', 'azureDevOpsServiceConnection', inputs, agent, faults);
    case 'pipeline':
      return pipelineIdentity(inputs, agent);
    case 'kubernetes':
      return kubernetesIdentity(inputs, agent, faults);
  }
}

function connectionIdentity(
  kind: ConnectionKind,
  name: 'connectedServiceNameARM' | 'azureDevOpsServiceConnection',
  inputs: Inputs,
  agent: Agent,
  faults: Fault[],
): Identity {
  // The agent names the variables of a connection by its ID in lower case, and systems but Windows tell the cases apart.
  const id = isGuid(inputs[name]) ? inputs[name].toLowerCase() : inputs[name];
  const connection = readConnection(kind, id, agent.endpoint(id));
  if (inputs.clientId !== '' && inputs.clientId.toLowerCase() !== connection.clientId.toLowerCase()) {
    faults.push(
      `clientId is ${inputs.clientId}, but the service connection is the identity ${connection.clientId}; ` +
        'beside a connection, clientId may only repeat it.',
    );
  }
  const { cloud, authority } = withAuthorityHost(inputs, connection);
  return {
    source: { kind, connection, fallback: readFallback(inputs, agent) },
    clientId: connection.clientId,
    tenantId: inputs.tenantId || connection.tenantId,
    ownTenantId: connection.tenantId,
    cloud,
    authority,
  };
}

function pipelineIdentity(inputs: Inputs, agent: Agent): Identity {
  return {
    source: { kind: 'pipeline', fallback: readFallback(inputs, agent) },
    clientId: inputs.clientId,
    tenantId: inputs.tenantId,
    ownTenantId: undefined,
    ...withAuthorityHost(inputs, { cloud: publicCloud, authority: publicCloud.authority }),
  };
}

/** As WorkloadIdentityCredential of the Azure SDKs: the step's own inputs, else the variables that AKS sets on the pod. */
function kubernetesIdentity(inputs: Inputs, agent: Agent, faults: Fault[]): Identity {
  const clientId = inputs.clientId || agent.origins.environment('AZURE_CLIENT_ID')?.value.trim() || '';
  const tenantId = inputs.tenantId || agent.origins.environment('AZURE_TENANT_ID')?.value.trim() || '';
  const path = tokenFilePath(inputs, agent) ?? '';
  const exported = agent.origins.environment('AZURE_FEDERATED_TOKEN_FILE')?.value.trim();
  if (path === '' && exported !== undefined) {
    throw new Failure(
      'ET_KUBERNETES_VARIABLES',
      'AZURE_FEDERATED_TOKEN_FILE names the token file that an earlier step of this job exported, and no longer the pod’s.',
      'Set clientId, tenantId and tokenFilePath on this step, or put it before the step that exports.',
    );
  }
  const missing = Object.entries({
    AZURE_CLIENT_ID: clientId,
    AZURE_TENANT_ID: tenantId,
    AZURE_FEDERATED_TOKEN_FILE: path,
  }).flatMap(([name, value]) => (value === '' ? [name] : []));
  if (missing.length > 0) {
    const inputsToo = {
      AZURE_CLIENT_ID: 'clientId',
      AZURE_TENANT_ID: 'tenantId',
      AZURE_FEDERATED_TOKEN_FILE: 'tokenFilePath',
    };
    const named = Object.entries(inputsToo).flatMap(([name, input]) =>
      missing.includes(name) ? [`${name} (input ${input})`] : [],
    );
    faults.push(new Failure('ET_KUBERNETES_VARIABLES', `The environment of the step has no ${named.join(', no ')}.`));
  }
  for (const [name, value] of Object.entries({ AZURE_CLIENT_ID: clientId, AZURE_TENANT_ID: tenantId })) {
    if (value !== '' && !isIdentifier(value)) {
      faults.push(`${name} is '${printable(value, 80)}', which is neither an ID nor a domain name.`);
    }
  }
  const host = agent.origins.environment('AZURE_AUTHORITY_HOST')?.value.trim();
  const authority = host ? readAuthority(host, 'AZURE_AUTHORITY_HOST') : publicCloud.authority;
  return {
    source: { kind: 'kubernetes', file: { path, binding: bindingVariables(agent.origins) } },
    clientId,
    tenantId,
    ownTenantId: undefined,
    ...withAuthorityHost(inputs, { cloud: cloudOfAuthority(new URL(authority)) ?? publicCloud, authority }),
  };
}

/** The input wins over where the identity comes from; a host that is in no list keeps the cloud of the identity. */
function withAuthorityHost(
  inputs: Inputs,
  own: { readonly cloud: Cloud; readonly authority: string },
): { cloud: Cloud; authority: string } {
  if (inputs.authorityHost === undefined) {
    return { cloud: own.cloud, authority: own.authority };
  }
  const authority = inputs.authorityHost;
  return { cloud: cloudOfAuthority(new URL(authority)) ?? own.cloud, authority };
}

function readFallback(inputs: Inputs, agent: Agent): TokenFile | undefined {
  const path = inputs.kubernetesFallback ? tokenFilePath(inputs, agent) : undefined;
  return path === undefined ? undefined : { path, binding: bindingVariables(agent.origins) };
}

/**
 * An earlier step that exported a token file has overwritten the pod's variable for the rest of the job; such a file
 * holds a token of Azure DevOps, and is not taken for the pod's.
 */
function tokenFilePath(inputs: Inputs, agent: Agent): string | undefined {
  if (inputs.tokenFilePath !== '') {
    return inputs.tokenFilePath;
  }
  const path = agent.origins.environment('AZURE_FEDERATED_TOKEN_FILE')?.value.trim();
  return path && !isExportedTokenFile(path) ? path : undefined;
}

function isGuid(text: string): boolean {
  return /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text);
}
