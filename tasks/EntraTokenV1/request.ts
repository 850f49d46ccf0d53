import type { Agent } from './agent.ts';
import { readAuthority } from './authority.ts';
import { type Cloud, cloudOfAuthority, publicCloud } from './clouds.ts';
import { type ConnectionKind, isIdentifier, readConnection, type ServiceConnection } from './connection.ts';
import { Failure } from './failure.ts';
import { isRecord } from './id-token.ts';
import { type BindingVariables, bindingVariables } from './identity-binding.ts';
import { type Job, readJob } from './job.ts';
import { readScopes, type ScopeLine } from './scopes.ts';
import { printable } from './text.ts';
import { isExportedTokenFile } from './token-folder.ts';

export const credentialSources = ['azureRM', 'azureDevOps', 'pipeline', 'kubernetes'] as const;
export type CredentialSource = (typeof credentialSources)[number];

export const exportKinds = ['tokenFile', 'workloadIdentity', 'azurePipelines', 'terraform', 'azcopy'] as const;
export type ExportKind = (typeof exportKinds)[number];

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

/** What the step is asked to do, checked, with nothing left to look up in inputs or the environment. */
export interface Request {
  readonly source: Source;
  readonly clientId: string;
  readonly tenantId: string;
  readonly cloud: Cloud;
  /** Origin of Entra. */
  readonly authority: string;
  readonly scopes: readonly ScopeLine[];
  /** A claims challenge, as JSON. */
  readonly claims: string | undefined;
  readonly enableCae: boolean;
  readonly exports: ReadonlySet<ExportKind>;
  readonly keepTokenFileFresh: boolean;
  readonly exportIdToken: boolean;
  readonly job: Job;
}

/** The inputs as the agent hands them over: trimmed, and each listed in task.json. */
interface Inputs {
  readonly credentialSource: CredentialSource | undefined;
  readonly connectedServiceNameARM: string;
  readonly azureDevOpsServiceConnection: string;
  readonly scopes: string;
  readonly tenantId: string;
  readonly clientId: string;
  readonly kubernetesFallback: boolean;
  readonly exportEnvironment: ReadonlySet<ExportKind>;
  readonly keepTokenFileFresh: boolean;
  readonly exportIdToken: boolean;
  readonly tokenFilePath: string;
  readonly additionallyAllowedTenants: readonly string[];
  readonly claims: string | undefined;
  readonly enableCae: boolean;
  readonly authorityHost: string | undefined;
}

/** Every input that the task reads; task.json has exactly these. */
export const inputNames = [
  'credentialSource',
  'connectedServiceNameARM',
  'azureDevOpsServiceConnection',
  'scopes',
  'tenantId',
  'clientId',
  'kubernetesFallback',
  'exportEnvironment',
  'keepTokenFileFresh',
  'exportIdToken',
  'tokenFilePath',
  'additionallyAllowedTenants',
  'claims',
  'enableCae',
  'authorityHost',
] as const;
type InputName = (typeof inputNames)[number];

/** The inputs that name an identity; without one of them that was given, there is none to look at. */
const identityInputs: readonly InputName[] = [
  'connectedServiceNameARM',
  'azureDevOpsServiceConnection',
  'tenantId',
  'clientId',
];

/** Stands in for an input that cannot be used, so that nothing more is said of it. */
const UNUSABLE = 'unusable';

/** What is wrong with the inputs: in a sentence, or with a code of its own where it is the only fault. */
type Fault = string | Failure;

/** The inputs as users write them. */
const writtenAs = (name: InputName): string => (name === 'connectedServiceNameARM' ? 'azureSubscription' : name);

/**
 * Reads and checks all that the step was given, before the first request. Throws one Failure that names every fault;
 * where there is only one, it has the code of that.
 */
export function readRequest(agent: Agent): Request {
  const faults: Fault[] = [];
  const inputs = readInputs(agent, faults);
  const identity = isWhole(inputs, faults) ? tryIdentity(inputs, agent, faults) : undefined;
  // Where the cloud stays open, the public cloud's presets still show the faults of the lines.
  const ofScopes: string[] = [];
  const scopes = readScopes(
    inputs.scopes || defaultScope(inputs.credentialSource),
    identity?.cloud ?? publicCloud,
    ofScopes,
  );
  faults.push(...ofScopes);
  if (identity === undefined || faults.length > 0) {
    throw together(faults);
  }
  return {
    source: identity.source,
    clientId: identity.clientId,
    tenantId: identity.tenantId,
    cloud: identity.cloud,
    authority: identity.authority,
    scopes,
    claims: inputs.claims,
    enableCae: inputs.enableCae,
    exports: inputs.exportEnvironment,
    keepTokenFileFresh: inputs.keepTokenFileFresh,
    exportIdToken: inputs.exportIdToken,
    job: readJob(agent),
  };
}

function together(faults: readonly Fault[]): Failure {
  const [first, ...more] = faults;
  if (first instanceof Failure && more.length === 0) {
    return first;
  }
  const said = faults.map((fault) =>
    fault instanceof Failure ? [fault.happened, fault.advice ?? ''].join(' ').trim() : fault,
  );
  return new Failure(
    'ET_INPUT',
    more.length === 0 ? (said[0] ?? '') : said.map((text, index) => `(${index + 1}) ${text}`).join(' '),
  );
}

/** True where the inputs name an identity, so that it can be looked at; false where something of it is missing. */
function isWhole(inputs: Inputs, faults: Fault[]): boolean {
  if (inputs.credentialSource === undefined) {
    return false;
  }
  const before = faults.length;
  checkFit(inputs, inputs.credentialSource, faults);
  checkRequired(inputs, inputs.credentialSource, faults);
  return faults.length === before && !identityInputs.some((name) => inputs[name] === UNUSABLE);
}

function tryIdentity(inputs: Inputs, agent: Agent, faults: Fault[]): Identity | undefined {
  try {
    const identity = readIdentity(inputs, agent, faults);
    checkTenant(identity, inputs, faults);
    return identity;
  } catch (error) {
    if (!(error instanceof Failure)) {
      throw error;
    }
    faults.push(error);
    return undefined;
  }
}

function readInputs(agent: Agent, faults: Fault[]): Inputs {
  const text = (name: InputName): string => {
    const value = agent.input(name);
    const macro = /\$\([^)\s][^)]*\)|\$\{\{|\$\[/.exec(value)?.[0];
    if (macro !== undefined) {
      const said = `${writtenAs(name)} holds ${printable(macro, 80)}`;
      faults.push(`${said}, which was not expanded: the job has no such variable.`);
      return identityInputs.includes(name) ? UNUSABLE : '';
    }
    return value;
  };
  const flag = (name: InputName, byDefault: boolean): boolean => {
    const value = text(name).toLowerCase();
    if (!['', 'true', 'false'].includes(value)) {
      faults.push(`${name} is '${printable(value, 40)}', but can only be true or false.`);
    }
    return value === '' ? byDefault : value === 'true';
  };
  return {
    credentialSource: readSource(text('credentialSource'), faults),
    connectedServiceNameARM: text('connectedServiceNameARM'),
    azureDevOpsServiceConnection: text('azureDevOpsServiceConnection'),
    scopes: text('scopes'),
    tenantId: readIdentifier(text('tenantId'), 'tenantId', faults),
    clientId: readIdentifier(text('clientId'), 'clientId', faults),
    kubernetesFallback: flag('kubernetesFallback', true),
    exportEnvironment: readExports(text('exportEnvironment'), faults),
    keepTokenFileFresh: flag('keepTokenFileFresh', true),
    exportIdToken: flag('exportIdToken', false),
    tokenFilePath: text('tokenFilePath'),
    additionallyAllowedTenants: list(text('additionallyAllowedTenants')),
    claims: readClaims(text('claims'), faults),
    enableCae: flag('enableCae', false),
    authorityHost: readAuthorityHost(text('authorityHost'), faults),
  };
}

/** The origin of the authority that the step names. */
function readAuthorityHost(text: string, faults: Fault[]): string | undefined {
  try {
    return text === '' ? undefined : readAuthority(text, 'authorityHost');
  } catch (error) {
    if (!(error instanceof Failure)) {
      throw error;
    }
    faults.push(error);
    return undefined;
  }
}

/** Undefined for a source that there is not: then nothing can be said of what it needs. */
function readSource(text: string, faults: Fault[]): CredentialSource | undefined {
  const source = credentialSources.find((candidate) => candidate.toLowerCase() === (text || 'azureRM').toLowerCase());
  if (source === undefined) {
    faults.push(`credentialSource is '${printable(text, 40)}', but can only be ${credentialSources.join(', ')}.`);
  }
  return source;
}

function readIdentifier(text: string, name: InputName, faults: Fault[]): string {
  if (text !== '' && !isIdentifier(text)) {
    faults.push(`${name} is '${printable(text, 80)}', which is neither an ID nor a domain name.`);
    return UNUSABLE;
  }
  return text;
}

function readExports(text: string, faults: Fault[]): ReadonlySet<ExportKind> {
  const kinds = new Set<ExportKind>();
  for (const word of list(text)) {
    const kind = exportKinds.find((candidate) => candidate.toLowerCase() === word.toLowerCase());
    if (kind === undefined) {
      faults.push(`exportEnvironment names '${printable(word, 40)}', but can only have ${exportKinds.join(', ')}.`);
    } else {
      kinds.add(kind);
    }
  }
  return kinds;
}

function list(text: string): string[] {
  return text.split(/[\s,;]+/).filter((word) => word !== '');
}

/** A challenge comes as JSON, or as the Base64 of it that a `WWW-Authenticate` header carries. */
function readClaims(text: string, faults: Fault[]): string | undefined {
  if (text === '') {
    return undefined;
  }
  const json = text.startsWith('{') ? text : Buffer.from(text, 'base64').toString('utf8');
  try {
    const claims: unknown = JSON.parse(json);
    // OpenID Connect Core, 5.5: these members are objects of their own.
    const members = ['access_token', 'id_token', 'userinfo'];
    if (isRecord(claims) && members.every((name) => !Object.hasOwn(claims, name) || isRecord(claims[name]))) {
      return json;
    }
  } catch {
    // Told below, together with JSON that is no claims request.
  }
  faults.push('claims is neither a claims request (a JSON object of objects) nor the Base64 of one.');
  return undefined;
}

interface Identity {
  readonly source: Source;
  readonly clientId: string;
  readonly tenantId: string;
  /** The tenant that the identity itself names; undefined where only the step names one. */
  readonly ownTenantId: string | undefined;
  readonly cloud: Cloud;
  readonly authority: string;
}

function readIdentity(inputs: Inputs, agent: Agent, faults: Fault[]): Identity | undefined {
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

/** Names every input that belongs to another source than the chosen one. */
function checkFit(inputs: Inputs, source: CredentialSource, faults: Fault[]): void {
  const onlyFor = (name: InputName, isSet: boolean, sources: readonly CredentialSource[]): void => {
    if (isSet && !sources.includes(source)) {
      faults.push(`${writtenAs(name)} does not fit credentialSource ${source}; it is for ${sources.join(' and ')}.`);
    }
  };
  onlyFor('connectedServiceNameARM', inputs.connectedServiceNameARM !== '', ['azureRM']);
  onlyFor('azureDevOpsServiceConnection', inputs.azureDevOpsServiceConnection !== '', ['azureDevOps']);
  if (inputs.exportEnvironment.has('azurePipelines') && (source === 'pipeline' || source === 'kubernetes')) {
    faults.push(
      `exportEnvironment azurePipelines needs a service connection, which credentialSource ${source} has not.`,
    );
  }
  if (inputs.tokenFilePath !== '' && source !== 'kubernetes' && !inputs.kubernetesFallback) {
    faults.push(`tokenFilePath does not fit credentialSource ${source} while kubernetesFallback is false.`);
  }
}

/** Names every input that the chosen source cannot do without. */
function checkRequired(inputs: Inputs, source: CredentialSource, faults: Fault[]): void {
  if (source === 'azureRM' && inputs.connectedServiceNameARM === '') {
    faults.push('azureSubscription is missing; credentialSource azureRM needs the service connection.');
  }
  if (source === 'azureDevOps' && inputs.azureDevOpsServiceConnection === '') {
    faults.push('azureDevOpsServiceConnection is missing; credentialSource azureDevOps needs the service connection.');
  }
  for (const name of ['tenantId', 'clientId'] as const) {
    if (source === 'pipeline' && inputs[name] === '') {
      faults.push(`${name} is missing; credentialSource pipeline has no connection that could name it.`);
    }
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
  const clientId = inputs.clientId || agent.environment('AZURE_CLIENT_ID')?.trim() || '';
  const tenantId = inputs.tenantId || agent.environment('AZURE_TENANT_ID')?.trim() || '';
  const path = tokenFilePath(inputs, agent) ?? '';
  const exported = agent.environment('AZURE_FEDERATED_TOKEN_FILE')?.trim();
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
  const host = agent.environment('AZURE_AUTHORITY_HOST')?.trim();
  const authority = host ? readAuthority(host, 'AZURE_AUTHORITY_HOST') : publicCloud.authority;
  return {
    source: { kind: 'kubernetes', file: { path, binding: bindingVariables(agent) } },
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
  return path === undefined ? undefined : { path, binding: bindingVariables(agent) };
}

/**
 * An earlier step that exported a token file has overwritten the pod's variable for the rest of the job; such a file
 * holds a token of Azure DevOps, and is not taken for the pod's.
 */
function tokenFilePath(inputs: Inputs, agent: Agent): string | undefined {
  if (inputs.tokenFilePath !== '') {
    return inputs.tokenFilePath;
  }
  const path = agent.environment('AZURE_FEDERATED_TOKEN_FILE')?.trim();
  return path && !isExportedTokenFile(path) ? path : undefined;
}

function checkTenant(identity: Identity | undefined, inputs: Inputs, faults: Fault[]): void {
  const { tenantId = '', ownTenantId } = identity ?? {};
  const { additionallyAllowedTenants: allowed } = inputs;
  const isAllowed = (tenant: string): boolean => tenant === '*' || tenant.toLowerCase() === tenantId.toLowerCase();
  if (ownTenantId === undefined || ownTenantId.toLowerCase() === tenantId.toLowerCase() || allowed.some(isAllowed)) {
    return;
  }
  faults.push(
    new Failure(
      'ET_TENANT_NOT_ALLOWED',
      `tenantId is ${tenantId}, but the service connection belongs to the tenant ${ownTenantId}.`,
      `Write additionallyAllowedTenants: ${tenantId} (or *) on the step, or leave tenantId out.`,
    ),
  );
}

function isGuid(text: string): boolean {
  return /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text);
}

function defaultScope(source: CredentialSource | undefined): string {
  return source === 'azureDevOps' ? 'azureDevOps' : 'arm';
}
