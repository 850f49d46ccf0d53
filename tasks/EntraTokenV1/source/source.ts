import { existsSync } from 'node:fs';
import type { Code } from '../failure/catalogue.ts';
import { Failure } from '../failure/failure.ts';
import { type FreshIdToken, type IdTokenRequest, requestIdToken } from '../id-token/azure-devops.ts';
import { type IdToken, readIdToken } from '../id-token/id-token.ts';
import { bindingAuthorities, bindingPool, readIdentityBinding, throughProxy } from '../id-token/identity-binding.ts';
import { readTokenFile } from '../id-token/kubernetes.ts';
import type { ConnectionPool } from '../network/pool.ts';
import { SHORTEST_TRY_MS } from '../network/retry.ts';
import { createWire, type Send, type WireSurroundings } from '../network/wire.ts';
import { cloudOfAuthority } from '../request/clouds.ts';
import type { ServiceConnection } from '../request/connection.ts';
import type { TokenFile } from '../request/identity.ts';
import type { CredentialSource } from '../request/inputs.ts';
import type { Request } from '../request/request.ts';
import type { Mask } from '../text/secret.ts';
import { printable } from '../text/text.ts';

/** A source whose first ID token has arrived, and which returns a valid one at any time. */
export interface OpenSource {
  /** The source really used. */
  readonly kind: CredentialSource;
  readonly first: IdToken;
  /** How far the clock of Azure DevOps is ahead of ours, in milliseconds, if known. */
  readonly skewMs: number | undefined;
  /** Returns an ID token for an exchange: the same while it is valid, then a new one. */
  readonly idToken: () => Promise<IdToken>;
  /** Sends a request to Entra: through the token proxy if the pod has an identity binding. */
  readonly sendToEntra: Send;
  /** The request by which another process renews the ID token; undefined if none is possible or needed. */
  readonly renewal: IdTokenRequest | undefined;
}

export interface SourceSurroundings extends WireSurroundings {
  readonly send: Send;
  readonly mask: Mask;
  readonly warn: (message: string) => void;
}

/** A late-bound token is used if it is valid for this long; so is a requested one with a lifetime of minutes. */
const LEAST_LIFE_MS = 60_000;

/** A late-bound token for later steps must have half of its ten minutes left. */
const HANDED_ON_MS = 300_000;

/** Azure DevOps could not be reached. A refusal is not among these: it is final. */
const couldNotBeAsked: ReadonlySet<Code> = new Set<Code>([
  'ET_JOB_TOKEN_MISSING',
  'ET_DEVOPS_SERVER',
  'ET_DEVOPS_NO_ENDPOINT',
  'ET_DEVOPS_UNAVAILABLE',
  'ET_NAME_NOT_FOUND',
  'ET_CONNECTION',
  'ET_TIMEOUT',
  'ET_PROXY',
]);

/** Gets the first ID token from the source of the request. Throws a Failure. */
export async function openSource(request: Request, surroundings: SourceSurroundings): Promise<OpenSource> {
  const { source } = request;
  if (source.kind === 'kubernetes') {
    return openKubernetes(source.file, surroundings);
  }
  const standsReady = source.fallback !== undefined && existsSync(source.fallback.path);
  try {
    return await openAzureDevOps(request, standsReady ? hurried(surroundings) : surroundings.send, surroundings);
  } catch (error) {
    const { fallback } = source;
    if (
      fallback === undefined ||
      !(error instanceof Failure) ||
      !couldNotBeAsked.has(error.code) ||
      !existsSync(fallback.path)
    ) {
      throw error;
    }
    if (!mayTakePodToken(request)) {
      surroundings.log(
        `The pod’s token is not used instead: only the connection names ${printable(request.authority, 100)}. Set the input authorityHost to allow it.`,
      );
      throw error;
    }
    surroundings.warn(
      `${error.code}: ${error.happened} The service account token of the pod is used instead of the ID token of Azure ` +
        `DevOps (kubernetesFallback); the client and the tenant stay the same.`,
    );
    return openKubernetes(fallback, surroundings);
  }
}

/**
 * True if only the connection names the authority, as with a private cloud. An earlier step that prints may have
 * changed it; the ID token that the server issues for it then confirms or refutes it.
 */
function isUnconfirmed({ authority, authorityIsNamed, cloud, job }: Request): boolean {
  return (
    cloud.name === 'AzureStack' &&
    !authorityIsNamed &&
    !job.isRehearsal &&
    cloudOfAuthority(new URL(authority)) === undefined
  );
}

/** If no ID token arrived that could confirm the authority, AKS itself may have set it on the pod. */
function mayTakePodToken(request: Request): boolean {
  const ofPod = request.pod.values.AZURE_AUTHORITY_HOST;
  return (
    !isUnconfirmed(request) ||
    (ofPod !== undefined && URL.canParse(ofPod) && new URL(ofPod).origin === request.authority)
  );
}

/** The time limit for Azure DevOps if the pod's token can be used instead. Milliseconds. */
const WITH_FALLBACK_MS = 15_000;

/** Sends with that time limit, and says so before the first wait. */
function hurried({ send, elapsed, log }: SourceSurroundings): Send {
  const start = elapsed();
  let isSaid = false;
  const onRetry = (): void => {
    if (!isSaid) {
      log(
        `A Kubernetes token file exists: it is used if Azure DevOps does not respond within ${WITH_FALLBACK_MS / 1000} s.`,
      );
    }
    isSaid = true;
  };
  return (post) =>
    send({ ...post, allTriesMs: Math.max(SHORTEST_TRY_MS, WITH_FALLBACK_MS - (elapsed() - start)), onRetry });
}

/** @param sendFirst sends the first request, which may have less time than later ones */
async function openAzureDevOps(
  request: Request,
  sendFirst: Send,
  surroundings: SourceSurroundings,
): Promise<OpenSource> {
  const { source, job } = request;
  const { send, mask, now } = surroundings;
  const connection = 'connection' in source ? source.connection : undefined;
  // The late-bound token confirms nothing: a step that prints can change it as well.
  const stored = isUnconfirmed(request) ? undefined : connection?.lateBoundIdToken;
  const lateBound = stored && readIdToken(stored.reveal(), mask);
  const ask = (by: Send): ReturnType<typeof requestIdToken> => requestIdToken(idTokenRequest(request), by, mask);
  const first = await firstOf(lateBound, request, now, () => ask(sendFirst));
  if (connection !== undefined) {
    refuseForeignIssuer(request, connection, first.idToken);
  }

  let held = { ...first, life: first.idToken.expiresAt - (now() + (first.skewMs ?? 0)) };
  let asking: Promise<IdToken> | undefined;
  const renew = async (): Promise<IdToken> => {
    const fresh = await ask(send);
    held = { ...fresh, life: fresh.idToken.expiresAt - (now() + (fresh.skewMs ?? 0)) };
    return fresh.idToken;
  };
  return {
    kind: source.kind,
    first: first.idToken,
    skewMs: first.skewMs,
    idToken: () => {
      const left = held.idToken.expiresAt - (now() + (held.skewMs ?? 0));
      // A token that had expired when it arrived is sent as well: another would be no better, and Entra names the
      // cause.
      if (held.life <= 0 || left >= Math.min(LEAST_LIFE_MS, held.life / 4)) {
        return Promise.resolve(held.idToken);
      }
      // Concurrent exchanges wait for the same new token.
      asking ??= renew().finally(() => {
        asking = undefined;
      });
      return asking;
    },
    sendToEntra: send,
    renewal: canBeAsked(job) ? idTokenRequest(request) : undefined,
  };
}

/** The late-bound token, if it is valid for long enough; else a new one. */
async function firstOf(
  lateBound: IdToken | undefined,
  request: Request,
  now: () => number,
  ask: () => Promise<FreshIdToken>,
): Promise<FreshIdToken> {
  const held = lateBound && { idToken: lateBound, skewMs: undefined };
  const left = lateBound === undefined ? 0 : lateBound.expiresAt - now();
  const isHandedOn = request.exportIdToken || request.exports.size > 0 || request.endpoint.size > 0;
  if (held !== undefined && left >= (isHandedOn && canBeAsked(request.job) ? HANDED_ON_MS : LEAST_LIFE_MS)) {
    return held;
  }
  try {
    return await ask();
  } catch (error) {
    // A short lifetime is better than no token, if no other can be requested.
    if (held !== undefined && left >= LEAST_LIFE_MS && error instanceof Failure && couldNotBeAsked.has(error.code)) {
      return held;
    }
    throw error;
  }
}

/** The server issued the token for the connection as it is stored: if Entra of a known cloud signed it, it is for that cloud. */
function refuseForeignIssuer(request: Request, { id }: ServiceConnection, idToken: IdToken): void {
  const issuer = URL.canParse(idToken.issuer) ? cloudOfAuthority(new URL(idToken.issuer)) : undefined;
  if (issuer === undefined || !isUnconfirmed(request)) {
    return;
  }
  throw new Failure(
    'ET_AUTHORITY_REFUSED',
    `The service connection ${printable(id, 60)} is of ${request.cloud.title} and names the authority ` +
      `${printable(request.authority, 100)}, but its ID token is issued by Entra of ${issuer.title} ` +
      `(${printable(idToken.issuer, 100)}).`,
  );
}

function canBeAsked(job: Request['job']): boolean {
  return job.token !== undefined && !job.isServer && 'url' in job.idTokenAddress;
}

/** The parameters of the request to Azure DevOps, or the Failure that says why it is not possible. */
function idTokenRequest({ source, job }: Request): IdTokenRequest {
  if (job.token === undefined) {
    throw new Failure('ET_JOB_TOKEN_MISSING', 'The job has no token for Azure DevOps.');
  }
  if (job.isServer) {
    throw new Failure('ET_DEVOPS_SERVER', 'The job runs on Azure DevOps Server (System.ServerType is OnPremises).');
  }
  if ('missing' in job.idTokenAddress) {
    throw new Failure('ET_JOB_INCOMPLETE', `The job has no ${job.idTokenAddress.missing.join(', no ')}.`);
  }
  if ('notHttps' in job.idTokenAddress) {
    throw new Failure('ET_NOT_HTTPS', 'The address of the organization does not begin with https://.');
  }
  return {
    address: job.idTokenAddress.url,
    jobToken: job.token,
    serviceConnectionId: 'connection' in source ? source.connection.id : undefined,
  };
}

async function openKubernetes(file: TokenFile, surroundings: SourceSurroundings): Promise<OpenSource> {
  const binding = readIdentityBinding(file.binding);
  const read = (): Promise<IdToken> =>
    readTokenFile({
      path: file.path,
      now: surroundings.now,
      sleep: surroundings.sleep,
      mask: surroundings.mask,
    });
  const first = await read();
  let toEntra = surroundings.send;
  if (binding !== undefined) {
    surroundings.log(`Token proxy   ${binding.proxy.host} of the pod’s identity binding takes the token to Entra`);
    const pool: () => ConnectionPool = bindingPool(binding);
    pool();
    const send = createWire({ ...surroundings, pool, ownAuthorities: bindingAuthorities(binding) });
    toEntra = (post) => send({ ...post, url: throughProxy(binding, post.url) });
  }
  return { kind: 'kubernetes', first, skewMs: undefined, idToken: read, sendToEntra: toEntra, renewal: undefined };
}
