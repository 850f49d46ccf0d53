import { readFileSync } from 'node:fs';
import * as tls from 'node:tls';
import { Failure } from '../failure/failure.ts';
import type { ClientCertificate } from './certificate-files.ts';
import type { Network } from './settings.ts';

/** Whom a connection trusts. */
export interface Trust {
  readonly context: tls.SecureContext;
  /** Further authorities, loaded if a certificate is not from the first ones; undefined if there are none. */
  readonly wider: (() => tls.SecureContext) | undefined;
}

/**
 * The authorities and the client certificate of the agent's configuration. The authorities come in addition to the
 * system's and to NODE_EXTRA_CA_CERTS; but those of the agent are usually the ones that are needed, so they are tried
 * alone first: loading the system's 150 certificates takes as long as a request. Throws a Failure for a certificate
 * or key that cannot be used.
 */
export function agentTrust(
  network: Pick<Network, 'authorities' | 'extraAuthoritiesFile' | 'bundledAuthoritiesOnly' | 'clientCertificate'>,
): Trust {
  const create = (options: tls.SecureContextOptions): tls.SecureContext => {
    try {
      return tls.createSecureContext({ ...clientOptions(network.clientCertificate), ...options });
    } catch {
      throw new Failure(
        'ET_CERTIFICATE_FILE',
        'The agent’s client certificate, its key or the authorities cannot be used.',
      );
    }
  };
  const { authorities } = network;
  // Node loads what its variables name before this program runs, so its default store is not used if they are not
  // trusted.
  const others = network.bundledAuthoritiesOnly
    ? [...tls.rootCertificates, readExtra(network.extraAuthoritiesFile)].filter((pem) => pem !== '')
    : undefined;
  if (authorities === undefined) {
    return { context: create(others === undefined ? {} : { ca: others }), wider: undefined };
  }
  return {
    context: create({ ca: authorities }),
    wider: () => {
      if (others !== undefined) {
        return create({ ca: [...others, authorities] });
      }
      const context = create({});
      // Node 20 forgets NODE_EXTRA_CA_CERTS when an authority is added to its own.
      for (const pem of [authorities, readExtra(network.extraAuthoritiesFile)]) {
        addAuthorities(context, pem);
      }
      return context;
    },
  };
}

/** Node itself warns of a file that it cannot read, and continues without it. */
function readExtra(file: string | undefined): string {
  try {
    return file === undefined ? '' : readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

function clientOptions(client: ClientCertificate | undefined): tls.SecureContextOptions {
  if (client === undefined) {
    return {};
  }
  const passphrase = client.passphrase?.reveal();
  return {
    cert: client.certificate,
    key: client.key.reveal(),
    ...(passphrase === undefined ? {} : { passphrase }),
  };
}

/** `SecureContext.context` is OpenSSL's own; Node leaves it untyped. */
function addAuthorities(context: tls.SecureContext, pem: string): void {
  if (pem === '') {
    return;
  }
  const native: unknown = context.context;
  if (typeof native !== 'object' || native === null || !('addCACert' in native)) {
    throw new TypeError('no addCACert');
  }
  const { addCACert } = native;
  if (typeof addCACert !== 'function') {
    throw new TypeError('no addCACert');
  }
  addCACert.call(native, pem);
}
