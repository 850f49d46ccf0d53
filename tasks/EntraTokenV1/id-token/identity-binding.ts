import { readFileSync } from 'node:fs';
import * as tls from 'node:tls';
import { Failure } from '../failure/failure.ts';
import { ConnectionPool } from '../network/pool.ts';
import type { OwnAuthorities } from '../network/wire.ts';
import type { Origins } from '../origins/origins.ts';
import { printable } from '../text/text.ts';

/** The token proxy of an AKS identity binding, from the variables that its webhook sets on the pod. */
export interface IdentityBinding {
  /** https, with the path that precedes that of each request. */
  readonly proxy: URL;
  readonly serverName: string | undefined;
  readonly authorities: { readonly file: string } | { readonly pem: string } | undefined;
}

const PROXY = 'AZURE_KUBERNETES_TOKEN_PROXY';
const SERVER_NAME = 'AZURE_KUBERNETES_SNI_NAME';
const CA_FILE = 'AZURE_KUBERNETES_CA_FILE';
const CA_DATA = 'AZURE_KUBERNETES_CA_DATA';

/** The four variables of the environment; checked only if a Kubernetes token is really used. */
export interface BindingVariables {
  /** Those that are pipeline variables, and so not the pod's. */
  readonly fromPipeline: readonly string[];
  readonly proxy: string | undefined;
  readonly serverName: string | undefined;
  readonly caFile: string | undefined;
  readonly caData: string | undefined;
}

export function bindingVariables(origins: Pick<Origins, 'environment'>): BindingVariables {
  const names = [PROXY, SERVER_NAME, CA_FILE, CA_DATA];
  const [proxy, serverName, caFile, caData] = names.map((name) => origins.environment(name)?.value.trim() || undefined);
  const fromPipeline = names.filter((name) => origins.environment(name)?.owner === 'pipeline');
  return { proxy, serverName, caFile, caData, fromPipeline };
}

/**
 * Combines the four variables as the Azure SDK for Go does (azidentity, customtokenproxy). Returns undefined where
 * there is no identity binding; throws ET_IDENTITY_BINDING where the variables contradict each other, and
 * ET_VARIABLE_REFUSED where one of them is a pipeline variable, which would decide who gets the pod's token.
 */
export function readIdentityBinding(variables: BindingVariables): IdentityBinding | undefined {
  const { proxy, serverName, caFile, caData, fromPipeline } = variables;
  if (fromPipeline.length > 0) {
    throw new Failure(
      'ET_VARIABLE_REFUSED',
      `${fromPipeline.join(' and ')} ${fromPipeline.length === 1 ? 'is a pipeline variable' : 'are pipeline variables'}, and ` +
        'not of the identity binding that AKS gave the pod.',
    );
  }
  if (proxy === undefined) {
    const others = Object.entries({ [SERVER_NAME]: serverName, [CA_FILE]: caFile, [CA_DATA]: caData });
    const set = others.flatMap(([name, value]) => (value === undefined ? [] : [name]));
    if (set.length > 0) {
      throw new Failure('ET_IDENTITY_BINDING', `${set.join(' and ')} are set without ${PROXY}.`);
    }
    return undefined;
  }
  if (caFile !== undefined && caData !== undefined) {
    throw new Failure('ET_IDENTITY_BINDING', `${CA_FILE} and ${CA_DATA} are both set; only one of them may be.`);
  }
  return {
    proxy: readProxy(proxy),
    serverName,
    authorities: caFile !== undefined ? { file: caFile } : caData !== undefined ? { pem: caData } : undefined,
  };
}

function readProxy(text: string): URL {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new Failure('ET_IDENTITY_BINDING', `${PROXY} is not an address.`);
  }
  const faults = [
    url.protocol === 'https:' ? [] : ['does not begin with https://'],
    url.username === '' && url.password === '' ? [] : ['names a user'],
    url.search === '' && !text.includes('?') ? [] : ['has a query'],
    url.hash === '' && !text.includes('#') ? [] : ['has a fragment'],
  ].flat();
  if (faults.length > 0) {
    throw new Failure('ET_IDENTITY_BINDING', `${PROXY} ${faults.join(', and ')}.`);
  }
  return url;
}

/** The address of a request on the proxy: the proxy's own path, then the request's. */
export function throughProxy(binding: IdentityBinding, url: URL): URL {
  const address = new URL(binding.proxy);
  address.pathname = `${binding.proxy.pathname.replace(/\/+$/, '')}${url.pathname}`;
  address.search = url.search;
  return address;
}

/**
 * Returns the pool for the next try. If the binding has authorities, only those are trusted, not the system's. The
 * file is read for each try; a change makes a new pool, and a file that is empty or incomplete during a rotation is
 * ignored. Throws ET_IDENTITY_BINDING if there was no valid one yet.
 */
export function bindingPool(binding: IdentityBinding): () => ConnectionPool {
  let current: { readonly pem: string | undefined; readonly pool: ConnectionPool } | undefined;
  return () => {
    const pem = readAuthorities(binding);
    if (current !== undefined && (pem === undefined || pem === current.pem)) {
      return current.pool;
    }
    if (binding.authorities !== undefined && pem === undefined) {
      throw new Failure(
        'ET_IDENTITY_BINDING',
        `${describeAuthorities(binding)} cannot be read or contains no certificate.`,
      );
    }
    try {
      current = { pem, pool: createPool(binding, pem) };
    } catch {
      if (current === undefined) {
        throw new Failure(
          'ET_IDENTITY_BINDING',
          `${describeAuthorities(binding)} contains no certificate that can be used.`,
        );
      }
    }
    return current.pool;
  };
}

/**
 * The authorities that a pod with an identity binding trusts instead of the agent's. Only a file changes while a step
 * runs: the kubelet brings a new one to the pod up to a minute after the proxy has its new certificate.
 */
export function bindingAuthorities(binding: IdentityBinding): OwnAuthorities {
  const { authorities } = binding;
  return {
    mayChange: authorities !== undefined && 'file' in authorities,
    advice:
      authorities === undefined
        ? `Set ${CA_FILE}: without it, the token proxy of the identity binding needs a certificate that the system trusts.`
        : `Compare the certificate of the token proxy (${PROXY}, ${SERVER_NAME}) with the authorities in ` +
          `${describeAuthorities(binding)}; both come from the AKS identity binding.`,
  };
}

function createPool(binding: IdentityBinding, pem: string | undefined): ConnectionPool {
  return new ConnectionPool({
    // The token proxy is in the cluster, which the agent's own proxy does not reach.
    network: undefined,
    trust: { context: tls.createSecureContext(pem === undefined ? {} : { ca: pem }), wider: undefined },
    ...(binding.serverName === undefined ? {} : { servername: binding.serverName }),
  });
}

function readAuthorities({ authorities }: IdentityBinding): string | undefined {
  if (authorities === undefined) {
    return undefined;
  }
  let pem = '';
  try {
    pem = 'file' in authorities ? readFileSync(authorities.file, 'utf8') : authorities.pem;
  } catch {
    return undefined;
  }
  return /-----BEGIN CERTIFICATE-----[\s\S]+-----END CERTIFICATE-----/.test(pem) ? pem : undefined;
}

function describeAuthorities({ authorities }: IdentityBinding): string {
  return authorities !== undefined && 'file' in authorities
    ? `${CA_FILE} (${printable(authorities.file, 300)})`
    : CA_DATA;
}
