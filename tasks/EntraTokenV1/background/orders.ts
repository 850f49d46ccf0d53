import type { BindingVariables } from '../id-token/identity-binding.ts';
import type { Network } from '../network/settings.ts';
import { isRecord } from '../text/json.ts';
import { Secret } from '../text/secret.ts';
import type { JobMark, ProcessMark } from './processes.ts';

/**
 * The configuration of the background process. Plain JSON with its secrets in clear text: it is sent through a pipe
 * to the process's standard input, and written nowhere else.
 */
export interface Orders {
  /** The folder of the status for the post-job stage, and of the token file if there is one. */
  readonly folder: string;
  /** The step, and the agent that started it. */
  readonly step: ProcessMark | undefined;
  readonly job: JobMark;
  readonly network: NetworkOrders;
  readonly source: SourceOrders;
  /** The token in the file, where the process is to keep one fresh. */
  readonly file: FileOrders | undefined;
  readonly endpoint: EndpointOrders | undefined;
}

/** How to get ID tokens. */
export type SourceOrders =
  | {
      readonly kind: 'azureDevOps';
      readonly address: string;
      readonly jobToken: string;
      readonly serviceConnectionId: string | undefined;
    }
  | { readonly kind: 'kubernetes'; readonly path: string; readonly binding: BindingVariables }
  /** The one token that came with the connection, where no other can be requested. */
  | { readonly kind: 'lateBound'; readonly token: string };

export interface FileOrders {
  /** When the token in the file expires and how long it lives in all, by our clock. Milliseconds. */
  readonly expiresAt: number;
  readonly lifeMs: number;
}

export interface EndpointOrders {
  readonly clientId: string;
  readonly accessTokens: AccessTokenOrders | undefined;
  readonly idTokens: { readonly secret: string; readonly audience: string } | undefined;
}

/** The exchange of the step, and for which resources it is made. */
export interface AccessTokenOrders {
  readonly secret: string;
  readonly authority: string;
  readonly tenantId: string;
  readonly claims: string | undefined;
  readonly enableCae: boolean;
  readonly resources: readonly OfferedResource[];
}

/** A resource of the step's scopes, and the names under which tools ask for it, its own among them. */
export interface OfferedResource {
  /** What the step itself asks Entra for. */
  readonly scope: string;
  readonly names: readonly string[];
}

/** The network settings with their secrets in clear text. */
export type NetworkOrders = Omit<Network, 'proxy' | 'clientCertificate'> & {
  readonly proxy:
    | { readonly url: string; readonly username: string | undefined; readonly password: string | undefined }
    | undefined;
  readonly clientCertificate:
    | { readonly certificate: string; readonly key: string; readonly passphrase: string | undefined }
    | undefined;
};

/** The network settings with their secrets revealed for the pipe. */
export function networkOrders({ proxy, clientCertificate: client, ...plain }: Network): NetworkOrders {
  return {
    ...plain,
    proxy: proxy && { url: proxy.url, username: proxy.username, password: proxy.password?.reveal() },
    clientCertificate: client && {
      certificate: client.certificate,
      key: client.key.reveal(),
      passphrase: client.passphrase?.reveal(),
    },
  };
}

/** The settings as they were before `networkOrders`. */
export function networkOf({ proxy, clientCertificate: client, ...plain }: NetworkOrders): Network {
  const secret = (value: string | undefined): Secret | undefined =>
    value === undefined ? undefined : Secret.maskedByAgent(value);
  return {
    ...plain,
    proxy: proxy && { url: proxy.url, username: proxy.username, password: secret(proxy.password) },
    clientCertificate: client && {
      certificate: client.certificate,
      key: Secret.maskedByAgent(client.key),
      passphrase: secret(client.passphrase),
    },
  };
}

/** Reads what `JSON.stringify` made of the orders. Throws if they are incomplete, because the step was killed. */
export function readOrders(text: string): Orders {
  const orders: unknown = JSON.parse(text);
  if (!isRecord(orders) || typeof orders['folder'] !== 'string') {
    throw new TypeError('no orders');
  }
  // Written by the same version of the task, in start.ts.
  return orders as unknown as Orders;
}

/** What the background process answers when it is ready, on a pipe that is closed after it. */
export interface Ready {
  /** Where the endpoint listens, where there is one. */
  readonly port?: number;
  /** Node's error code if the process could not listen; then it ends. */
  readonly cannotListen?: string;
}

/** Reads the answer; undefined for anything else. */
export function readReady(text: string): Ready | undefined {
  try {
    const ready: unknown = JSON.parse(text);
    if (!isRecord(ready)) {
      return undefined;
    }
    const { port, cannotListen } = ready;
    return {
      ...(typeof port === 'number' ? { port } : {}),
      ...(typeof cannotListen === 'string' ? { cannotListen } : {}),
    };
  } catch {
    return undefined;
  }
}
