import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { JWTPayload } from 'jose';
import { type ProtectedApi, protectedApi, type Verify } from './api.ts';
import { artifacts } from './artifacts.ts';
import { type Authority, createAuthority, encryptKey, wrongCertificate } from './certificates.ts';
import { databricks } from './databricks.ts';
import { azureDevOps, type DevOps, type IssueIdToken, issueIdToken, issueJobToken, type Job } from './devops.ts';
import { forUsers } from './devops-user.ts';
import {
  type Application,
  applications,
  type Directory,
  defaultClientId,
  entraIssuer,
  type FederatedCredential,
  multitenantClientId,
  partnerTenant,
  publicTenant,
  type Resource,
  type Tenant,
  tenants,
} from './directory.ts';
import { entra } from './entra.ts';
import { type Fault, FaultCounter, type ServiceName, type WrongCertificate } from './faults.ts';
import { federatedCredentials } from './federated-credentials.ts';
import { graph } from './graph.ts';
import { signingKey, verifyJwt } from './keys.ts';
import { type Kubernetes, kubernetes } from './kubernetes.ts';
import { clusterHost, kubernetesApi } from './kubernetes-api.ts';
import { type CloudName, identityBindingAudience } from './national-clouds.ts';
import { devOpsIssuer, disabledConnections, federationsById, organization } from './organization.ts';
import { otherClouds } from './other-clouds.ts';
import { resourceManager } from './resource-manager.ts';
import { resources } from './resources.ts';
import {
  type Answer,
  type Handler,
  json,
  type Listener,
  listen,
  type RecordedRequest,
  type Traffic,
} from './server.ts';
import { type ServiceConnection, serviceConnections } from './service-connections.ts';

export type { IssueIdToken, Job } from './devops.ts';
export type { Application, FederatedCredential, Resource, Tenant } from './directory.ts';
export type { Fault } from './faults.ts';
export type { IssueKubernetesToken, ProjectedVolume } from './kubernetes.ts';
export type { CloudName } from './national-clouds.ts';
export type { Federation } from './organization.ts';
export type { RecordedRequest } from './server.ts';
export type { ServiceConnection } from './service-connections.ts';

export interface CloudOptions {
  /** Default 600. */
  idTokenLifetimeSeconds?: number;
  /** Default 3600, and 86400 for a token with continuous access evaluation. */
  accessTokenLifetimeSeconds?: number;
  /** Added to each request before it is answered. */
  latencyMs?: number;
  /** How far the services' clock is ahead of this machine's; negative for behind. */
  clockSkewSeconds?: number;
  /** Where `ca.pem` and the client certificate are written; default: a new folder, removed by `close()`. */
  folder?: string;
  /** Refuse TLS connections without a client certificate of the cloud's authority. */
  requireClientCertificate?: boolean;
}

export interface Throttle {
  perSecond: number;
  burst: number;
  retryAfterSeconds?: number;
}

export interface Cloud {
  /** PEM file of the authority that signed the servers' certificate. */
  caFile: string;
  /** That authority, for the certificate of another server. */
  ca: Authority;
  /** A certificate of that authority for a client; the key is encrypted. */
  clientCertificate: { certFile: string; keyFile: string; passphrase: string };
  /** The collection URI: `https://localhost:PORT/<organization>/`. */
  devOpsUrl: string;
  /** Entra of the public cloud: `https://localhost:PORT/`. */
  authorityUrl: string;
  /** Entra of each cloud. */
  authorities: Record<CloudName, string>;
  /** The protected API: `GET secrets/{name}`. */
  apiUrl: string;
  api: ProtectedApi;
  /** The real names of the services, as `host:port`, and where each is here: what a proxy resolves. */
  hosts: Record<string, string>;
  job: Job;
  tenants: Tenant[];
  tenantId: string;
  clientId: string;
  /** An application that a second tenant has too. */
  multitenant: { clientId: string; tenantId: string; otherTenantId: string };
  connections: ReturnType<typeof serviceConnections>;
  /** What Azure DevOps' endpoint does, apart from the job: mutable. */
  devOps: DevOps;
  /** Makes another connection known to Azure DevOps; its ID token says what the parameters or `federation` say. */
  addConnection(connection: ServiceConnection, federation?: DevOps['federations'][string]): void;
  federatedCredentials: FederatedCredential[];
  /** What AKS identity bindings allow, through a token proxy alone. */
  identityBindings: FederatedCredential[];
  applications: Application[];
  resources: Resource[];
  /** Everything that Entra knows: mutable. */
  directory: Directory;
  requests: RecordedRequest[];
  /** TCP connections accepted. */
  connectionsOpened: number;
  faults: Fault[];
  throttle?: Throttle | undefined;
  latencyMs: number;
  clockSkewSeconds: number;
  /** The services' clock, in milliseconds. */
  now(): number;
  issueIdToken(overrides?: IssueIdToken): Promise<string>;
  /** Another job token: of another plan, project or job, or one that expires in so many seconds. */
  issueJobToken(overrides?: Partial<Job> & { expiresInSeconds?: number }): string;
  kubernetes: Kubernetes;
  /** The claims of an access token of Entra's that has not expired. Throws for any other. A test may watch it. */
  verifyAccessToken(token: string): Promise<JWTPayload>;
  /** Nothing listens at a service's port until the function that it gives is called. */
  outage(service: 'devops' | 'entra' | 'api'): Promise<() => Promise<void>>;
  /** What the listeners share, for a server of a test's own that belongs to this cloud. */
  traffic: Traffic;
  close(): Promise<void>;
}

/** Starts the services (Entra once for each cloud) on ports of their own on 127.0.0.1. */
export async function startCloud(options: CloudOptions = {}): Promise<Cloud> {
  // Making an RSA key takes the longest of all; the first token waits for what is then left of it.
  signingKey('entra').catch(() => undefined);

  const folder = options.folder ?? (await mkdtemp(join(tmpdir(), 'local-cloud-')));
  const certificates = await makeCertificates();
  const caFile = join(folder, 'ca.pem');
  const clientCertificate = {
    certFile: join(folder, 'client.pem'),
    keyFile: join(folder, 'client.key'),
    passphrase: 'a passphrase: with "signs" & spaces',
  };
  await Promise.all([
    writeFile(caFile, certificates.authority.pem),
    writeFile(clientCertificate.certFile, certificates.client.cert),
    writeFile(clientCertificate.keyFile, encryptKey(certificates.client.key, clientCertificate.passphrase), {
      mode: 0o600,
    }),
  ]);

  const bucket = new TokenBuckets();
  const now = () => Date.now() + cloud.clockSkewSeconds * 1000;
  const traffic: Traffic = {
    requests: [],
    connectionsOpened: 0,
    faults: [],
    counter: new FaultCounter(),
    latencyMs: options.latencyMs ?? 0,
    now,
    throttled: (service) => bucket.judge(cloud.throttle, service),
  };
  const cluster = kubernetes(now);
  const directory: Directory = {
    tenants: tenants(),
    applications: applications(),
    resources: resources(),
    federatedCredentials: federatedCredentials(cluster),
    identityBindings: [
      {
        tenantId: publicTenant.id,
        clientId: defaultClientId,
        issuer: cluster.issuer,
        subject: cluster.subject,
        audience: identityBindingAudience,
      },
    ],
    issuers: {
      [devOpsIssuer(organization.organizationId)]: 'devops',
      [entraIssuer(publicTenant.id)]: 'entra',
      [entraIssuer(partnerTenant.id)]: 'entra',
      [cluster.issuer]: 'kubernetes',
    },
    ...(options.accessTokenLifetimeSeconds === undefined
      ? {}
      : { accessTokenLifetimeSeconds: options.accessTokenLifetimeSeconds }),
    now,
  };
  const verifyAccessToken = async (token: string): Promise<JWTPayload> => {
    const claims = await verifyJwt('entra', token);
    if ((claims.exp ?? 0) * 1000 <= now() || (claims.nbf ?? 0) * 1000 > now()) throw new Error('expired');
    if (claims['idtyp'] !== 'app' || claims['appid'] === undefined) throw new Error('no access token');
    return claims;
  };
  const api: ProtectedApi = {
    audience: 'https://vault.azure.net',
    secrets: { greeting: 'Hello from the protected API', 'database-password': 'not-a-real-password' },
  };

  const start = (service: ServiceName, handler: Handler): Promise<Listener> =>
    listen({
      service,
      traffic,
      handler,
      certificate: certificates.server,
      wrongCertificate: certificates.wrong,
      ...(options.requireClientCertificate ? { clientAuthorities: certificates.authority.pem } : {}),
    });
  const job = newJob();
  const devOps: DevOps = {
    job,
    connections: [],
    federations: federationsById(),
    disabledConnections: disabledConnections(),
    hasOidcToken: true,
    releasedVersion: '7.1',
    jobFinished: false,
    idTokenLifetimeSeconds: options.idTokenLifetimeSeconds ?? 600,
    now,
  };
  const verify: Verify = (token) => cloud.verifyAccessToken(token);
  const repositories = join(folder, 'repositories');
  const listeners = {
    devops: await start(
      'devops',
      forUsers({ organization, verify, folder: repositories, otherwise: azureDevOps(devOps) }),
    ),
    public: await start('entra', entra(directory, 'public')),
    usGov: await start('entra', entra(directory, 'usGov')),
    china: await start('entra', entra(directory, 'china')),
    api: await start('api', protectedApi(api, verify)),
    resourceManager: await start('api', resourceManager(verify)),
    cluster: await start('api', kubernetesApi(verify)),
    graph: await start(
      'api',
      graph(verify, () => directory.applications),
    ),
    databricks: await start('api', databricks(verify)),
    artifacts: await start('api', artifacts(verify)),
    others: await start('api', otherClouds(directory)),
  };
  const origin = (listener: Listener) => `https://localhost:${listener.port}/`;
  const authorities = {
    public: origin(listeners.public),
    usGov: origin(listeners.usGov),
    china: origin(listeners.china),
  };
  const devOpsUrl = `${origin(listeners.devops)}${job.organization}/`;
  const connections = serviceConnections(authorities);
  devOps.connections.push(...Object.values(connections));
  job.oidcRequestUri = `${devOpsUrl}${job.projectId}/_apis/distributedtask/hubs/${job.hub}/plans/${job.planId}/jobs/${job.jobId}/oidctoken`;

  const cloud: Cloud = {
    caFile,
    ca: certificates.authority,
    clientCertificate,
    devOpsUrl,
    authorityUrl: authorities.public,
    authorities,
    apiUrl: origin(listeners.api),
    api,
    hosts: realHosts(listeners, job.organization),
    job,
    tenants: directory.tenants,
    tenantId: publicTenant.id,
    clientId: defaultClientId,
    multitenant: {
      clientId: multitenantClientId,
      tenantId: publicTenant.id,
      otherTenantId: partnerTenant.id,
    },
    connections,
    devOps,
    addConnection(connection, federation) {
      devOps.connections.push(connection);
      const issuer = connection.parameters['workloadIdentityFederationIssuer'];
      const subject = connection.parameters['workloadIdentityFederationSubject'];
      if (federation) devOps.federations[connection.id] = federation;
      else if (issuer && subject) {
        devOps.federations[connection.id] = { issuer, subject, audience: 'api://AzureADTokenExchange' };
      }
    },
    get federatedCredentials() {
      return directory.federatedCredentials;
    },
    set federatedCredentials(value) {
      directory.federatedCredentials = value;
    },
    get identityBindings() {
      return directory.identityBindings;
    },
    set identityBindings(value) {
      directory.identityBindings = value;
    },
    get applications() {
      return directory.applications;
    },
    set applications(value) {
      directory.applications = value;
    },
    get resources() {
      return directory.resources;
    },
    set resources(value) {
      directory.resources = value;
    },
    directory,
    get requests() {
      return traffic.requests;
    },
    set requests(value) {
      traffic.requests = value;
    },
    get connectionsOpened() {
      return traffic.connectionsOpened;
    },
    set connectionsOpened(value) {
      traffic.connectionsOpened = value;
    },
    get faults() {
      return traffic.faults;
    },
    set faults(value) {
      traffic.faults = value;
    },
    get latencyMs() {
      return traffic.latencyMs;
    },
    set latencyMs(value) {
      traffic.latencyMs = value;
    },
    clockSkewSeconds: options.clockSkewSeconds ?? 0,
    now,
    issueIdToken: (overrides) => issueIdToken(devOps, overrides),
    issueJobToken: ({ expiresInSeconds = 48 * 3600, ...other } = {}) =>
      issueJobToken({ ...job, ...other }, now() + expiresInSeconds * 1000),
    kubernetes: cluster,
    verifyAccessToken,
    async outage(service) {
      const stopped = service === 'entra' ? [listeners.public, listeners.usGov, listeners.china] : [listeners[service]];
      const resume = await Promise.all(stopped.map((listener) => listener.pause()));
      return async () => {
        await Promise.all(resume.map((again) => again()));
      };
    },
    traffic,
    async close() {
      await Promise.all(Object.values(listeners).map((listener) => listener.close()));
      if (options.folder === undefined) await rm(folder, { recursive: true, force: true });
    },
  };
  job.jobToken = cloud.issueJobToken();
  return cloud;
}

function newJob(): Job {
  return {
    ...organization,
    hub: 'build',
    planId: '34304abc-4a96-46df-804a-b3683ba7fd1a',
    jobId: 'bde6d2cb-0847-54f8-b066-ca83e951fc62',
    jobToken: '',
    oidcRequestUri: '',
  };
}

/** Every name under which a client may know a service of the cloud. */
const serverNames = [
  'localhost',
  '127.0.0.1',
  '::1',
  'dev.azure.com',
  '*.visualstudio.com',
  '*.dev.azure.com',
  'login.microsoftonline.com',
  'login.windows.net',
  'login.microsoft.com',
  'sts.windows.net',
  'login.microsoftonline.us',
  'login.partner.microsoftonline.cn',
  'login.chinacloudapi.cn',
  'app.vssps.visualstudio.com',
  'management.azure.com',
  '*.vault.azure.net',
  '*.vault.usgovcloudapi.net',
  '*.vault.azure.cn',
  '*.hcp.westeurope.azmk8s.io',
  'graph.microsoft.com',
  '*.7.azuredatabricks.net',
  'sts.eu-west-1.amazonaws.com',
  'sts.googleapis.com',
];

async function makeCertificates() {
  const authority = await createAuthority('Local cloud');
  const server = { name: 'local cloud', hosts: serverNames };
  return {
    authority,
    server: await authority.issue(server),
    client: await authority.issue({ name: 'agent', use: 'client' }),
    wrong: (which: WrongCertificate) => wrongCertificate(which, authority, server),
  };
}

function realHosts(
  listeners: Record<
    CloudName | 'devops' | 'api' | 'resourceManager' | 'cluster' | 'graph' | 'databricks' | 'artifacts' | 'others',
    Listener
  >,
  org: string,
): Record<string, string> {
  const names: Record<keyof typeof listeners, string[]> = {
    devops: ['dev.azure.com', `${org}.visualstudio.com`, 'app.vssps.visualstudio.com'],
    public: ['login.microsoftonline.com', 'login.windows.net', 'login.microsoft.com', 'sts.windows.net'],
    usGov: ['login.microsoftonline.us'],
    china: ['login.partner.microsoftonline.cn', 'login.chinacloudapi.cn'],
    api: ['contoso.vault.azure.net'],
    resourceManager: ['management.azure.com'],
    cluster: [clusterHost],
    graph: ['graph.microsoft.com'],
    databricks: ['adb-1234567890123456.7.azuredatabricks.net'],
    artifacts: ['pkgs.dev.azure.com'],
    others: ['sts.eu-west-1.amazonaws.com', 'sts.googleapis.com'],
  };
  const pairs = Object.entries(listeners).flatMap(([service, listener]) =>
    names[service as keyof typeof names].map((name) => [`${name}:443`, `127.0.0.1:${listener.port}`]),
  );
  return Object.fromEntries(pairs);
}

/** A bucket for each service that fills with time. */
class TokenBuckets {
  readonly #buckets = new Map<ServiceName, { tokens: number; filledAt: number }>();

  judge(throttle: Throttle | undefined, service: ServiceName): Answer | undefined {
    if (throttle === undefined) return undefined;
    const now = performance.now();
    const bucket = this.#buckets.get(service) ?? { tokens: throttle.burst, filledAt: now };
    const filled = bucket.tokens + ((now - bucket.filledAt) / 1000) * throttle.perSecond;
    bucket.tokens = Math.min(throttle.burst, filled);
    bucket.filledAt = now;
    this.#buckets.set(service, bucket);
    if (bucket.tokens >= 1) {
      bucket.tokens -= 1;
      return undefined;
    }
    const headers = { 'retry-after': String(throttle.retryAfterSeconds ?? Math.ceil(1 / throttle.perSecond)) };
    const message = 'TF400733: The request has been canceled: Request was blocked due to exceeding usage of resource.';
    return json(429, service === 'entra' ? { error: 'temporarily_unavailable' } : { message }, headers);
  }
}
