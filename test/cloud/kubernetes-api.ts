import { audienceOf, type Verify } from './api.ts';
import { type Answer, type Handler, json } from './server.ts';

/** The application that every AKS cluster is in Entra. */
export const aksAppId = '6dae42f8-4368-4678-94ff-3960e28e3630';

/** The API server of the one cluster. */
export const clusterHost = 'contoso-dns-4f2a9c1e.hcp.westeurope.azmk8s.io';

/** The API server of a cluster that trusts Entra, as far as `kubectl get pods` needs it. */
export function kubernetesApi(verify: Verify): Handler {
  return async (request) => {
    const audience = await audienceOf(request, verify);
    if (!audience?.includes(aksAppId)) return status(401, 'Unauthorized', 'Unauthorized');
    const found = request.method === 'GET' ? answers[request.url.pathname] : undefined;
    if (found === undefined) return status(404, 'NotFound', 'the server could not find the requested resource');
    return json(200, found);
  };
}

const status = (code: number, reason: string, message: string): Answer =>
  json(code, { kind: 'Status', apiVersion: 'v1', status: 'Failure', message, reason, code });

const pod = { name: 'storefront-0', namespace: 'default' };

const answers: Record<string, unknown> = {
  '/api': { kind: 'APIVersions', versions: ['v1'], serverAddressByClientCIDRs: [] },
  '/apis': { kind: 'APIGroupList', apiVersion: 'v1', groups: [] },
  '/api/v1': {
    kind: 'APIResourceList',
    groupVersion: 'v1',
    resources: [{ name: 'pods', singularName: 'pod', namespaced: true, kind: 'Pod', verbs: ['get', 'list'] }],
  },
  '/api/v1/namespaces/default/pods': {
    kind: 'Table',
    apiVersion: 'meta.k8s.io/v1',
    metadata: { resourceVersion: '1' },
    columnDefinitions: ['Name', 'Status'].map((name) => ({
      name,
      type: 'string',
      format: '',
      description: '',
      priority: 0,
    })),
    rows: [
      {
        cells: [pod.name, 'Running'],
        object: { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata: pod },
      },
    ],
  },
};
