import * as http from 'node:http';
import * as https from 'node:https';
import { type Duplex, PassThrough } from 'node:stream';
import * as tls from 'node:tls';
import { Failure } from './failure.ts';
import { type ClientCertificate, type HttpProxy, type Network, proxyFor } from './network.ts';
import { TRY_MS } from './retry.ts';

/** The proxy answered CONNECT with another status than 200. */
export class ProxyRefusal extends Error {
  readonly status: number;

  constructor(status: number) {
    super(`the proxy answered ${status}`);
    this.status = status;
  }
}

/** The proxy itself could not be reached, or did not answer in HTTP. */
export class ProxyFailure extends Error {}

/** Time for one address of a name before the next is tried too. Node's 250 ms is less than a slow handshake needs. */
const NEXT_ADDRESS_MS = 1000;

export interface PoolOptions {
  /** What decides whether a host is reached through a proxy; undefined goes straight to every host. */
  readonly network: Pick<Network, 'proxy' | 'bypass'> | undefined;
  readonly secureContext: tls.SecureContext;
  readonly skipCertificateValidation?: boolean;
  /** The server name to ask for and to verify, where it is not the host of the address. */
  readonly servername?: string;
}

/**
 * A pool of connections that are kept alive between requests, straight or through the proxy. Own code rather than a
 * proxy package: those write what they send, the proxy's password included, to the debug log of whoever sets DEBUG,
 * and none bounds the time that a silent proxy may take.
 */
export class ConnectionPool extends https.Agent {
  readonly #network: Pick<Network, 'proxy' | 'bypass'> | undefined;

  constructor({ network, secureContext, skipCertificateValidation = false, servername }: PoolOptions) {
    super({
      keepAlive: true,
      secureContext,
      rejectUnauthorized: !skipCertificateValidation,
      autoSelectFamily: true,
      autoSelectFamilyAttemptTimeout: NEXT_ADDRESS_MS,
      ...(servername === undefined ? {} : { servername }),
    });
    this.#network = network;
  }

  override createConnection(
    options: https.RequestOptions,
    created: (error: Error | null, socket: Duplex) => void,
  ): Duplex | undefined | null {
    const host = options.host ?? '';
    const authority = `${host.includes(':') ? `[${host}]` : host}:${options.port ?? 443}`;
    const proxy = this.#network && proxyFor(this.#network, new URL(`https://${authority}`));
    if (proxy === undefined) {
      return super.createConnection(options, created);
    }
    openTunnel(proxy, authority, this.options).then(
      (socket) => {
        const overTunnel: https.RequestOptions & { socket: Duplex } = { ...options, socket };
        const secured = super.createConnection(overTunnel, created);
        if (secured) {
          created(null, secured);
        }
      },
      // The stream beside an error is not looked at (Node: _http_agent.js, createSocket).
      (error: Error) => created(error, new PassThrough()),
    );
    return undefined;
  }
}

/** Asks the proxy for a tunnel to `authority` (host:port); gives up after the time of one try. */
function openTunnel(proxy: HttpProxy, authority: string, tlsOptions: https.AgentOptions): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const url = new URL(proxy.url);
    const secure = url.protocol === 'https:';
    const headers: http.OutgoingHttpHeaders = { Host: authority };
    if (proxy.username !== undefined || proxy.password !== undefined) {
      const credentials = `${proxy.username ?? ''}:${proxy.password?.reveal() ?? ''}`;
      headers['Proxy-Authorization'] = `Basic ${Buffer.from(credentials).toString('base64')}`;
    }
    const options = {
      method: 'CONNECT',
      host: url.hostname.replace(/^\[|\]$/g, ''),
      port: url.port || (secure ? 443 : 80),
      path: authority,
      headers,
      agent: false,
      autoSelectFamily: true,
      autoSelectFamilyAttemptTimeout: NEXT_ADDRESS_MS,
    } as const;
    const request = secure
      ? https.request({
          ...options,
          ...(tlsOptions.secureContext === undefined ? {} : { secureContext: tlsOptions.secureContext }),
          rejectUnauthorized: tlsOptions.rejectUnauthorized,
        })
      : http.request(options);
    const timer = setTimeout(
      () => request.destroy(Object.assign(new Error('the proxy is silent'), { code: 'ETIMEDOUT' })),
      TRY_MS,
    );
    request.once('connect', (response, socket) => {
      clearTimeout(timer);
      if (response.statusCode === 200) {
        resolve(socket);
      } else {
        socket.destroy();
        reject(new ProxyRefusal(response.statusCode ?? 0));
      }
    });
    // A proxy that refuses may answer as to any other request (Node: 'response' instead of 'connect').
    request.once('response', (response) => {
      clearTimeout(timer);
      request.destroy();
      reject(new ProxyRefusal(response.statusCode ?? 0));
    });
    request.on('error', (error) => {
      clearTimeout(timer);
      reject(new ProxyFailure('the proxy failed', { cause: error }));
    });
    request.end();
  });
}

/**
 * The authorities and the client certificate of the agent's configuration. The authorities come in addition to the
 * system's and to NODE_EXTRA_CA_CERTS: giving them as `ca` would replace both, and parse 150 certificates anew.
 * Throws a Failure for a certificate or key that cannot be used.
 */
export function agentSecureContext(network: Pick<Network, 'authorities' | 'clientCertificate'>): tls.SecureContext {
  try {
    const context = tls.createSecureContext(clientOptions(network.clientCertificate));
    if (network.authorities !== undefined) {
      addAuthorities(context, network.authorities);
    }
    return context;
  } catch {
    throw new Failure(
      'ET_CERTIFICATE_FILE',
      'The agent’s client certificate, its key or the authorities cannot be used.',
    );
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
