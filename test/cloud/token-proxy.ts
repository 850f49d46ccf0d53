import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createAuthority, wrongCertificate } from './certificates.ts';
import type { Cloud } from './cloud.ts';
import { entra } from './entra.ts';
import { type Handler, json, listen, type RecordedRequest } from './server.ts';

export interface TokenProxyOptions {
  /** The cloud whose Entra it stands before, whose faults it has and where its requests are recorded. */
  cloud: Cloud;
  /** The server name that clients must send; no host of that name exists. */
  serverName?: string;
  /** Where the proxy is mounted: without a trailing slash. */
  pathPrefix?: string;
}

export interface TokenProxy {
  /** What `AZURE_KUBERNETES_TOKEN_PROXY` is. */
  url: string;
  /** What `AZURE_KUBERNETES_SNI_NAME` is. */
  serverName: string;
  /** What `AZURE_KUBERNETES_CA_FILE` is: the proxy's own authority, that no system trusts. */
  caFile: string;
  /** What `AZURE_KUBERNETES_CA_DATA` is. */
  readonly caPem: string;
  /** Its requests; they are among the cloud's too, as those of the service `tokenProxy`. */
  readonly requests: RecordedRequest[];
  /** Server names that clients sent, in the order of their connections; `undefined` where none was sent. */
  serverNames: (string | undefined)[];
  /** A new authority for the server's certificate; the CA file is replaced, unless told not to be. */
  rotateAuthority(options?: { writeCaFile?: boolean }): Promise<void>;
  /** Replaces the CA file by one of the present authority. */
  writeCaFile(): Promise<void>;
  close(): Promise<void>;
}

/**
 * The proxy that AKS runs for identity bindings: TLS by an authority of its own under a name of its own, and behind
 * it, below a path of its own, the token endpoint for Kubernetes tokens of the audience `api://AKSIdentityBinding`.
 */
export async function startTokenProxy(options: TokenProxyOptions): Promise<TokenProxy> {
  const { cloud, serverName = '4c8d2a6f9e1b4f73.ests.aks', pathPrefix = '/token-proxy' } = options;
  const folder = await mkdtemp(join(tmpdir(), 'token-proxy-'));
  const caFile = join(folder, 'ca.crt');
  const subject = { name: serverName, hosts: [serverName] };
  let authority = await createAuthority('AKS identity binding');
  const writeCaFile = async () => {
    await writeFile(`${caFile}.new`, authority.pem);
    await rename(`${caFile}.new`, caFile);
  };
  await writeCaFile();
  const serverNames: (string | undefined)[] = [];
  const exchange = entra(cloud.directory, 'public', 'identityBinding');
  const handler: Handler = (request) => {
    if (request.serverName !== serverName) return json(421, { message: 'no such server' });
    if (!request.url.pathname.startsWith(`${pathPrefix}/`)) return json(404, { message: 'no such path' });
    const url = new URL(request.url.pathname.slice(pathPrefix.length) + request.url.search, request.url);
    return exchange({ ...request, url });
  };
  const listener = await listen({
    service: 'tokenProxy',
    traffic: cloud.traffic,
    handler,
    certificate: await authority.issue(subject),
    wrongCertificate: (which) => wrongCertificate(which, authority, subject),
    requiredServerName: serverName,
    onServerName: (name) => serverNames.push(name),
  });
  return {
    url: `https://127.0.0.1:${listener.port}${pathPrefix}`,
    serverName,
    caFile,
    get caPem() {
      return authority.pem;
    },
    get requests() {
      return cloud.requests.filter((request) => request.service === 'tokenProxy');
    },
    serverNames,
    async rotateAuthority({ writeCaFile: write = true } = {}) {
      authority = await createAuthority('AKS identity binding');
      listener.replaceCertificate(await authority.issue(subject));
      if (write) await writeCaFile();
    },
    writeCaFile,
    async close() {
      await listener.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
