import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { strToU8, zipSync } from 'fflate';
import type { Cloud } from '../cloud/cloud.ts';
import { aksAppId, clusterHost } from '../cloud/kubernetes-api.ts';
import { startSqlServer } from '../cloud/sql.ts';
import { startBlobService } from './blob-service.ts';
import { install, NotHere } from './install.ts';
import type { ToolName } from './list.ts';
import type { Surroundings } from './trial.ts';

/** Java reads neither the variables that name a certificate and a proxy nor the system's certificates. */
export async function trustForJava(cloud: Cloud, folder: string): Promise<Surroundings> {
  const store = join(folder, 'trust.p12');
  const given = ['-importcert', '-noprompt', '-alias', 'cloud', '-file', cloud.caFile, '-keystore', store];
  const { error, status } = spawnSync('keytool', [...given, '-storepass', 'changeit', '-storetype', 'PKCS12']);
  if (error !== undefined || status !== 0) throw new NotHere('this machine has no Java');
  const trust = [`-Djavax.net.ssl.trustStore=${store}`, '-Djavax.net.ssl.trustStorePassword=changeit'];
  return { environment: { JDK_JAVA_OPTIONS: ['-Djava.net.useSystemProxies=true', ...trust].join(' ') } };
}

/** Azurite, with the containers that the recipes use. */
export async function blobs(cloud: Cloud, folder: string): Promise<Surroundings> {
  const azurite = install('azurite', () => undefined);
  const { close } = await startBlobService(cloud, azurite, folder, ['$web', 'tfstate']);
  return { close };
}

/**
 * A database server. Its name would have to be resolved, which no proxy does for a database: it is at an address.
 * @param separator what stands between address and port
 */
export async function database(
  cloud: Cloud,
  separator: string,
): Promise<Surroundings & { close: () => Promise<void> }> {
  const certificate = await cloud.ca.issue({ name: 'database', hosts: ['127.0.0.1'] });
  const server = await startSqlServer(
    (token) => cloud.verifyAccessToken(token),
    certificate,
    `https://login.microsoftonline.com/${cloud.tenantId}`,
  );
  return { environment: { SQL_SERVER: `127.0.0.1${separator}${server.port}` }, close: server.close };
}

/** What `az aks get-credentials` writes for a cluster that trusts Entra. */
export async function kubeconfig(cloud: Cloud, folder: string): Promise<Surroundings> {
  const file = join(folder, 'kubeconfig');
  const ids = ['--server-id', aksAppId, '--client-id', '80faf920-1908-4b52-b5ef-a8e7bedfc67a'];
  const get = ['get-token', '--environment', 'AzurePublicCloud', '--tenant-id', cloud.tenantId, ...ids];
  const exec = {
    apiVersion: 'client.authentication.k8s.io/v1beta1',
    command: 'kubelogin',
    args: [...get, '--login', 'devicecode'],
    provideClusterInfo: false,
  };
  const authority = Buffer.from(cloud.ca.pem).toString('base64');
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'contoso',
    contexts: [{ name: 'contoso', context: { cluster: 'contoso', user: 'contoso' } }],
    clusters: [
      { name: 'contoso', cluster: { server: `https://${clusterHost}:443`, 'certificate-authority-data': authority } },
    ],
    users: [{ name: 'contoso', user: { exec } }],
  };
  writeFileSync(file, JSON.stringify(config), { mode: 0o600 });
  return { variables: { kubeconfig: file } };
}

/** A mirror of Terraform's registry that has one provider, in a version of the mirror's own. */
export function provider(name: ToolName, source: string): (cloud: Cloud, folder: string) => Promise<Surroundings> {
  return async (_, folder) => {
    const program = `terraform-provider-${name}`;
    const { path } = install(name, () => undefined);
    const found = path.map((one) => join(one, program)).find((one) => existsSync(one));
    const version = '0.1.0';
    const place = join(folder, 'mirror', 'registry.terraform.io', source, name, version, 'linux_amd64');
    mkdirSync(place, { recursive: true });
    symlinkSync(found ?? whereIs(program), join(place, `${program}_v${version}`));
    const file = join(folder, 'terraform.rc');
    writeFileSync(
      file,
      `provider_installation {\n  filesystem_mirror {\n    path = "${join(folder, 'mirror')}"\n  }\n}\n`,
    );
    return { environment: { TF_CLI_CONFIG_FILE: file } };
  };
}

function whereIs(command: string): string {
  return spawnSync('sh', ['-c', `command -v ${command}`], { encoding: 'utf8' }).stdout.trim();
}

/** A wheel, as a build leaves it in the checkout. */
export async function wheel(_: Cloud, folder: string): Promise<Surroundings> {
  const metadata = 'Metadata-Version: 2.1\nName: contoso-greeting\nVersion: 1.0.0\n';
  const info = 'contoso_greeting-1.0.0.dist-info';
  const files: Record<string, string> = {
    'contoso_greeting.py': 'GREETING = "Hello"\n',
    [`${info}/METADATA`]: metadata,
    [`${info}/WHEEL`]: 'Wheel-Version: 1.0\nGenerator: contoso\nRoot-Is-Purelib: true\nTag: py3-none-any\n',
  };
  files[`${info}/RECORD`] = [...Object.keys(files), `${info}/RECORD`].map((name) => `${name},,\n`).join('');
  const zipped = zipSync(Object.fromEntries(Object.entries(files).map(([name, text]) => [name, strToU8(text)])));
  mkdirSync(join(folder, 'checkout', 'dist'), { recursive: true });
  writeFileSync(join(folder, 'checkout', 'dist', 'contoso_greeting-1.0.0-py3-none-any.whl'), zipped);
  return {};
}
