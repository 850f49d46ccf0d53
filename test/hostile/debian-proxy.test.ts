import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type Cloud, startCloud } from '../cloud/cloud.ts';
import { missing } from '../missing.ts';
import { realNames } from '../rehearsal.ts';
import { type DebianProxy, type DebianProxyOptions, programOf, startSquid, startTinyproxy } from './debian-proxy.ts';
import { faultsOf, runStep } from './run-step.ts';

const start: Record<'squid' | 'tinyproxy', (program: string, options: DebianProxyOptions) => Promise<DebianProxy>> = {
  squid: startSquid,
  tinyproxy: startTinyproxy,
};

for (const name of ['squid', 'tinyproxy'] as const) {
  const program = programOf(name);
  const skip = program === undefined ? missing(name) : false;

  describe(`Debian's ${name}, with the real names of both services`, { skip }, () => {
    const user = { username: 'agent', password: 'a-password-of-the-proxy-alone' };
    const secrets = [{ name: 'proxy password', value: user.password }];
    let cloud: Cloud;
    let open: DebianProxy;
    let closed: DebianProxy;
    before(async () => {
      cloud = await startCloud();
      const options = { resolve: cloud.hosts };
      open = await start[name](program ?? '', options);
      closed = await start[name](program ?? '', { ...options, credentials: user });
    });
    after(async () => {
      await Promise.all([open?.close(), closed?.close()]);
      await cloud?.close();
    });

    it('leads to both services', async () => {
      const ended = await runStep(cloud, { job: { ...realNames(cloud), proxy: { url: open.url } } });
      assert.deepEqual(faultsOf(ended), []);
      assert.equal(ended.result, 'Succeeded', ended.line);
      assert.deepEqual(
        cloud.requests.map(({ service, host }) => [service, host]),
        [
          ['devops', 'dev.azure.com'],
          ['entra', 'login.microsoftonline.com'],
        ],
      );
    });

    it('takes the agent’s user and password', async () => {
      const ended = await runStep(cloud, {
        job: { ...realNames(cloud), proxy: { url: closed.url, ...user } },
        secrets,
      });
      assert.deepEqual(faultsOf(ended), []);
      assert.equal(ended.result, 'Succeeded', ended.line);
    });

    it('refuses another password, and the step says so at once', async () => {
      const proxy = { url: closed.url, ...user, password: 'another-password-of-the-proxy' };
      const ended = await runStep(cloud, { job: { ...realNames(cloud), proxy }, secrets });
      assert.deepEqual(faultsOf(ended), []);
      // tinyproxy answers 401 to a wrong password, against the letter of HTTP.
      assert.match(ended.line, /^ET_PROXY: .*HTTP 40[17]/);
      assert.deepEqual(ended.retries, []);
      assert.equal(cloud.requests.length, 0);
    });
  });
}
