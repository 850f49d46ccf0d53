import { createHmac, randomUUID, timingSafeEqual } from 'node:crypto';
import { answers, devOpsError } from './faults.ts';
import { type Signer, signJwt } from './keys.ts';
import { devOpsIssuer, type Federation, type Organization, pipelineFederation } from './organization.ts';
import { type Answer, type Handler, json, type ServiceRequest } from './server.ts';
import type { ServiceConnection } from './service-connections.ts';

/** The one job that exists, as a step of it sees it. */
export interface Job extends Organization {
  /** `build`, or `release` for a classic release. */
  hub: string;
  planId: string;
  jobId: string;
  /** The token of the job: `System.AccessToken`. */
  jobToken: string;
  /** `System.OidcRequestUri`: the endpoint, with no query. */
  oidcRequestUri: string;
}

/** The Azure DevOps service's own state, which a test may change while it runs. */
export interface DevOps {
  job: Job;
  connections: ServiceConnection[];
  /** Whom the ID token of each federated connection names, by the connection's ID. */
  federations: Record<string, Federation>;
  /** IDs of the connections that an administrator disabled. */
  disabledConnections: string[];
  /** IDs of the connections that the stage refers to; default: all. */
  referencedConnections?: string[];
  /** `false` for Azure DevOps Server, which has no `oidctoken` endpoint. */
  hasOidcToken: boolean;
  /** The API version that needs no `-preview`; `0.0` where the endpoint is a preview still. */
  releasedVersion: string;
  /** The job is over: its token is good for nothing. */
  jobFinished: boolean;
  /** Lifetime of ID tokens, in seconds. */
  idTokenLifetimeSeconds: number;
  /** The services' clock, in milliseconds. */
  now(): number;
}

const oidcTokenLocation = '69a319f4-28c1-4bfd-93e6-ea0ff5c6f1a2';
const distributedTaskArea = 'a85b8835-c1a1-4aac-ae97-1c3d0ba72dbd';
const distributedTask = 'Microsoft.TeamFoundation.DistributedTask.WebApi';
const maximumVersion = 7.2;
const jobTokenKey = randomUUID();

/** The token that a job of this organization gets, signed so that the service knows it again. */
export function issueJobToken(
  job: Pick<Job, 'organizationId' | 'projectId' | 'planId' | 'jobId'>,
  expiresAt: number,
): string {
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const body = `${part({ typ: 'JWT', alg: 'HS256' })}.${part({
    nameid: '3f8c0b7e-1d2a-4b6c-9e5f-7a8b9c0d1e2f',
    scp: 'app_token',
    aui: job.planId,
    sid: job.jobId,
    oid: job.organizationId,
    prj: job.projectId,
    iss: 'app.vstoken.visualstudio.com',
    aud: `app.vstoken.visualstudio.com|vso:${job.organizationId}`,
    nbf: Math.floor(expiresAt / 1000) - 48 * 3600,
    exp: Math.floor(expiresAt / 1000),
  })}`;
  return `${body}.${createHmac('sha256', jobTokenKey).update(body).digest('base64url')}`;
}

/** The claims of a job token of this organization that has not expired, or undefined. */
function readJobToken(token: string, job: Job, now: number): Record<string, unknown> | undefined {
  const cut = token.lastIndexOf('.');
  const expected = createHmac('sha256', jobTokenKey).update(token.slice(0, cut)).digest();
  const presented = Buffer.from(token.slice(cut + 1), 'base64url');
  if (presented.length !== expected.length || !timingSafeEqual(presented, expected)) return undefined;
  const claims: Record<string, unknown> = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
  const expired = Number(claims['exp']) * 1000 <= now;
  return expired || claims['oid'] !== job.organizationId ? undefined : claims;
}

export interface IssueIdToken {
  /** Name or ID of a service connection; without one, the token is for the pipeline itself. */
  connection?: string;
  /** Claims to add or to replace; `undefined` takes one away. */
  claims?: Record<string, unknown>;
  lifetimeSeconds?: number;
  /** Sign with this key instead of the issuer's. */
  signedBy?: Signer;
}

/** Signs an ID token as the endpoint would. Throws for a connection that does not exist. */
export async function issueIdToken(devops: DevOps, overrides: IssueIdToken = {}): Promise<string> {
  const { connection } = overrides;
  const found = connection === undefined ? undefined : findConnection(devops, connection);
  const federation = found === undefined ? pipelineFederation : devops.federations[found.id];
  if ((connection !== undefined && found === undefined) || federation === undefined) {
    throw new Error(`no federated service connection ${connection}`);
  }
  const { job } = devops;
  const iat = Math.floor(devops.now() / 1000);
  const shared = {
    jti: randomUUID(),
    sub: federation.subject,
    aud: federation.audience,
    iss: federation.issuer,
    nbf: iat,
    exp: iat + (overrides.lifetimeSeconds ?? devops.idTokenLifetimeSeconds),
    iat,
  };
  const fromDevOps = federation.issuer === devOpsIssuer(job.organizationId);
  const claims = fromDevOps
    ? {
        ...shared,
        org_id: job.organizationId,
        prj_id: job.projectId,
        def_id: '42',
        rpo_id: '0f1e2d3c-4b5a-4697-8879-6a5b4c3d2e1f',
        rpo_uri: `https://dev.azure.com/${job.organization}/${job.project}/_git/${job.project}`,
        rpo_ver: '8c1f0de2b3a495867f6e5d4c3b2a19080f7e6d5c',
        rpo_ref: 'refs/heads/main',
        run_id: '20417',
      }
    : { ...shared, aio: randomUUID(), idtyp: 'app', tid: federation.issuer.split('/')[3], ver: '2.0' };
  const signer = overrides.signedBy ?? (fromDevOps ? 'devops' : 'entra');
  return signJwt(signer, Object.fromEntries(Object.entries({ ...claims, ...overrides.claims }).filter(hasValue)));
}

const hasValue = ([, value]: [string, unknown]): boolean => value !== undefined;

const findConnection = (devops: DevOps, nameOrId: string): ServiceConnection | undefined =>
  devops.connections.find((c) => c.id === nameOrId.toLowerCase() || c.name === nameOrId);

/** Azure DevOps: the `oidctoken` endpoint, and the look-ups that its client library makes first. */
export function azureDevOps(devops: DevOps): Handler {
  return async (request) => {
    const answer = await route(devops, request);
    return { ...answer, headers: { ...answer.headers, ...commonHeaders() } };
  };
}

async function route(devops: DevOps, request: ServiceRequest): Promise<Answer> {
  const { job } = devops;
  const path = pathInOrganization(job, request);
  const authorization = request.headers.authorization ?? '';
  // A personal access token is refused by the endpoint without a word.
  if (/^basic /i.test(authorization)) return { status: 401, headers: challenges(), body: '' };
  const token = /^bearer (.*)$/i.exec(authorization)?.[1]?.trim() ?? '';
  const claims = token === '' || path === undefined ? undefined : readJobToken(token, job, devops.now());
  if (claims === undefined || path === undefined) return notSignedIn(request, token !== '');

  const area = /^(?:[^/]+\/)?_apis(?:\/([^/]+))?\/?$/i.exec(path);
  if (area && request.method === 'OPTIONS') return json(200, list(locations(devops, area[1])));
  if (request.method === 'GET') {
    const lookup = /^_apis\/(resourceareas|connectiondata)(?:\/([^/]+))?\/?$/i.exec(path);
    if (lookup?.[1]?.toLowerCase() === 'resourceareas') return resourceAreas(request, lookup[2]);
    if (lookup) return json(200, connectionData(job));
  }
  const endpoint =
    /^([^/]+)\/_apis\/distributedtask\/hubs\/([^/]+)\/plans\/([^/]+)\/jobs\/([^/]+)\/oidctoken\/?$/i.exec(path);
  if (!endpoint || !devops.hasOidcToken) return noSuchResource(request);
  if (request.method !== 'POST') {
    const Message = `The requested resource does not support http method '${request.method}'.`;
    return json(405, { count: 1, value: { Message } }, { allow: 'POST' });
  }
  const [project = '', hub = '', planId = '', jobId = ''] = endpoint.slice(1).map(decodeURIComponent);
  return oidcToken(devops, request, { project, hub, planId, jobId }, claims);
}

async function oidcToken(
  devops: DevOps,
  request: ServiceRequest,
  asked: { project: string; hub: string; planId: string; jobId: string },
  claims: Record<string, unknown>,
): Promise<Answer> {
  const { job } = devops;
  const wrongVersion = judgeVersion(devops, request);
  if (wrongVersion) return wrongVersion;
  const type = request.headers['content-type'];
  if (request.bodyText !== '' && !/^application\/json\b/i.test(type ?? '')) {
    const Message = `The request entity's media type '${type}' is not supported for this resource.`;
    return json(415, { count: 1, value: { Message } });
  }
  const same = (a: string, b: string) => a.toLowerCase() === b.toLowerCase();
  if (!same(asked.project, job.projectId) && !same(asked.project, job.project)) {
    return failure(
      404,
      'ProjectDoesNotExistException',
      `VS800075: The project with id 'vstfs:///Classification/TeamProject/${asked.project}' does not exist, or you do not have permission to access it.`,
      'Microsoft.TeamFoundation.Core.WebApi',
    );
  }
  if (!same(asked.hub, job.hub) || !same(asked.planId, job.planId)) {
    const message = `No task orchestration plan found with identifier ${asked.planId}.`;
    return failure(404, 'TaskOrchestrationPlanNotFoundException', message, distributedTask);
  }
  if (!same(asked.jobId, job.jobId)) {
    const message = `No task orchestration job found with identifier ${asked.jobId} for plan ${asked.planId}.`;
    return failure(404, 'TaskOrchestrationJobNotFoundException', message, distributedTask);
  }
  const foreign = claims['aui'] !== job.planId || claims['prj'] !== job.projectId || claims['sid'] !== job.jobId;
  if (foreign || devops.jobFinished) return unauthorized();

  const id = request.url.searchParams.get('serviceConnectionId');
  if (id === null || id === '') return json(200, { oidcToken: await issueIdToken(devops) });
  const connection = devops.connections.find((c) => same(c.id, id));
  if (connection === undefined || devops.federations[connection.id] === undefined) {
    const message = `No service connection found with identifier ${id}.`;
    return failure(404, 'ServiceEndpointNotFoundException', message, distributedTask);
  }
  if (devops.referencedConnections && !devops.referencedConnections.includes(connection.id)) {
    const value = `There is no explicit reference to service connection ${id} from current stage Deploy.Job.__default.`;
    return json(400, { count: value.length, value });
  }
  if (devops.disabledConnections.includes(connection.id)) {
    const message = `Service connection '${connection.name}' (${id}) is disabled.`;
    return failure(403, 'ServiceEndpointDisabledException', message, distributedTask);
  }
  return json(200, { oidcToken: await issueIdToken(devops, { connection: connection.id }) });
}

/** The path below the organization, without a leading slash; undefined for another organization. */
function pathInOrganization(job: Job, request: ServiceRequest): string | undefined {
  const path = request.url.pathname.slice(1);
  if (request.url.hostname === `${job.organization}.visualstudio.com`) return path;
  const [first = '', ...rest] = path.split('/');
  return first.toLowerCase() === job.organization.toLowerCase() ? rest.join('/') : undefined;
}

/** The version is in the query, or beside the media type in `Accept`; the service insists on one for a POST. */
function judgeVersion(devops: DevOps, request: ServiceRequest): Answer | undefined {
  const given =
    request.url.searchParams.get('api-version') ??
    /api-version=([^;,\s]+)/i.exec(String(request.headers.accept ?? ''))?.[1];
  if (given === undefined) {
    return failure(
      400,
      'VssVersionNotSpecifiedException',
      'No api-version was supplied for the "POST" request. The version must be supplied either as part of the Accept header (e.g. "application/json; api-version=1.0") or as a query parameter (e.g. "?api-version=1.0").',
    );
  }
  const [, number, preview, resource] = /^(\d+\.\d+)(-preview(?:\.(\d+))?)?$/.exec(given) ?? [];
  if (number === undefined) {
    const message = `The api-version query parameter "${given}" is not in a correct format.`;
    return failure(400, 'VssInvalidApiResourceVersionException', message);
  }
  if (Number(number) > maximumVersion || Number(resource ?? 1) > 1) {
    const message = `The requested version "${given}" of the resource is out of range for this server. The latest version that this server supports is ${maximumVersion}.`;
    return failure(400, 'VssVersionOutOfRangeException', message);
  }
  if (preview === undefined && Number(number) > Number(devops.releasedVersion)) {
    const message = `The requested version "${given}" of the resource is under preview. The -preview flag must be supplied in the api-version for such requests. For example: "${given}-preview"`;
    return failure(400, 'VssInvalidPreviewVersionException', message);
  }
  return undefined;
}

/** Without a job token that is good here: a sign-in page, or where the header asks for it, the 401 that it stands for. */
function notSignedIn(request: ServiceRequest, tokenPresented: boolean): Answer {
  if (/^suppress$/i.test(String(request.headers['x-tfs-fedauthredirect'] ?? ''))) return unauthorized();
  const { status, headers, text } = tokenPresented ? answers.signInPage : answers.signInRedirect;
  return { status: status ?? 0, headers: { ...headers }, body: text ?? '' };
}

function unauthorized(): Answer {
  const message = "TF400813: The user '' is not authorized to access this resource.";
  const body = devOpsError('UnauthorizedRequestException', message, 'Microsoft.TeamFoundation.Framework.Server');
  return json(401, body, { ...challenges(), 'x-tfs-serviceerror': encodeURIComponent(message) });
}

const challenges = (): Record<string, string[]> => ({
  'www-authenticate': [
    'Bearer authorization_uri=https://login.microsoftonline.com/common',
    'Basic realm="https://dev.azure.com/"',
    'TFS-Federated',
  ],
});

const failure = (status: number, typeKey: string, message: string, namespace?: string): Answer =>
  json(status, devOpsError(typeKey, message, namespace));

function noSuchResource(request: ServiceRequest): Answer {
  const Message = `No HTTP resource was found that matches the request URI '${request.url.href}'.`;
  return json(404, { count: 1, value: { Message } });
}

const list = (value: unknown[]): unknown => ({ count: value.length, value });

function locations(devops: DevOps, area: string | undefined): unknown[] {
  const location = (id: string, areaName: string, resourceName: string, routeTemplate: string) => ({
    id,
    area: areaName,
    resourceName,
    routeTemplate,
    resourceVersion: 1,
    minVersion: '1.0',
    maxVersion: String(maximumVersion),
    releasedVersion: areaName === 'distributedtask' ? devops.releasedVersion : '0.0',
  });
  const all = [
    location('e81700f7-3be2-46de-8624-2eb35882fcaa', 'Location', 'ResourceAreas', '_apis/{resource}/{areaId}'),
    location('00d9565f-ed9c-4a06-9a50-00e7896ccab4', 'Location', 'ConnectionData', '_apis/{resource}'),
    ...(devops.hasOidcToken
      ? [
          location(
            oidcTokenLocation,
            'distributedtask',
            'oidctoken',
            '{scopeIdentifier}/_apis/{area}/hubs/{hubName}/plans/{planId}/jobs/{jobId}/{resource}',
          ),
        ]
      : []),
  ];
  return area === undefined ? all : all.filter((one) => one.area.toLowerCase() === area.toLowerCase());
}

/** The service gives its addresses as the caller knows them. */
function resourceAreas(request: ServiceRequest, id: string | undefined): Answer {
  const [organization = ''] = request.url.pathname.slice(1).split('/_apis');
  const locationUrl = `https://${request.host}/${organization === '' ? '' : `${organization}/`}`;
  const areas = [{ id: distributedTaskArea, name: 'distributedtask', locationUrl }];
  if (id === undefined) return json(200, list(areas));
  const found = areas.find((area) => area.id === id.toLowerCase());
  return json(200, found ?? null);
}

function connectionData(job: Job): unknown {
  const user = {
    id: '3f8c0b7e-1d2a-4b6c-9e5f-7a8b9c0d1e2f',
    descriptor: `Microsoft.TeamFoundation.ServiceIdentity;${job.organizationId}:Build:${job.projectId}`,
    subjectDescriptor: 'svc.contoso',
    providerDisplayName: `${job.project} Build Service (${job.organization})`,
    isActive: true,
  };
  return {
    authenticatedUser: user,
    authorizedUser: user,
    instanceId: job.organizationId,
    deploymentType: 'hosted',
    locationServiceData: { serviceOwner: '00025394-6065-48ca-87d9-7f5672854ef7' },
  };
}

const commonHeaders = (): Record<string, string> => {
  const activity = randomUUID();
  return {
    activityid: activity,
    'x-vss-e2eid': activity,
    'x-tfs-session': randomUUID(),
    'x-tfs-processid': '9c1d0b2e-4f5a-4e6b-8c7d-0a1b2c3d4e5f',
    'x-msedge-ref': `Ref A: ${randomUUID().replaceAll('-', '').toUpperCase()} Ref B: AMS231022012047 Ref C: ${new Date().toISOString()}`,
    'x-cache': 'CONFIG_NOCACHE',
    'x-frame-options': 'SAMEORIGIN',
    'strict-transport-security': 'max-age=31536000; includeSubDomains',
    p3p: 'CP="CAO DSP COR ADMa DEV CONo TELo CUR PSA PSD TAI IVDo OUR SAMi BUS DEM NAV STA UNI COM INT PHY ONL FIN PUR LOC CNT"',
  };
};
