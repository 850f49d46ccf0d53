import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Cloud } from '../cloud/cloud.ts';
import { aksAppId, clusterHost } from '../cloud/kubernetes-api.ts';
import { startBlobService } from './blob-service.ts';
import { install, NotHere, programs } from './install.ts';
import type { ToolName } from './list.ts';
import { type Recipe, recipe, withProgram } from './recipe.ts';
import type { Surroundings, Trial } from './trial.ts';

const program = (name: string): string => readFileSync(join(programs, name), 'utf8');

const languages = {
  'identity-js': { call: 'node deploy.js', file: 'deploy.js' },
  'identity-python': { call: 'python3 deploy.py', file: 'deploy.py' },
  'identity-go': { call: 'deploy-go', file: undefined },
  'identity-java': { call: 'java Deploy.java', file: 'Deploy.java' },
} satisfies Partial<Record<ToolName, { call: string; file: string | undefined }>>;

/** The minutes for which an SDK presents what it read from the token file; Java's reads it for each token. */
const keptFor: Partial<Record<ToolName, number>> = { 'identity-js': 5, 'identity-python': 10, 'identity-go': 10 };

type Credential = 'DefaultAzureCredential' | 'AzurePipelinesCredential';

/** A program that holds one credential of each SDK, and makes another one. It prints a line for each token. */
function sdks(credential: Credential, given: Recipe, called: string): Trial[] {
  return (['identity-js', 'identity-python', 'identity-go', 'identity-java'] as const).map((tool) => {
    const { call, file } = languages[tool];
    const keepsFileFor = credential === 'DefaultAzureCredential' ? keptFor[tool] : undefined;
    return {
      tools: [tool],
      recipe: withProgram(given, called, `${call} ${credential}`),
      does: `\`${credential}\`: two objects, three tokens for two resources`,
      ...(file === undefined ? {} : { files: { [file]: program(file) } }),
      shows: [/^first: a token$/, /^another resource: a token$/, /^a new credential: a token$/],
      ...(keepsFileFor === undefined ? {} : { keepsFileFor }),
      ...(tool === 'identity-java' ? { prepare: trustForJava } : {}),
    };
  });
}

/** Java reads neither the variables that name a certificate nor the system's certificates. */
async function trustForJava(cloud: Cloud, folder: string): Promise<Surroundings> {
  const store = join(folder, 'trust.p12');
  const given = ['-importcert', '-noprompt', '-alias', 'cloud', '-file', cloud.caFile, '-keystore', store];
  const { error, status } = spawnSync('keytool', [...given, '-storepass', 'changeit', '-storetype', 'PKCS12']);
  if (error !== undefined || status !== 0) throw new NotHere('this machine has no Java');
  const options = [
    '-Djava.net.useSystemProxies=true',
    `-Djavax.net.ssl.trustStore=${store}`,
    '-Djavax.net.ssl.trustStorePassword=changeit',
  ];
  return { environment: { JDK_JAVA_OPTIONS: options.join(' ') } };
}

/** Every recipe of docs/recipes.md that a tool on this machine can be had for. */
export const trials: readonly Trial[] = [
  ...sdks('DefaultAzureCredential', recipe('Azure SDKs'), 'node deploy.js'),
  ...sdks('AzurePipelinesCredential', recipe('AzurePipelinesCredential'), 'dotnet run --project deploy'),
  {
    tools: ['az'],
    recipe: recipe('Azure CLI'),
    does: '`az login --service-principal --federated-token`, then `az group list`',
    shows: [/^storefront /],
    twice: true,
    idTokenLifetime: 60,
  },
  {
    tools: ['kubelogin', 'kubectl'],
    recipe: recipe('kubectl'),
    does: '`kubectl get pods` calls `kubelogin -l workloadidentity`',
    shows: [/^storefront-0 /],
    twice: true,
    prepare: kubeconfig,
  },
  {
    tools: ['azcopy', 'azurite'],
    recipe: recipe('AzCopy'),
    does: '`azcopy copy` of a folder to a blob service (Azurite)',
    files: { 'site/index.html': '<p>Storefront</p>' },
    shows: [/^Final Job Status: Completed$/],
    twice: true,
    prepare: blobs,
  },
  {
    tools: ['terraform', 'azurite'],
    recipe: recipe('Terraform'),
    does: '`terraform apply` with its state in the `azurerm` backend: lock, a resource that takes its time, write, unlock',
    files: { 'main.tf': program('backend.tf') },
    shows: [/^Apply complete! Resources: 1 added/],
    accessTokenLifetime: 15,
    prepare: blobs,
  },
];

async function blobs(cloud: Cloud, folder: string): Promise<Surroundings> {
  const azurite = install('azurite', () => undefined);
  return { close: (await startBlobService(cloud, azurite, folder, ['$web', 'tfstate'])).close };
}

/** What `az aks get-credentials` writes for a cluster that trusts Entra. */
async function kubeconfig(cloud: Cloud, folder: string): Promise<Surroundings> {
  const file = join(folder, 'kubeconfig');
  const get = ['get-token', '--environment', 'AzurePublicCloud', '--tenant-id', cloud.tenantId];
  const ids = ['--server-id', aksAppId, '--client-id', '80faf920-1908-4b52-b5ef-a8e7bedfc67a'];
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'contoso',
    contexts: [{ name: 'contoso', context: { cluster: 'contoso', user: 'contoso' } }],
    clusters: [
      {
        name: 'contoso',
        cluster: {
          server: `https://${clusterHost}:443`,
          'certificate-authority-data': Buffer.from(cloud.ca.pem).toString('base64'),
        },
      },
    ],
    users: [
      {
        name: 'contoso',
        user: {
          exec: {
            apiVersion: 'client.authentication.k8s.io/v1beta1',
            command: 'kubelogin',
            args: [...get, ...ids, '--login', 'devicecode'],
            provideClusterInfo: false,
          },
        },
      },
    ],
  };
  writeFileSync(file, JSON.stringify(config), { mode: 0o600 });
  return { variables: { kubeconfig: file } };
}
