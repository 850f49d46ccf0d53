import { audienceOf, type Verify, withBearer } from './api.ts';
import { azureDevOpsAppId } from './organization.ts';
import { type Handler, json, type ServiceRequest } from './server.ts';

/** The feed of Azure Artifacts, below its host. */
const feed = '/contoso/storefront/_packaging/contoso';

/** A feed that keeps what pip's and npm's tools publish, for whoever brings an access token for Azure DevOps. */
export function artifacts(verify: Verify): Handler {
  const wheels = new Map<string, Buffer>();
  const packages = new Map<string, unknown>();
  const tarballs = new Map<string, Buffer>();

  return async (request) => {
    const audience = await audienceOf(withBearer(request), verify);
    if (!audience?.includes(azureDevOpsAppId)) {
      return {
        status: 401,
        headers: { 'www-authenticate': 'Basic realm="https://pkgsprodsu3weu.app.pkgs.visualstudio.com/"' },
        body: '',
      };
    }
    const path = request.url.pathname;
    if (path === `${feed}/pypi/upload/` && request.method === 'POST') {
      const { name, content } = uploadedFile(request);
      wheels.set(name, content);
      return { status: 202, headers: {}, body: '' };
    }
    if (path.startsWith(`${feed}/pypi/simple/`)) {
      const links = [...wheels.keys()].map((name) => `<a href="${feed}/pypi/download/${name}">${name}</a>`);
      return { status: 200, headers: { 'content-type': 'text/html' }, body: `<!DOCTYPE html>${links.join('')}` };
    }
    if (path.startsWith(`${feed}/npm/registry/`)) {
      const name = path.slice(`${feed}/npm/registry/`.length);
      if (request.method === 'PUT') {
        const { _attachments: attached = {}, ...document }: Published = JSON.parse(request.bodyText);
        packages.set(name, document);
        for (const [file, { data }] of Object.entries(attached)) tarballs.set(file, Buffer.from(data, 'base64'));
        return json(201, { ok: true });
      }
      const document = packages.get(name);
      if (document !== undefined) return json(200, document);
    }
    const file =
      tarballs.get(path.slice(path.lastIndexOf('/') + 1)) ?? wheels.get(path.slice(path.lastIndexOf('/') + 1));
    if (file === undefined) return { status: 404, headers: {}, body: '' };
    return { status: 200, headers: { 'content-type': 'application/octet-stream' }, body: file };
  };
}

interface Published {
  _attachments?: Record<string, { data: string }>;
}

/** The file of a form (multipart/form-data). */
function uploadedFile({ headers, body }: ServiceRequest): { name: string; content: Buffer } {
  const boundary = /boundary="?([^";]+)/.exec(headers['content-type'] ?? '')?.[1] ?? '';
  const text = body.toString('latin1');
  const part = text.split(`--${boundary}`).find((one) => /name="content"/.test(one)) ?? '';
  const start = part.indexOf('\r\n\r\n') + 4;
  return {
    name: /filename="([^"]+)"/.exec(part)?.[1] ?? '',
    content: Buffer.from(part.slice(start, -2), 'latin1'),
  };
}
