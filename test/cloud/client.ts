import type http from 'node:http';
import https from 'node:https';

export interface ClientRequest {
  method?: string;
  headers?: Record<string, string>;
  body?: string;
  /** The fields of a form; sent as the body. */
  form?: Record<string, string>;
  /** Authorities to trust, PEM; without it, the system's. */
  ca?: string;
  /** Server name to send instead of the host. */
  serverName?: string;
  tls?: https.RequestOptions;
}

export interface ClientAnswer {
  status: number;
  statusText: string;
  headers: http.IncomingHttpHeaders;
  text: string;
  /** The body as JSON. Throws where it is none. */
  json(): Record<string, unknown>;
}

/** One request on a connection of its own, no redirect followed. Rejects where the answer does not come whole. */
export function send(url: string, options: ClientRequest = {}): Promise<ClientAnswer> {
  const body = options.form === undefined ? (options.body ?? '') : new URLSearchParams(options.form).toString();
  const method = options.method ?? (options.form === undefined && options.body === undefined ? 'GET' : 'POST');
  const formHeaders = options.form === undefined ? {} : { 'content-type': 'application/x-www-form-urlencoded' };
  return new Promise((resolve, reject) => {
    const request = https.request(
      url,
      {
        method,
        headers: {
          ...formHeaders,
          ...(method === 'GET' ? {} : { 'content-length': String(Buffer.byteLength(body)) }),
          ...options.headers,
        },
        agent: false,
        ...(options.ca === undefined ? {} : { ca: options.ca }),
        ...(options.serverName === undefined ? {} : { servername: options.serverName }),
        ...options.tls,
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => {
          const text = Buffer.concat(chunks).toString('utf8');
          resolve({
            status: response.statusCode ?? 0,
            statusText: response.statusMessage ?? '',
            headers: response.headers,
            text,
            json: () => JSON.parse(text) as Record<string, unknown>,
          });
        });
      },
    );
    request.on('error', reject);
    request.end(body);
  });
}
