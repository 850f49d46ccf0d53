import type { Agent } from '../agent/agent.ts';
import { type Job, readJob } from '../agent/job.ts';
import { Failure } from '../failure/failure.ts';
import { checkAuthority, checkFit, checkRequired, checkTenant } from './checks.ts';
import { type Cloud, publicCloud } from './clouds.ts';
import { type Identity, readIdentity, type Source, type Told } from './identity.ts';
import {
  type CredentialSource,
  type EndpointKind,
  type ExportKind,
  type Fault,
  type Inputs,
  identityInputs,
  readInputs,
  UNUSABLE,
  warnOfUnknownInputs,
} from './inputs.ts';
import { type Pod, readPod } from './pod.ts';
import { readScopes, type ScopeLine } from './scopes.ts';

/** What the step has to do, checked; nothing else is read from inputs or the environment. */
export interface Request {
  readonly source: Source;
  readonly clientId: string;
  readonly tenantId: string;
  readonly cloud: Cloud;
  /** Origin of Entra. */
  readonly authority: string;
  /** True where the step itself names it. */
  readonly authorityIsNamed: boolean;
  readonly scopes: readonly ScopeLine[];
  /** A claims challenge, as JSON. */
  readonly claims: string | undefined;
  readonly enableCae: boolean;
  readonly exports: ReadonlySet<ExportKind>;
  readonly keepTokenFileFresh: boolean;
  /** What the token endpoint serves; empty where there is none. */
  readonly endpoint: ReadonlySet<EndpointKind>;
  readonly exportIdToken: boolean;
  readonly job: Job;
  readonly pod: Pod;
}

/**
 * Reads and checks all that the step was given, before the first request. Throws one Failure that names every fault;
 * where there is only one, it has the code of that.
 */
export function readRequest(agent: Agent): Request {
  warnOfUnknownInputs(agent);
  const job = readJob(agent);
  const pod = readPod(agent, job.token);
  const faults: Fault[] = [];
  const inputs = readInputs(agent, faults);
  const identity = isWhole(inputs, faults) ? tryIdentity(inputs, { agent, job, pod }, faults) : undefined;
  // If the cloud is unknown, the lines are still checked with the public cloud's presets.
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
    authorityIsNamed: inputs.authorityHost !== undefined,
    scopes,
    claims: inputs.claims,
    enableCae: inputs.enableCae,
    exports: inputs.exportEnvironment,
    keepTokenFileFresh: inputs.keepTokenFileFresh,
    endpoint: inputs.tokenEndpoint,
    exportIdToken: inputs.exportIdToken,
    job,
    pod,
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

/** True if the inputs name a complete identity, so that it can be read. */
function isWhole(inputs: Inputs, faults: Fault[]): boolean {
  if (inputs.credentialSource === undefined) {
    return false;
  }
  const before = faults.length;
  checkFit(inputs, inputs.credentialSource, faults);
  checkRequired(inputs, inputs.credentialSource, faults);
  return faults.length === before && !identityInputs.some((name) => inputs[name] === UNUSABLE);
}

function tryIdentity(inputs: Inputs, told: Told, faults: Fault[]): Identity | undefined {
  try {
    const identity = readIdentity(inputs, told, faults);
    checkTenant(identity, inputs, faults);
    if (identity !== undefined) {
      checkAuthority(identity, inputs, faults);
    }
    return identity;
  } catch (error) {
    if (!(error instanceof Failure)) {
      throw error;
    }
    faults.push(error);
    return undefined;
  }
}

function defaultScope(source: CredentialSource | undefined): string {
  return source === 'azureDevOps' ? 'azureDevOps' : 'arm';
}
