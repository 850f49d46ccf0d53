import { audienceOf, type Verify } from './api.ts';
import { type Handler, json } from './server.ts';

/** A workspace of Azure Databricks, which tells whoever brings an access token for it who they are. */
export function databricks(verify: Verify): Handler {
  return async (request) => {
    const audience = await audienceOf(request, verify);
    if (!audience?.includes('2ff814a6-3304-4ab8-85cb-cd0e6f879c1d')) {
      return json(403, { error_code: '403', message: 'Invalid access token.' });
    }
    const isMe = request.url.pathname === '/api/2.0/preview/scim/v2/Me';
    return isMe ? json(200, { id: '1', userName: 'deploy', active: true }) : json(404, { error_code: 'NOT_FOUND' });
  };
}
