import { isAbsolute } from 'node:path';
import type { Agent } from '../agent/agent.ts';
import { Failure } from '../failure/failure.ts';
import { isRecord } from '../text/json.ts';
import { nearest } from '../text/nearest.ts';
import { printable } from '../text/text.ts';
import { readAuthority, tenantInAuthority } from './authority.ts';
import { isIdentifier } from './connection.ts';

export const credentialSources = ['azureRM', 'azureDevOps', 'pipeline', 'kubernetes'] as const;
export type CredentialSource = (typeof credentialSources)[number];

export const exportKinds = ['tokenFile', 'workloadIdentity', 'azurePipelines', 'terraform', 'azcopy'] as const;
export type ExportKind = (typeof exportKinds)[number];

export const endpointKinds = ['accessTokens', 'idTokens'] as const;
export type EndpointKind = (typeof endpointKinds)[number];

/** The inputs as the agent hands them over: trimmed, and each listed in task.json. */
export interface Inputs {
  readonly credentialSource: CredentialSource | undefined;
  readonly connectedServiceNameARM: string;
  readonly azureDevOpsServiceConnection: string;
  readonly scopes: string;
  readonly tenantId: string;
  readonly clientId: string;
  readonly kubernetesFallback: boolean;
  readonly exportEnvironment: ReadonlySet<ExportKind>;
  readonly keepTokenFileFresh: boolean;
  readonly tokenEndpoint: ReadonlySet<EndpointKind>;
  readonly exportIdToken: boolean;
  readonly tokenFilePath: string;
  readonly additionallyAllowedTenants: readonly string[];
  readonly claims: string | undefined;
  readonly enableCae: boolean;
  readonly authorityHost: string | undefined;
  /** The tenant that the path of `authorityHost` names, as written there. */
  readonly authorityTenant: string | undefined;
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
  'tokenEndpoint',
  'exportIdToken',
  'tokenFilePath',
  'additionallyAllowedTenants',
  'claims',
  'enableCae',
  'authorityHost',
] as const;
export type InputName = (typeof inputNames)[number];

/** The inputs that name an identity; if one of them is invalid, the identity is not read. */
export const identityInputs: readonly InputName[] = [
  'connectedServiceNameARM',
  'azureDevOpsServiceConnection',
  'tenantId',
  'clientId',
];

/** The value of an input that cannot be used, so that no further fault is reported for it. */
export const UNUSABLE = 'unusable';

/** The faults of the inputs: as a sentence, or with a code of its own if it is the only fault. */
export type Fault = string | Failure;

/** The other name of the input connectedServiceNameARM, and the one that users write. */
const alias = 'azureSubscription';

/** The inputs as users write them. */
export const writtenAs = (name: InputName): string => (name === 'connectedServiceNameARM' ? alias : name);

/** Warns of each input that the task does not have: the agent passes it on, and it would be ignored silently. */
export function warnOfUnknownInputs({ origins, warn }: Pick<Agent, 'origins' | 'warn'>): void {
  const known = [...inputNames, alias];
  for (const name of origins.inputNames) {
    if (!known.some((one) => one.toUpperCase() === name)) {
      const meant = nearest(name, known);
      const hint = meant === undefined ? `The inputs are ${known.join(', ')}.` : `Did you mean ${meant}?`;
      warn(`The task has no input ${printable(name, 60)}, so its value is not used. ${hint}`);
    }
  }
}

/** The nearest of the choices first, then all of them. */
export function suggestion(value: string, choices: readonly string[]): string {
  const meant = nearest(value, choices);
  const all = choices.length < 3 ? choices.join(' or ') : `one of ${choices.join(', ')}`;
  return meant === undefined ? `it has to be ${all}.` : `did you mean ${meant}? It has to be ${all}.`;
}

/** Words of YAML and of shells that mean one of the two. */
const yesOrNo: Readonly<Record<string, string>> = {
  yes: 'true',
  on: 'true',
  1: 'true',
  no: 'false',
  off: 'false',
  0: 'false',
};

/** Reads every input; faults are added to `faults`, and the value is left out or marked as unusable. */
export function readInputs(agent: Agent, faults: Fault[]): Inputs {
  const text = (name: InputName): string => {
    const value = withoutDecoration(agent.input(name));
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
      faults.push(`${name} is '${printable(value, 40)}': ${suggestion(yesOrNo[value] ?? value, ['true', 'false'])}`);
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
    exportEnvironment: readKinds('exportEnvironment', exportKinds, text('exportEnvironment'), faults),
    keepTokenFileFresh: flag('keepTokenFileFresh', true),
    tokenEndpoint: readKinds('tokenEndpoint', endpointKinds, text('tokenEndpoint'), faults),
    exportIdToken: flag('exportIdToken', false),
    tokenFilePath: readPath(text('tokenFilePath'), faults),
    additionallyAllowedTenants: list(text('additionallyAllowedTenants')),
    claims: readClaims(text('claims'), faults),
    enableCae: flag('enableCae', false),
    ...readAuthorityHost(text('authorityHost'), faults),
  };
}

/** What is often copied along with a value: invisible blanks, and quotation marks around it. */
function withoutDecoration(value: string): string {
  const text = value.replace(/^[\s\p{Cf}]+|[\s\p{Cf}]+$/gu, '');
  return /^(["'])[^"']*\1$/u.test(text) ? text.slice(1, -1).trim() : text;
}

/** The path of a token file. A relative one would depend on the folder in which the agent starts steps. */
function readPath(text: string, faults: Fault[]): string {
  if (text !== '' && !isAbsolute(text)) {
    faults.push(
      `tokenFilePath is '${printable(text, 200)}', a relative path; write the whole path, such as ` +
        '/var/run/secrets/azure/wi/token/azure-identity-token.',
    );
  }
  return text;
}

/** The origin of the authority that the step names, and the tenant in its path where it has one. */
function readAuthorityHost(text: string, faults: Fault[]): Pick<Inputs, 'authorityHost' | 'authorityTenant'> {
  const none = { authorityHost: undefined, authorityTenant: undefined };
  try {
    return text === ''
      ? none
      : { authorityHost: readAuthority(text, 'authorityHost'), authorityTenant: tenantInAuthority(text) };
  } catch (error) {
    if (!(error instanceof Failure)) {
      throw error;
    }
    faults.push(error);
    return none;
  }
}

/** Undefined for an unknown source: then the inputs that it needs are unknown. */
function readSource(text: string, faults: Fault[]): CredentialSource | undefined {
  const source = credentialSources.find((candidate) => candidate.toLowerCase() === (text || 'azureRM').toLowerCase());
  if (source === undefined) {
    faults.push(`credentialSource is '${printable(text, 40)}': ${suggestion(text, credentialSources)}`);
  }
  return source;
}

/** @param written perhaps with the braces of a GUID around it, or a comma behind it */
function readIdentifier(written: string, name: InputName, faults: Fault[]): string {
  const text = written.replace(/[,;]$/, '').replace(/^\{(.*)\}$/, '$1');
  if (text !== '' && !isIdentifier(text)) {
    faults.push(`${name} is '${printable(text, 80)}', which is neither an ID nor a domain name.`);
    return UNUSABLE;
  }
  return text;
}

/** A list of which each word is one of the choices. */
function readKinds<Kind extends string>(
  name: InputName,
  choices: readonly Kind[],
  text: string,
  faults: Fault[],
): ReadonlySet<Kind> {
  const kinds = new Set<Kind>();
  for (const word of list(text)) {
    const kind = choices.find((candidate) => candidate.toLowerCase() === word.toLowerCase());
    if (kind === undefined) {
      faults.push(`${name} has '${printable(word, 40)}': ${suggestion(word, choices)}`);
    } else {
      kinds.add(kind);
    }
  }
  return kinds;
}

function list(text: string): string[] {
  return text
    .split(/[\s,;]+/)
    .map(withoutDecoration)
    .filter((word) => word !== '');
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
    // Reported below, together with JSON that is not a claims request.
  }
  faults.push('claims is neither a claims request (a JSON object of objects) nor the Base64 of one.');
  return undefined;
}
