import { readFileSync } from 'node:fs';
import * as http from 'node:http';
import * as https from 'node:https';
import { isIP } from 'node:net';
import { type Duplex, PassThrough } from 'node:stream';
import * as tls from 'node:tls';
import { codeOfNodeError } from './catalogue.ts';
import { errorCode, Failure } from './failure.ts';
import { type ClientCertificate, type HttpProxy, type Network, proxyFor } from './network.ts';
import { TRY_MS } from './retry.ts';

/** The proxy answered CONNECT with a status that opens no tunnel. */
export class ProxyRefusal extends Error {
  readonly status: number;
  /** The header `Retry-After` as it came. */
  readonly retryAfter: string | undefined;

  constructor({ statusCode, headers }: http.IncomingMessage) {
    super(`the proxy answered ${statusCode}`);
    this.status = statusCode ?? 0;
    this.retryAfter = headers['retry-after'];
  }
}

/** The proxy itself could not be reached, or did not answer in HTTP. */
export class ProxyFailure extends Error {}

/** Time for the proxy to open a tunnel: less than a try has, so that a silent proxy is named as what it is. */
const TUNNEL_MS = TRY_MS - 1000;

/** Whom a connection trusts. */
export interface Trust {
  readonly context: tls.SecureContext;
  /** Whom else it trusts, made when a certificate is not from the first; undefined where nobody else is trusted. */
  readonly wider: (() => tls.SecureContext) | undefined;
}

/** Whom one trusts does not change what a certificate is for. */
const OF_ANOTHER_NAME = 'ERR_TLS_CERT_ALTNAME_INVALID';

/**
 * How glibc is to ask the name servers (resolv.conf(5)). With its usual five seconds, twice, one silent server uses up
 * a try, and holds the process after its end; the tries of the wire take the place of the second time.
 */
const NAME_LOOKUP = 'timeout:3 attempts:1';

/** Time for one address of a name before the next is tried too. Node's 250 ms is less than a slow handshake needs. */
const NEXT_ADDRESS_MS = 1000;

type Created = (error: Error | null, socket: Duplex) => void;

export interface PoolOptions {
  /** What decides whether a host is reached through a proxy; undefined goes straight to every host. */
  readonly network: Pick<Network, 'proxy' | 'bypass'> | undefined;
  readonly trust: Trust;
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
  readonly #trust: Trust;
  readonly #warm = new Map<string, Promise<Duplex>>();
  /** Sockets that no request has yet, and that the agent of Node therefore does not know. */
  readonly #opening = new Set<Duplex>();

  constructor({ network, trust, skipCertificateValidation = false, servername }: PoolOptions) {
    super({
      keepAlive: true,
      secureContext: trust.context,
      rejectUnauthorized: !skipCertificateValidation,
      autoSelectFamily: true,
      autoSelectFamilyAttemptTimeout: NEXT_ADDRESS_MS,
      ...(servername === undefined ? {} : { servername }),
    });
    this.#network = network;
    this.#trust = trust;
    process.env['RES_OPTIONS'] ??= NAME_LOOKUP;
  }

  override createConnection(options: https.RequestOptions, created: Created): Duplex | undefined | null {
    const authority = authorityOf(options);
    const warm = this.#warm.get(authority);
    this.#warm.delete(authority);
    if (warm === undefined && this.#trust.wider === undefined && this.#proxyFor(authority) === undefined) {
      return super.createConnection(options, created);
    }
    const connect = (): Promise<Duplex> => this.#connect(options, authority);
    const connecting =
      warm === undefined ? connect() : warm.then((socket) => (socket.destroyed ? connect() : socket), connect);
    connecting.then(
      (socket) => created(null, socket),
      // The stream beside an error is not looked at (Node: _http_agent.js, createSocket).
      (error: Error) => created(error, new PassThrough()),
    );
    return undefined;
  }

  /**
   * Opens a connection that the next request to this host will take, so that its handshake is under way while there is
   * other work. One that fails is forgotten: the request then connects anew, and reports what it meets itself.
   */
  warm(url: URL): void {
    const host = url.hostname.replace(/^\[|\]$/g, '');
    const servername = isIP(host) === 0 ? { servername: host } : {};
    const options: https.RequestOptions = { ...servername, ...this.options, host, port: url.port || 443 };
    const connecting = this.#connect(options, authorityOf(options));
    // What happens to it while it waits is nobody's error either: one that is destroyed is not used.
    connecting.then(
      (socket) => socket.on('error', () => {}),
      () => {},
    );
    this.#warm.set(authorityOf(options), connecting);
  }

  override destroy(): void {
    for (const socket of this.#opening) {
      socket.destroy();
    }
    super.destroy();
  }

  #proxyFor(authority: string): HttpProxy | undefined {
    return this.#network && proxyFor(this.#network, new URL(`https://${authority}`));
  }

  /** Connects with the first trust; where that does not take a certificate, once more with the wider one. */
  async #connect(options: https.RequestOptions, authority: string): Promise<Duplex> {
    const proxy = this.#proxyFor(authority);
    const attempt = async (secureContext: tls.SecureContext): Promise<Duplex> => {
      const { rejectUnauthorized } = this.options;
      const tunnel =
        proxy === undefined
          ? {}
          : { socket: await openTunnel(proxy, authority, { secureContext, rejectUnauthorized }) };
      const secure: https.RequestOptions = { ...options, ...tunnel, ...{ secureContext } };
      const socket = super.createConnection(secure);
      if (!socket) {
        throw new TypeError('no socket');
      }
      this.#opening.add(socket);
      return secured(socket).finally(() => this.#opening.delete(socket));
    };
    try {
      return await attempt(this.#trust.context);
    } catch (error) {
      const { wider } = this.#trust;
      const code = errorCode(error instanceof ProxyFailure ? error.cause : error);
      if (wider === undefined || code === OF_ANOTHER_NAME || codeOfNodeError(code) !== 'ET_CERTIFICATE') {
        throw error;
      }
      return attempt(wider());
    }
  }
}

/** `host:port`, as a tunnel is asked for. */
function authorityOf({ host, port }: https.RequestOptions): string {
  return `${host?.includes(':') ? `[${host}]` : host}:${port ?? 443}`;
}

/** Waits until the certificate of the other side is accepted. */
function secured(socket: Duplex): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    socket.once('secureConnect', () => {
      socket.removeListener('error', reject);
      resolve(socket);
    });
    socket.once('error', reject);
    socket.once('close', () => reject(Object.assign(new Error('closed'), { code: 'ECONNRESET' })));
  });
}

/** Asks the proxy for a tunnel to `authority` (host:port); gives up after the time of one try. */
function openTunnel(
  proxy: HttpProxy,
  authority: string,
  tlsOptions: Pick<tls.ConnectionOptions, 'secureContext' | 'rejectUnauthorized'>,
): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const url = new URL(proxy.url);
    const secure = url.protocol === 'https:';
    const headers: http.OutgoingHttpHeaders = { Host: authority };
    if (proxy.username !== undefined || proxy.password !== undefined) {
      const credentials = `${proxy.username ?? ''}:${proxy.password?.reveal() ?? ''}`;
      headers['Proxy-Authorization'] = `Basic ${Buffer.from(credentials).toString('base64')}`;
    }
    const host = url.hostname.replace(/^\[|\]$/g, '');
    const options = {
      method: 'CONNECT',
      host,
      port: url.port || (secure ? 443 : 80),
      path: authority,
      headers,
      agent: false,
      autoSelectFamily: true,
      autoSelectFamilyAttemptTimeout: NEXT_ADDRESS_MS,
    } as const;
    const request = secure
      ? // Node would take the server's name out of the header Host, which names the host behind the tunnel.
        https.request({ ...options, ...tlsOptions, servername: isIP(host) === 0 ? host : '' })
      : http.request(options);
    const timer = setTimeout(
      () => request.destroy(Object.assign(new Error('the proxy is silent'), { code: 'ETIMEDOUT' })),
      TUNNEL_MS,
    );
    request.once('connect', (response, socket) => {
      clearTimeout(timer);
      // Any 2xx opens the tunnel (RFC 9110, 9.3.6).
      if (response.statusCode !== undefined && response.statusCode >= 200 && response.statusCode <= 299) {
        resolve(socket);
      } else {
        socket.destroy();
        reject(new ProxyRefusal(response));
      }
    });
    // A proxy that refuses may answer as to any other request (Node: 'response' instead of 'connect').
    request.once('response', (response) => {
      clearTimeout(timer);
      request.destroy();
      reject(new ProxyRefusal(response));
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
 * system's and to NODE_EXTRA_CA_CERTS; but where the agent names some, they are usually the ones that count, so they
 * are tried alone first: taking in the system's 150 certificates costs as much time as a request.
 * Throws a Failure for a certificate or key that cannot be used.
 */
export function agentTrust(
  network: Pick<Network, 'authorities' | 'extraAuthoritiesFile' | 'clientCertificate'>,
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
  if (authorities === undefined) {
    return { context: create({}), wider: undefined };
  }
  return {
    context: create({ ca: authorities }),
    wider: () => {
      const context = create({});
      // Node 20 forgets NODE_EXTRA_CA_CERTS when an authority is added to its own.
      for (const pem of [authorities, readExtra(network.extraAuthoritiesFile)]) {
        addAuthorities(context, pem);
      }
      return context;
    },
  };
}

/** Node itself warns of a file that it cannot read, and goes on without it. */
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
