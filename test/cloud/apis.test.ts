import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type ClientAnswer, send } from './client.ts';
import { type Cloud, startCloud } from './cloud.ts';
import { subscription } from './directory.ts';
import { askToken, tokenForm } from './tokens.ts';

let cloud: Cloud;
before(async () => {
  cloud = await startCloud();
});
after(() => cloud.close());

const devOps = '499b84ac-1321-427f-aa17-267ca6975798';

/** An access token for a resource. */
async function tokenFor(resource: string): Promise<string> {
  const form = tokenForm(cloud, await cloud.issueIdToken({ connection: 'prod' }), { scope: `${resource}/.default` });
  return String((await askToken(cloud, form)).json()['access_token']);
}

/** Asks a host by its real name, where the local cloud has it. */
function ask(url: string, token = ''): Promise<ClientAnswer> {
  const { host, hostname, pathname, search } = new URL(url);
  const authorization = token === '' ? {} : { authorization: `Bearer ${token}` };
  return send(`https://${cloud.hosts[`${host}:443`]}${pathname}${search}`, {
    ca: cloud.ca.pem,
    serverName: hostname,
    headers: { host, ...authorization },
  });
}

const codeOf = (answer: ClientAnswer): unknown => Object(answer.json()['error'])['code'];
const namesOf = (answer: ClientAnswer): unknown[] =>
  [answer.json()['value']].flat().map((item) => Object(item)['name'] ?? Object(item)['displayName']);

describe('Azure Resource Manager', () => {
  const groups = `https://management.azure.com/subscriptions/${subscription.id}/resourcegroups?api-version=2021-04-01`;

  it('lists subscriptions and resource groups for either of its audiences', async () => {
    for (const audience of ['https://management.azure.com', 'https://management.core.windows.net/']) {
      const token = await tokenFor(audience);
      assert.deepEqual(namesOf(await ask(groups, token)), ['storefront', 'identities']);
      const subscriptions = await ask('https://management.azure.com/subscriptions?api-version=2022-12-01', token);
      assert.deepEqual(namesOf(subscriptions), [subscription.name]);
    }
  });

  it('answers nobody else, and not without a version', async () => {
    const [none, foreign, invalid] = [
      await ask(groups),
      await ask(groups, await tokenFor(devOps)),
      await ask(groups, 'x'),
    ];
    assert.deepEqual([none.status, codeOf(none)], [401, 'AuthenticationFailed']);
    assert.deepEqual([foreign.status, codeOf(foreign)], [401, 'InvalidAuthenticationTokenAudience']);
    assert.deepEqual([invalid.status, codeOf(invalid)], [401, 'InvalidAuthenticationToken']);
    const token = await tokenFor('https://management.azure.com');
    assert.equal(codeOf(await ask(groups.replace(/\?.*/, ''), token)), 'MissingApiVersionParameter');
    assert.equal((await ask(groups.replace('resourcegroups', 'other'), token)).status, 404);
  });
});

describe('Azure DevOps, for its users,', () => {
  const projects = 'https://dev.azure.com/contoso/_apis/projects?api-version=7.1';
  const references = 'https://dev.azure.com/contoso/storefront/_git/storefront/info/refs?service=git-upload-pack';

  it('lists projects, and shows a sign-in page to everybody else', async () => {
    assert.deepEqual(namesOf(await ask(projects, await tokenFor(devOps))), ['storefront']);
    const foreign = await ask(projects, await tokenFor('https://management.azure.com'));
    assert.equal(foreign.status, 203);
    assert.match(foreign.text, /Sign In/);
    assert.equal((await ask(projects)).status, 302);
  });

  it('keeps its repository from everybody else', async () => {
    assert.equal((await ask(references)).status, 401);
    assert.equal((await ask(references, await tokenFor('https://management.azure.com'))).status, 401);
  });
});
