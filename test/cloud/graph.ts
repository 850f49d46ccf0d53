import { audienceOf, type Verify } from './api.ts';
import type { Application } from './directory.ts';
import { type Handler, json } from './server.ts';

/** Microsoft Graph, as far as the applications of the public cloud go, for whoever brings an access token for it. */
export function graph(verify: Verify, applications: () => readonly Application[]): Handler {
  return async (request) => {
    const audience = await audienceOf(request, verify);
    if (!audience?.some((one) => one.replace(/\/$/, '') === 'https://graph.microsoft.com')) {
      const message =
        audience === undefined ? 'Access token is empty.' : 'Access token validation failure. Invalid audience.';
      return json(401, { error: { code: 'InvalidAuthenticationToken', message } });
    }
    const known = applications().map(({ clientId, objectId }) => ({
      id: objectId,
      appId: clientId,
      displayName: `application ${clientId.slice(0, 8)}`,
      signInAudience: 'AzureADMyOrg',
    }));
    const [, path = '', rest = ''] = /^\/(?:v1\.0|beta)\/(?:applications|servicePrincipals)([^/]*)\/?(.*)$/.exec(
      request.url.pathname,
    ) ?? [undefined, 'none'];
    if (rest === 'owners') return json(200, { value: [] });
    const wanted = /appId(?:=| eq )'([^']+)'/i.exec(
      decodeURIComponent(path + request.url.search.replaceAll('+', ' ')),
    )?.[1];
    if (path === '') return json(200, { value: known.filter(({ appId }) => wanted === undefined || appId === wanted) });
    const one =
      known.find(({ appId }) => appId === wanted) ?? known.find(({ id }) => request.url.pathname.includes(id));
    return one === undefined
      ? json(404, { error: { code: 'Request_ResourceNotFound', message: 'The resource does not exist.' } })
      : json(200, one);
  };
}
