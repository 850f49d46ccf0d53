import * as https from 'node:https';
import { isIP } from 'node:net';
import { type Duplex, PassThrough } from 'node:stream';
import type * as tls from 'node:tls';
import { codeOfNodeError } from '../failure/catalogue.ts';
import { errorCode } from '../failure/failure.ts';
import { setForProcess } from '../origins/process.ts';
import { type HttpProxy, type Network, proxyFor } from './settings.ts';
import type { Trust } from './trust.ts';
import { NEXT_ADDRESS_MS, openTunnel, ProxyFailure } from './tunnel.ts';

/** Whom one trusts does not change what a certificate is for. */
const OF_ANOTHER_NAME = 'ERR_TLS_CERT_ALTNAME_INVALID';

/** True for Node's code of a certificate that other authorities might vouch for. */
export function isUntrusted(code: string | undefined): boolean {
  return code !== OF_ANOTHER_NAME && codeOfNodeError(code) === 'ET_CERTIFICATE';
}

/**
 * How glibc is to ask the name servers (resolv.conf(5)). With its usual five seconds, twice, one silent server uses up
 * a try, and holds the process after its end; the tries of the wire take the place of the second time.
 */
const NAME_LOOKUP = 'timeout:3 attempts:1';

/**
 * A connection that has waited this long is closed: sooner than servers and firewalls close theirs, some of them without
 * a word. Only with a limit of its own does Node 20 keep to a shorter one that the server names (`Keep-Alive:
 * timeout=N`; Node: _http_agent.js, keepSocketAlive).
 */
const IDLE_MS = 30_000;

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
      timeout: IDLE_MS,
      secureContext: trust.context,
      rejectUnauthorized: !skipCertificateValidation,
      autoSelectFamily: true,
      autoSelectFamilyAttemptTimeout: NEXT_ADDRESS_MS,
      ...(servername === undefined ? {} : { servername }),
    });
    this.#network = network;
    this.#trust = trust;
    setForProcess('RES_OPTIONS', NAME_LOOKUP);
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
      warm === undefined
        ? connect()
        : warm.then(afterEvents, () => undefined).then((socket) => (socket && isOpen(socket) ? socket : connect()));
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
    // What happens to it while it waits is nobody's error either: one that has ended is not used. Its end is only seen
    // where it is read, and after an alert of TLS it is still open. No request holds a connection as long as one may wait.
    connecting.then(
      (socket) =>
        socket
          .on('error', () => socket.destroy())
          .once('timeout', () => socket.destroy())
          .resume(),
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
      if (wider === undefined || !isUntrusted(code)) {
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

/** Has the socket take notice of what has happened to it: its end may be the next event of the same turn. */
function afterEvents(socket: Duplex): Promise<Duplex> {
  return new Promise((resolve) => setImmediate(resolve, socket));
}

function isOpen({ destroyed, readable, writable }: Duplex): boolean {
  return !destroyed && readable && writable;
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
