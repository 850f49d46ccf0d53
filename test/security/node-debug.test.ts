/** NODE_DEBUG makes Node print what it sends and receives, headers and all; whoever sets it gets no secret by that. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startCloud } from '../cloud/cloud.ts';
import { startProxy } from '../cloud/proxy.ts';
import { runStep } from '../hostile/run-step.ts';
import { realNames } from '../rehearsal.ts';

const cloud = await startCloud();
const user = { username: 'agent of corp', password: 'p@ss:w/rd-7' };
const proxy = await startProxy({ resolve: cloud.hosts, ...user });
test.after(() => Promise.all([cloud.close(), proxy.close()]));

const basic = Buffer.from(`${user.username}:${user.password}`).toString('base64');
const secrets = [
  { name: 'the password of the proxy', value: user.password },
  { name: 'the user and the password of the proxy', value: basic },
];
const inAddress = proxy.url.replace(
  '//',
  `//${encodeURIComponent(user.username)}:${encodeURIComponent(user.password)}@`,
);

for (const { title, job } of [
  { title: 'the agent’s proxy', job: { proxy: { url: proxy.url, ...user } } },
  { title: 'the agent’s proxy, with user and password in its address', job: { proxy: { url: inAddress } } },
  { title: 'HTTPS_PROXY', job: { environment: { HTTPS_PROXY: inAddress } } },
]) {
  test(`no secret is shown by NODE_DEBUG behind ${title}`, async () => {
    const environment = { ...('environment' in job ? job.environment : {}), NODE_DEBUG: 'http,https,net,tls,stream' };
    const ended = await runStep(cloud, { secrets, job: { ...realNames(cloud), ...job, environment } });
    assert.equal(ended.result, 'Succeeded', ended.line);
    assert.match(ended.main.rawOutput.stderr, /^HTTP \d+: .*CONNECT|Proxy-Authorization/m, 'Node did print');
    // The variable of the agent is as its administrator wrote it.
    assert.deepEqual(
      ended.leaks.filter((leak) => !leak.startsWith('variables: ')),
      [],
    );
  });
}
