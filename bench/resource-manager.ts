import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { createAuthority } from '../test/cloud/certificates.ts';

/** Azure Resource Manager for an identity without any subscription: all that `az login` asks of it. */
export interface ResourceManager {
  /** The authority that signed its certificate, as PEM. */
  readonly ca: string;
  /** `host:port` where it listens. */
  readonly address: string;
  /** How many requests came since this was asked last. */
  readonly takeRequests: () => number;
  readonly close: () => Promise<void>;
}

/** @param latencyMs asked for each request: how late it is answered */
export async function startResourceManager(latencyMs: () => number): Promise<ResourceManager> {
  const authority = await createAuthority('Resource Manager');
  let requests = 0;
  const certificate = await authority.issue({ name: 'management', hosts: ['management.azure.com'] });
  const server = createServer(certificate, (_, response) => {
    requests++;
    setTimeout(() => response.setHeader('content-type', 'application/json').end('{"value":[]}'), latencyMs());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  // A server that listens on a port has an address of this kind.
  const { port } = server.address() as AddressInfo;
  return {
    ca: authority.pem,
    address: `127.0.0.1:${port}`,
    takeRequests: () => {
      const taken = requests;
      requests = 0;
      return taken;
    },
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
