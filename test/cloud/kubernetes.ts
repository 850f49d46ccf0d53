import { randomUUID } from 'node:crypto';
import { chmod, mkdir, readlink, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Signer, signJwt } from './keys.ts';
import { tokenExchangeAudience } from './national-clouds.ts';

export interface IssueKubernetesToken {
  /** Default: the one that public Entra takes. */
  audience?: string | string[];
  /** Claims to add or to replace; `undefined` takes one away. */
  claims?: Record<string, unknown>;
  /** Default 3600. */
  lifetimeSeconds?: number;
  /** Sign with this key instead of the cluster's. */
  signedBy?: Signer;
}

export interface ProjectedVolume {
  /** The path that a pod has in `AZURE_FEDERATED_TOKEN_FILE`. */
  file: string;
  /** Puts another token (default: a new one) in place, as the kubelet does it. */
  rotate(token?: string): Promise<void>;
}

export interface Kubernetes {
  issuer: string;
  /** The subject of the one service account. */
  subject: string;
  /** Signs a token of the service account. */
  issueToken(overrides?: IssueKubernetesToken): Promise<string>;
  /** Lays a volume with the service account's token into a folder, made where it does not exist. */
  writeProjectedVolume(folder: string, token?: string): Promise<ProjectedVolume>;
}

/** Issuer and subject of the cluster's one service account. AKS's issuers end in a slash. */
export const serviceAccount = {
  issuer:
    'https://westeurope.oic.prod-aks.azure.com/8d3f5c1e-7a64-4b0f-9a51-2f6f0c7b4e19/4c8d2a6f-9e1b-4f73-b05a-d7c6e8f90a12/',
  subject: 'system:serviceaccount:pipelines:agent',
};

const fileName = 'azure-identity-token';

/** What a cluster gives the pod of an agent; `now` is the services' clock, in milliseconds. */
export function kubernetes(now: () => number): Kubernetes {
  const issueToken = (overrides: IssueKubernetesToken = {}): Promise<string> => {
    const iat = Math.floor(now() / 1000);
    const [, , namespace, name] = serviceAccount.subject.split(':');
    const claims: Record<string, unknown> = {
      aud: [overrides.audience ?? tokenExchangeAudience.public].flat(),
      exp: iat + (overrides.lifetimeSeconds ?? 3600),
      iat,
      iss: serviceAccount.issuer,
      jti: randomUUID(),
      'kubernetes.io': {
        namespace,
        node: { name: 'aks-agents-31415926-vmss000002', uid: '1b2c3d4e-5f60-4718-8293-a4b5c6d7e8f9' },
        pod: { name: 'agent-6c9f8d7b5-x2x4z', uid: '0a9b8c7d-6e5f-4a3b-92c1-d0e1f2a3b4c5' },
        serviceaccount: { name, uid: 'f0e1d2c3-b4a5-4968-8778-695a4b3c2d1e' },
      },
      nbf: iat,
      sub: serviceAccount.subject,
      ...overrides.claims,
    };
    for (const key of Object.keys(claims)) if (claims[key] === undefined) delete claims[key];
    return signJwt(overrides.signedBy ?? 'kubernetes', claims);
  };
  return {
    ...serviceAccount,
    issueToken,
    writeProjectedVolume: (folder, token) => writeProjectedVolume(folder, issueToken, token),
  };
}

/**
 * The layout of a projected volume: the file is a link through `..data`, itself a link to a folder with a time in its
 * name. A rotation writes a new folder, and replaces `..data` with one rename, so that no reader sees half of it.
 */
async function writeProjectedVolume(
  folder: string,
  issueToken: () => Promise<string>,
  first?: string,
): Promise<ProjectedVolume> {
  const data = join(folder, '..data');
  await mkdir(folder, { recursive: true });
  let count = 0;
  const write = async (token: string): Promise<void> => {
    const time = new Date().toISOString().replace(/[-T:]/g, '_').slice(0, 19);
    count += 1;
    const current = `..${time}.${String(count).padStart(9, '0')}`;
    await mkdir(join(folder, current));
    await writeFile(join(folder, current, fileName), token);
    // As with fsGroup: the pod's group may read it, nobody else.
    await chmod(join(folder, current, fileName), 0o640);
    const previous = await readlink(data).catch(() => undefined);
    await symlink(current, join(folder, '..data_tmp'));
    await rename(join(folder, '..data_tmp'), data);
    if (previous !== undefined) await rm(join(folder, previous), { recursive: true });
  };
  await write(first ?? (await issueToken()));
  const file = join(folder, fileName);
  await symlink(join('..data', fileName), file);
  return { file, rotate: async (token) => write(token ?? (await issueToken())) };
}
