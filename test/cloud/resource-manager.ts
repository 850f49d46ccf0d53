import { audienceOf, type Verify } from './api.ts';
import { publicTenant, subscription } from './directory.ts';
import { type Answer, type Handler, json } from './server.ts';

const audiences = ['https://management.core.windows.net', 'https://management.azure.com'].flatMap((audience) => [
  `${audience}/`,
  audience,
]);

/** Azure Resource Manager with one subscription and its resource groups, for whoever brings an access token for it. */
export function resourceManager(verify: Verify): Handler {
  return async (request) => {
    const audience = await audienceOf(request, verify);
    if (audience === undefined) {
      return failure(401, 'AuthenticationFailed', "Authentication failed. The 'Authorization' header is missing.");
    }
    if (audience.length === 0) return failure(401, 'InvalidAuthenticationToken', 'The access token is invalid.');
    if (!audience.some((one) => audiences.includes(one))) {
      const message = `The access token has been obtained for wrong audience or resource '${audience.join(' ')}'. It should exactly match with one of the allowed audiences '${audiences.join("','")}'.`;
      return failure(401, 'InvalidAuthenticationTokenAudience', message);
    }
    if (!request.url.searchParams.has('api-version')) {
      const message = 'The api-version query parameter (?api-version=) is required for all requests.';
      return failure(400, 'MissingApiVersionParameter', message);
    }
    const path = request.url.pathname.toLowerCase().replace(/\/$/, '');
    if (request.method === 'GET') {
      const value = lists[path];
      if (value !== undefined) return json(200, { value });
      const one = Object.values(lists)
        .flat()
        .find(({ id }) => id.toLowerCase() === path);
      if (one !== undefined) return json(200, one);
    }
    return failure(404, 'NotFound', `There is no '${path}' here.`);
  };
}

const scope = `/subscriptions/${subscription.id}`;

const lists: Record<string, ({ id: string } & Record<string, unknown>)[]> = {
  '/tenants': [{ id: `/tenants/${publicTenant.id}`, tenantId: publicTenant.id, tenantCategory: 'Home' }],
  '/subscriptions': [
    {
      id: scope,
      subscriptionId: subscription.id,
      tenantId: publicTenant.id,
      displayName: subscription.name,
      state: 'Enabled',
      authorizationSource: 'RoleBased',
      managedByTenants: [],
    },
  ],
  [`${scope}/resourcegroups`]: ['storefront', 'identities'].map((name) => ({
    id: `${scope}/resourceGroups/${name}`,
    name,
    type: 'Microsoft.Resources/resourceGroups',
    location: 'westeurope',
    properties: { provisioningState: 'Succeeded' },
  })),
};

const failure = (status: number, code: string, message: string): Answer =>
  json(status, { error: { code, message } }, status === 401 ? { 'www-authenticate': 'Bearer' } : {});
