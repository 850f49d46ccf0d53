import './build-constants.ts';
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { delayAfter, isTransientStatus, readRetryAfter } from '../../tasks/EntraTokenV1/network/retry.ts';
import { type Bypass, proxyFor, readNetwork } from '../../tasks/EntraTokenV1/network/settings.ts';
import { type AgentFacts, fakeAgent } from './fake-agent.ts';

const read = (facts: AgentFacts) => readNetwork(fakeAgent(facts).agent);

for (const { title, facts, url, username, password } of [
  { title: 'none', facts: {}, url: undefined },
  {
    title: 'the agent’s',
    facts: { variables: { 'Agent.ProxyUrl': 'http://p:8080' }, environment: { HTTPS_PROXY: 'http://q' } },
    url: 'http://p:8080',
  },
  {
    title: 'the agent’s with a user and a password full of signs',
    facts: {
      variables: { 'Agent.ProxyUrl': 'http://p:8080/', 'Agent.ProxyUsername': 'u@d', 'Agent.ProxyPassword': 'a:b@c/%' },
    },
    url: 'http://p:8080',
    username: 'u@d',
    password: 'a:b@c/%',
  },
  { title: 'the environment’s', facts: { environment: { HTTPS_PROXY: 'http://p:8080' } }, url: 'http://p:8080' },
  {
    title: 'the environment’s in small letters',
    facts: { environment: { https_proxy: 'https://p' } },
    url: 'https://p',
  },
  {
    title: 'the environment’s without a scheme',
    facts: { environment: { HTTPS_PROXY: 'p:3128' } },
    url: 'http://p:3128',
  },
  {
    title: 'the environment’s with a user in the address',
    facts: { environment: { HTTPS_PROXY: 'http://u%40d:a%3Ab@p' } },
    url: 'http://p',
    username: 'u@d',
    password: 'a:b',
  },
  // What is for plain HTTP is not for these requests.
  { title: 'none, for HTTP_PROXY', facts: { environment: { HTTP_PROXY: 'http://p' } }, url: undefined },
]) {
  test(`the proxy is ${title}`, () => {
    const { proxy } = read(facts);
    assert.equal(proxy?.url, url);
    assert.equal(proxy?.username, username);
    assert.equal(proxy?.password?.reveal(), password);
  });
}

for (const address of ['ftp://p', 'socks5://p:1080', 'http://', '://']) {
  test(`the proxy ${address} is refused by the name of its setting alone`, () => {
    assert.throws(() => read({ environment: { HTTPS_PROXY: address } }), {
      code: 'ET_PROXY_SETTING',
      message: 'HTTPS_PROXY is not the address of a proxy.',
    });
  });
}

test('a file of the agent’s configuration that cannot be read is named by its purpose', () => {
  assert.throws(() => read({ variables: { 'Agent.CAInfo': '/' } }), {
    code: 'ET_CERTIFICATE_FILE',
    message: /Agent\.CAInfo/,
  });
});

const devOps = 'https://dev.azure.com/contoso/x?y';
const entra = 'https://login.microsoftonline.com/t';
for (const { title, bypass, url, bypasses } of [
  {
    title: 'the agent’s expression for a host',
    bypass: { patterns: ['dev\\.azure\\.com'] },
    url: devOps,
    bypasses: true,
  },
  { title: 'one for another host', bypass: { patterns: ['dev\\.azure\\.com'] }, url: entra, bypasses: false },
  { title: 'one in another case', bypass: { patterns: ['DEV\\.AZURE'] }, url: devOps, bypasses: true },
  {
    title: 'one that is bound to the whole bare host',
    bypass: { patterns: ['^dev\\.azure\\.com$'] },
    url: devOps,
    bypasses: true,
  },
  { title: 'one with the scheme', bypass: { patterns: ['^https://dev\\.azure\\.com'] }, url: devOps, bypasses: true },
  { title: 'one for a port', bypass: { patterns: [':8443'] }, url: 'https://tfs:8443/', bypasses: true },
  // The path may hold what somebody else wrote.
  { title: 'one that only the path fits', bypass: { patterns: ['contoso'] }, url: devOps, bypasses: false },
  { title: 'the host of NO_PROXY', bypass: { hosts: ['dev.azure.com'] }, url: devOps, bypasses: true },
  { title: 'its domain', bypass: { hosts: ['azure.com'] }, url: devOps, bypasses: true },
  { title: 'its domain with a dot', bypass: { hosts: ['.azure.com'] }, url: devOps, bypasses: true },
  { title: 'its domain with a star', bypass: { hosts: ['*.azure.com'] }, url: devOps, bypasses: true },
  { title: 'a name that only ends alike', bypass: { hosts: ['zure.com'] }, url: devOps, bypasses: false },
  { title: 'everything', bypass: { hosts: ['*'] }, url: entra, bypasses: true },
  { title: 'the host with its port', bypass: { hosts: ['dev.azure.com:443'] }, url: devOps, bypasses: true },
  { title: 'the host with another port', bypass: { hosts: ['dev.azure.com:8443'] }, url: devOps, bypasses: false },
  { title: 'the host with a dot at its end', bypass: { hosts: ['dev.azure.com.'] }, url: devOps, bypasses: true },
  { title: 'nothing', bypass: { hosts: [] }, url: devOps, bypasses: false },
] satisfies { title: string; bypass: Bypass; url: string; bypasses: boolean }[]) {
  test(`the way around the proxy is ${bypasses ? '' : 'not '}taken for ${title}`, () => {
    const proxy = { url: 'http://p', username: undefined, password: undefined };
    assert.equal(proxyFor({ proxy, bypass }, new URL(url)), bypasses ? undefined : proxy);
  });
}

test('an expression that is none, and a list that is none, are passed over', () => {
  const variables = (list: string) => ({ 'Agent.ProxyUrl': 'http://p', 'Agent.ProxyBypassList': list });
  assert.deepEqual(read({ variables: variables('["(", "", 5, "a"]') }).bypass, { patterns: ['a'] });
  assert.deepEqual(read({ variables: variables('not JSON') }).bypass, { patterns: [] });
  assert.deepEqual(read({ environment: { NO_PROXY: 'A.b, c;d  e' } }).bypass, { hosts: ['a.b', 'c', 'd', 'e'] });
});

test('an address of IPv6 in NO_PROXY is one host, with brackets and without', () => {
  const environment = { HTTPS_PROXY: 'http://p', NO_PROXY: '::1,[fd00::2]:8443' };
  const { proxy, bypass } = read({ environment });
  assert.equal(proxyFor({ proxy, bypass }, new URL('https://[::1]:443/')), undefined);
  assert.equal(proxyFor({ proxy, bypass }, new URL('https://[fd00::2]:8443/')), undefined);
  assert.equal(proxyFor({ proxy, bypass }, new URL('https://[fd00::2]/')), proxy);
});

test('a password in the address of a proxy is masked as it stands there, and decoded', () => {
  const { agent, told } = fakeAgent({ environment: { HTTPS_PROXY: 'http://user:p%40ssword@proxy' } });
  readNetwork(agent);
  const base64 = (text: string) => Buffer.from(text).toString('base64');
  assert.deepEqual(
    [...new Set(told.masked)].sort(),
    [
      'p%40ssword',
      'p@ssword',
      'user:p%40ssword',
      'user:p@ssword',
      base64('user:p%40ssword'),
      base64('user:p@ssword'),
    ].sort(),
  );
});

for (const password of ['undefined', 'null', 'True', 'ab', '']) {
  test(`a word of the log is no mask: '${password}'`, () => {
    const { agent, told } = fakeAgent({ environment: { HTTPS_PROXY: `http://user:${password}@proxy` } });
    readNetwork(agent);
    assert.ok(!told.masked.includes(password));
  });
}

test('a file of the agent that is not there is passed over, as in a job container', () => {
  const { agent, told } = fakeAgent({ variables: { 'Agent.CAInfo': '/nowhere/ca.pem' } });
  assert.equal(readNetwork(agent).authorities, undefined);
  assert.match(told.log.join('\n'), /Agent\.CAInfo: \/nowhere\/ca\.pem\) is not there/);
});

test('only what a later try may turn into success is tried again', () => {
  const again = Array.from({ length: 600 }, (_, status) => status).filter(
    (status) => status >= 100 && isTransientStatus(status),
  );
  assert.deepEqual(again, [408, 429, ...Array.from({ length: 100 }, (_, index) => 500 + index)]);
});

for (const [tries, retryAfter, random, delay] of [
  [1, undefined, 0, 0],
  [1, undefined, 0.5, 250],
  [2, undefined, 1, 1000],
  [5, undefined, 1, 8000],
  [6, undefined, 1, 15_000],
  [1000, undefined, 1, 15_000],
  [1, 7000, 0, 7000],
  // On top of what the server asked for, so that not all come back in the same moment.
  [1, 7000, 1, 8750],
] as const) {
  test(`after try ${tries}, asked to wait ${retryAfter}, with chance ${random}: ${delay} ms`, () => {
    assert.equal(delayAfter(tries, retryAfter, random), delay);
  });
}

const noon = Date.UTC(2026, 0, 31, 12);
for (const [header, wait] of [
  ['0', 0],
  ['120', 120_000],
  [' 5 ', 5000],
  ['Sat, 31 Jan 2026 12:00:30 GMT', 30_000],
  ['Sat, 31 Jan 2026 11:00:00 GMT', 0],
  ['Saturday, 31-Jan-26 12:00:30 GMT', 30_000],
  ['Sat Jan 31 12:00:30 2026', 30_000],
  ['-5', undefined],
  ['1.5', undefined],
  ['2026', 2_026_000],
  ['2026-01-31', undefined],
  ['soon', undefined],
  // Longer than any budget, and therefore not to be overlooked.
  ['99999999999', 99_999_999_999_000],
  ['9'.repeat(400), Number.POSITIVE_INFINITY],
  ['', undefined],
  [undefined, undefined],
] as const) {
  test(`Retry-After '${header}' asks for ${wait} ms`, () => assert.equal(readRetryAfter(header, noon), wait));
}
