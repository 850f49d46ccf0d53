import * as http from 'node:http';
import * as https from 'node:https';
import { isIP } from 'node:net';
import type { Duplex } from 'node:stream';
import type * as tls from 'node:tls';
import { TRY_MS } from './retry.ts';
import type { HttpProxy } from './settings.ts';

/** The proxy answered CONNECT with a status that opens no tunnel. */
export class ProxyRefusal extends Error {
  readonly status: number;
  /** The header `Retry-After` as it came. */
  readonly retryAfter: string | undefined;
  /** The authentication schemes that it offers, of those that are known; undefined if it names none. */
  readonly schemes: readonly string[] | undefined;
  /** Whether we sent credentials. */
  readonly hadCredentials: boolean;

  constructor({ statusCode, headers }: http.IncomingMessage, hadCredentials: boolean) {
    super(`the proxy answered ${statusCode}`);
    this.status = statusCode ?? 0;
    this.retryAfter = headers['retry-after'];
    this.schemes = schemesIn(headers['proxy-authenticate']);
    this.hadCredentials = hadCredentials;
  }
}

/** Schemes that proxies ask for (IANA, HTTP Authentication Schemes; NTLM is Microsoft's own). */
const SCHEMES = ['Basic', 'Bearer', 'Digest', 'Kerberos', 'Negotiate', 'NTLM'];

function schemesIn(header: string | string[] | undefined): string[] | undefined {
  const text = [header ?? []].flat().join(', ');
  const found = SCHEMES.filter((scheme) => new RegExp(`(?:^|,)\\s*${scheme}(?=[\\s,]|$)`, 'i').test(text));
  return found.length === 0 ? undefined : found;
}

/** The proxy itself could not be reached, or did not send an HTTP response. */
export class ProxyFailure extends Error {}

/**
 * Time for the proxy to open a tunnel: less than that of a try, so that the error names a proxy that does not
 * respond.
 */
const TUNNEL_MS = TRY_MS - 1000;

/**
 * Time for one address of a name before the next one is tried as well. Node's 250 ms is less than a slow handshake
 * needs.
 */
export const NEXT_ADDRESS_MS = 1000;

/** Asks the proxy for a tunnel to `authority` (host:port); gives up after the time of one try. */
export function openTunnel(
  proxy: HttpProxy,
  authority: string,
  tlsOptions: Pick<tls.ConnectionOptions, 'secureContext' | 'rejectUnauthorized'>,
): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const url = new URL(proxy.url);
    const secure = url.protocol === 'https:';
    const headers: http.OutgoingHttpHeaders = { Host: authority };
    const hasCredentials = proxy.username !== undefined || proxy.password !== undefined;
    if (hasCredentials) {
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
        reject(new ProxyRefusal(response, hasCredentials));
      }
    });
    // A proxy that refuses may respond as to any other request (Node: 'response' instead of 'connect').
    request.once('response', (response) => {
      clearTimeout(timer);
      request.destroy();
      reject(new ProxyRefusal(response, hasCredentials));
    });
    request.on('error', (error) => {
      clearTimeout(timer);
      reject(new ProxyFailure('the proxy failed', { cause: error }));
    });
    request.end();
  });
}
