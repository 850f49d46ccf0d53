import type { Agent } from '../agent/agent.ts';
import type { Job } from '../agent/job.ts';
import { isExportedTokenFile } from '../background/token-folder.ts';
import { Failure } from '../failure/failure.ts';
import { type BindingVariables, bindingVariables } from '../id-token/identity-binding.ts';
import { printable } from '../text/text.ts';
import { readAuthority } from './authority.ts';
import { type Cloud, cloudOfAuthority, publicCloud } from './clouds.ts';
import { type ConnectionKind, isIdentifier, readConnection, type ServiceConnection } from './connection.ts';
import type { Fault, Inputs } from './inputs.ts';
import type { Pod, PodVariable } from './pod.ts';

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

/** The pod's token file of a source: its own, or that of its fallback. */
export function podFileOf(source: Source): TokenFile | undefined {
  return source.kind === 'kubernetes' ? source.file : source.fallback;
}

/** The identity whose tokens are requested, and where. */
export interface Identity {
  readonly source: Source;
  readonly clientId: string;
  readonly tenantId: string;
  /** The tenant that the identity itself names; undefined where only the step names one. */
  readonly ownTenantId: string | undefined;
  readonly cloud: Cloud;
  readonly authority: string;
}

/** What is known besides the inputs. */
export interface Told {
  readonly agent: Agent;
  readonly job: Job;
  readonly pod: Pod;
}

/** Reads the identity that the inputs, else the connection, else (for `kubernetes` alone) the pod's variables name. */
export function readIdentity(inputs: Inputs, told: Told, faults: Fault[]): Identity | undefined {
  switch (inputs.credentialSource) {
    case undefined:
      return undefined;
    case 'azureRM':
      return connectionIdentity('azureRM', 'connectedServiceNameARM', inputs, told, faults);
    case 'azureDevOps':
      return connectionIdentity('azureDevOps', 'azureDevOpsServiceConnection', inputs, told, faults);
    case 'pipeline':
      return pipelineIdentity(inputs, told);
    case 'kubernetes':
      return kubernetesIdentity(inputs, told, faults);
  }
}

function connectionIdentity(
  kind: ConnectionKind,
  name: 'connectedServiceNameARM' | 'azureDevOpsServiceConnection',
  inputs: Inputs,
  told: Told,
  faults: Fault[],
): Identity {
  // The agent names the variables of a connection by its ID in lower case, and all systems except Windows distinguish
  // case.
  const id = isGuid(inputs[name]) ? inputs[name].toLowerCase() : inputs[name];
  const connection = readConnection(kind, id, told.agent.endpoint(id), {
    authorityIsNamed: inputs.authorityHost !== undefined,
    isRehearsal: told.job.isRehearsal,
  });
  if (inputs.clientId !== '' && inputs.clientId.toLowerCase() !== connection.clientId.toLowerCase()) {
    faults.push(
      `clientId is ${inputs.clientId}, but the service connection is the identity ${connection.clientId}; ` +
        'beside a connection, clientId may only repeat it.',
    );
  }
  const { cloud, authority } = withAuthorityHost(inputs, connection);
  return {
    source: { kind, connection, fallback: readFallback(inputs, told) },
    clientId: connection.clientId,
    tenantId: inputs.tenantId || connection.tenantId,
    ownTenantId: connection.tenantId,
    cloud,
    authority,
  };
}

function pipelineIdentity(inputs: Inputs, told: Told): Identity {
  return {
    source: { kind: 'pipeline', fallback: readFallback(inputs, told) },
    clientId: inputs.clientId,
    tenantId: inputs.tenantId,
    ownTenantId: undefined,
    ...withAuthorityHost(inputs, { cloud: publicCloud, authority: publicCloud.authority }),
  };
}

/** As WorkloadIdentityCredential of the Azure SDKs: the step's own inputs, else the variables that AKS sets on the pod. */
function kubernetesIdentity(inputs: Inputs, { agent, pod }: Told, faults: Fault[]): Identity {
  const clientId = inputs.clientId || pod.values.AZURE_CLIENT_ID || '';
  const tenantId = inputs.tenantId || pod.values.AZURE_TENANT_ID || '';
  const path = inputs.tokenFilePath || podTokenFile(pod) || '';
  const needed: readonly (readonly [PodVariable, input: string, value: string])[] = [
    ['AZURE_CLIENT_ID', 'clientId', clientId],
    ['AZURE_TENANT_ID', 'tenantId', tenantId],
    ['AZURE_FEDERATED_TOKEN_FILE', 'tokenFilePath', path],
  ];
  const missing = needed.filter(([, , value]) => value === '');
  if (missing.length > 0) {
    faults.push(lackOf(missing, pod));
  }
  for (const [name, value] of Object.entries({ AZURE_CLIENT_ID: clientId, AZURE_TENANT_ID: tenantId })) {
    if (value !== '' && !isIdentifier(value)) {
      faults.push(`${name} is '${printable(value, 80)}', which is neither an ID nor a domain name.`);
    }
  }
  if (inputs.authorityHost === undefined && pod.hidden.includes('AZURE_AUTHORITY_HOST')) {
    agent.log(
      'AZURE_AUTHORITY_HOST is a pipeline variable and is ignored; to use another authority, set the input authorityHost.',
    );
  }
  const host = pod.values.AZURE_AUTHORITY_HOST;
  const authority = host ? readAuthority(host, 'AZURE_AUTHORITY_HOST') : publicCloud.authority;
  return {
    source: { kind: 'kubernetes', file: { path, binding: bindingVariables(agent.origins) } },
    clientId,
    tenantId,
    ownTenantId: undefined,
    ...withAuthorityHost(inputs, { cloud: cloudOfAuthority(new URL(authority)) ?? publicCloud, authority }),
  };
}

/** Which of the pod's variables are missing; a pipeline variable of that name does not count. */
function lackOf(missing: readonly (readonly [PodVariable, input: string, value: string])[], pod: Pod): Failure {
  const hidden = missing.filter(([name]) => pod.hidden.includes(name));
  if (hidden.length === 0) {
    const named = missing.map(([name, input]) => `${name} (input ${input})`);
    return new Failure('ET_KUBERNETES_VARIABLES', `The environment of the step has no ${named.join(', no ')}.`);
  }
  const names = hidden.map(([name]) => name).join(', ');
  const lines = missing.map(([name, input]) => `${input}: $(${name})`);
  return new Failure(
    'ET_KUBERNETES_VARIABLES',
    `${names} ${hidden.length === 1 ? 'is a pipeline variable' : 'are pipeline variables'} of this job, and not the pod’s.`,
    `If the pipeline is meant to say it, write it on the step: ${lines.join(', ')}. If an earlier step exported it, name ` +
      'the pod’s own values in these inputs, or put this step before that one.',
  );
}

/** The input wins over the authority of the identity; an unknown host keeps the cloud of the identity. */
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

function readFallback(inputs: Inputs, { agent, pod }: Told): TokenFile | undefined {
  const path = inputs.kubernetesFallback ? inputs.tokenFilePath || podTokenFile(pod) : undefined;
  if (path === undefined && inputs.kubernetesFallback && pod.hidden.includes('AZURE_FEDERATED_TOKEN_FILE')) {
    const hiding = agent.origins.environment('AZURE_FEDERATED_TOKEN_FILE')?.value ?? '';
    // A variable that a step of this task exported is not the pod's.
    if (!isExportedTokenFile(hiding.trim())) {
      agent.log(
        'AZURE_FEDERATED_TOKEN_FILE is a pipeline variable: its file is not taken for the pod’s as a fallback.',
      );
    }
  }
  return path === undefined ? undefined : { path, binding: bindingVariables(agent.origins) };
}

/** A file that a step of this task wrote contains a token of Azure DevOps, and is not the pod's. */
function podTokenFile(pod: Pod): string | undefined {
  const path = pod.values.AZURE_FEDERATED_TOKEN_FILE;
  return path && !isExportedTokenFile(path) ? path : undefined;
}

function isGuid(text: string): boolean {
  return /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text);
}
