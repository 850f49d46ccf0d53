import { join } from 'node:path';
import { audienceOf, type Verify, withBearer } from './api.ts';
import { ensureRepository, gitBackend } from './git.ts';
import { azureDevOpsAppId, type Organization } from './organization.ts';
import { type Handler, json } from './server.ts';

interface Surroundings {
  readonly organization: Organization;
  readonly verify: Verify;
  /** Where the repository is made when somebody asks for it. */
  readonly folder: string;
  /** Answers everything that is not for users, and whoever is none. */
  readonly otherwise: Handler;
}

/** Azure DevOps for whoever brings an access token of Entra's for it: projects, a profile, and a repository. */
export function forUsers({ organization, verify, folder, otherwise }: Surroundings): Handler {
  const { project, projectId } = organization;
  const lists: Record<string, unknown> = {
    '/_apis/projects': { count: 1, value: [{ id: projectId, name: project, state: 'wellFormed' }] },
    '/_apis/profile/profiles/me': { id: '6c9f1d04-2b7e-4e35-8a41-d7f0c3b59e28', displayName: 'pipelines' },
  };
  return async (request) => {
    const path = request.url.pathname.replace(new RegExp(`^/${organization.organization}(?=/)`, 'i'), '');
    const repository = `/${project}/_git/${project}`;
    const isGit = path.startsWith(`${repository}/`);
    const found = request.method === 'GET' ? lists[path] : undefined;
    if (!isGit && found === undefined) return otherwise(request);
    const isUser = (await audienceOf(withBearer(request), verify))?.includes(azureDevOpsAppId);
    if (!isGit) return isUser ? json(200, found) : otherwise(request);
    if (!isUser)
      return {
        status: 401,
        headers: { 'www-authenticate': ['Bearer', 'Basic realm="https://contoso.visualstudio.com/"'] },
        body: '',
      };
    ensureRepository(join(folder, `${project}.git`));
    return gitBackend(folder, path.replace(repository, `/${project}.git`), request);
  };
}
