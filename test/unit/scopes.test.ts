import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  china,
  cloudOfAuthority,
  presetNames,
  privateCloud,
  publicCloud,
  usGovernment,
} from '../../tasks/EntraTokenV1/request/clouds.ts';
import { describeLine, readScopes } from '../../tasks/EntraTokenV1/request/scopes.ts';

const arm = 'https://management.azure.com/.default';
const devOps = '499b84ac-1321-427f-aa17-267ca6975798';

for (const { title, text, lines } of [
  { title: 'a preset', text: 'arm', lines: [[undefined, 'https://management.azure.com/.default', 1]] },
  {
    title: 'a preset with /.default',
    text: 'ARM/.default',
    lines: [[undefined, 'https://management.azure.com/.default', 1]],
  },
  { title: 'a URN', text: 'urn:contoso:api', lines: [[undefined, 'urn:contoso:api/.default', 1]] },
  { title: 'a preset in another case', text: 'KEYVAULT', lines: [[undefined, 'https://vault.azure.net/.default', 1]] },
  { title: 'an application ID', text: devOps, lines: [[undefined, `${devOps}/.default`, 1]] },
  {
    title: 'an application ID with /.default',
    text: `${devOps}/.default`,
    lines: [[undefined, `${devOps}/.default`, 1]],
  },
  { title: 'a resource URI', text: 'api://mine', lines: [[undefined, 'api://mine/.default', 1]] },
  {
    title: 'a resource URI with /.default',
    text: 'https://a.b/.default',
    lines: [[undefined, 'https://a.b/.default', 1]],
  },
  // Entra takes off one /.default, and what is left is the audience: with a slash it is another one.
  {
    title: 'a resource with a slash at its end',
    text: 'https://a.b/',
    lines: [[undefined, 'https://a.b//.default', 1]],
  },
  { title: 'that slash written out', text: 'https://a.b//.default', lines: [[undefined, 'https://a.b//.default', 1]] },
  {
    title: 'blanks and empty lines',
    text: '\r\n  \n\t kv\t=  arm  \n',
    lines: [['kv', 'https://management.azure.com/.default', 3]],
  },
  {
    title: 'all line ends',
    text: 'a=arm\rb=arm\r\nc=arm',
    lines: ['a', 'b', 'c'].map((name, index) => [name, 'https://management.azure.com/.default', index + 1]),
  },
  { title: 'a line that is a comment', text: '# all of it\narm', lines: [[undefined, arm, 2]] },
  { title: 'a comment at the end of a line', text: 'kv = arm # for the plan', lines: [['kv', arm, 1]] },
  {
    title: 'a fragment, which is no comment',
    text: 'https://a.b/#c',
    lines: [[undefined, 'https://a.b/#c/.default', 1]],
  },
  {
    title: 'the dashes of a list',
    text: '- arm\n- kv = arm',
    lines: [
      [undefined, arm, 1],
      ['kv', arm, 2],
    ],
  },
  {
    title: 'the colon of YAML',
    text: 'kv: arm\nb:arm\nc: https://a.b\n"d": "arm"',
    lines: [
      ['kv', arm, 1],
      ['b', arm, 2],
      ['c', 'https://a.b/.default', 3],
      ['d', arm, 4],
    ],
  },
  {
    title: 'quotation marks',
    text: `"arm"\nkv = 'arm'`,
    lines: [
      [undefined, arm, 1],
      ['kv', arm, 2],
    ],
  },
  {
    title: 'commas at the end',
    text: 'arm,\nkv = arm;',
    lines: [
      [undefined, arm, 1],
      ['kv', arm, 2],
    ],
  },
  { title: 'a byte order mark and blanks of every kind', text: '\ufeffarm\u200b\u00a0', lines: [[undefined, arm, 1]] },
  {
    title: '/.default in any case (the suffix counts in lower case alone)',
    text: 'https://a.b/.Default\nb = ARM/.DEFAULT\nc = https://a.b/.default/',
    lines: [
      [undefined, 'https://a.b/.default', 1],
      ['b', arm, 2],
      ['c', 'https://a.b/.default', 3],
    ],
  },
  { title: 'a comma in a resource', text: 'https://a.b/x,y', lines: [[undefined, 'https://a.b/x,y/.default', 1]] },
  { title: 'no blanks around the sign', text: 'a_1=api://x', lines: [['a_1', 'api://x/.default', 1]] },
  {
    title: 'an equals sign in the resource itself',
    text: 'https://a.b/?c=d',
    lines: [[undefined, 'https://a.b/?c=d/.default', 1]],
  },
  {
    title: 'an equals sign in a named resource',
    text: 'n = https://a.b/?c=d',
    lines: [['n', 'https://a.b/?c=d/.default', 1]],
  },
  {
    title: 'the same resource under two names',
    text: 'a = arm\nb = arm',
    lines: [
      ['a', 'https://management.azure.com/.default', 1],
      ['b', 'https://management.azure.com/.default', 2],
    ],
  },
]) {
  test(`scopes: ${title}`, () => {
    const faults: string[] = [];
    const read = readScopes(text, publicCloud, faults);
    assert.deepEqual(faults, []);
    assert.deepEqual(
      read.map(({ name, scope, line }) => [name, scope, line]),
      lines,
    );
  });
}

for (const { title, text, says } of [
  { title: 'a misspelt preset', text: 'kyeVault', says: ['did you mean keyVault?'] },
  { title: 'a preset that is none', text: 'lighthouse', says: ["'lighthouse' is not a preset"] },
  { title: 'part of a preset', text: 'vault', says: ["line 1: 'vault': did you mean keyVault?"] },
  { title: 'a line that is only a name', text: 'kv =', says: ["the name 'kv' has no scope"] },
  { title: 'a line that is only a sign', text: '=', says: ["'' is not a name"] },
  { title: 'a scope without its name', text: '= arm', says: ["'' is not a name"] },
  { title: 'a name that begins with a digit', text: '1st = arm', says: ["'1st' is not a name"] },
  // Such a name would make an output that no macro can be told from another.
  { title: 'a name with a dot', text: 'a.b = arm', says: ["'a.b' is not a name"] },
  { title: 'a name with a letter that is none of A to Z', text: 'größe = arm', says: ['is not a name'] },
  { title: 'a name twice', text: 'a = arm\nA = graph', says: ["lines 1 and 2: the name 'A' is used twice"] },
  { title: 'two lines without a name', text: 'arm\n\ngraph', says: ['lines 1 and 3: only one line'] },
  { title: 'two resources in a line', text: 'https://a.b https://c.d', says: ['contains a space or a comma'] },
  { title: 'commas instead of lines', text: 'arm,graph', says: ['contains a space or a comma'] },
  { title: 'commas between resources', text: 'https://a.b,https://c.d', says: ['contains a space or a comma'] },
  { title: 'an invisible character', text: 'https://va\u200bult.azure.net', says: ['va\\u200bult'] },
  {
    title: 'a permission of a resource',
    text: 'https://graph.microsoft.com/User.Read',
    says: ["the permission 'User.Read'; an application gets all that it was granted"],
  },
  {
    title: 'a permission before /.default',
    text: 'https://management.azure.com/user_impersonation/.default',
    says: ['the resource alone: https://management.azure.com.'],
  },
  { title: 'a host without its scheme', text: 'vault.azure.net', says: ['did you mean https://vault.azure.net?'] },
  { title: 'a quote in a resource', text: "https://a.b/'", says: ['is not a preset'] },
  { title: 'every fault of several lines', text: 'x\ny = z\n= arm', says: ['line 1:', 'line 2:', 'line 3:'] },
]) {
  test(`scopes: ${title} is a fault`, () => {
    const faults: string[] = [];
    readScopes(text, publicCloud, faults);
    assert.equal(faults.length, says.length, faults.join('\n'));
    for (const [index, expected] of says.entries()) {
      assert.ok(faults[index]?.startsWith('scopes, line') && faults[index].includes(expected), faults[index]);
    }
  });
}

test('scopes: comments alone are a fault', () => {
  const faults: string[] = [];
  readScopes('# arm\n', publicCloud, faults);
  assert.deepEqual(faults, [
    'scopes names no resource; leave it out for the default, or write one resource on each line.',
  ]);
});

for (const [text, said] of [
  ['arm', 'scopes, line 1 (arm, https://management.azure.com)'],
  ['\nkv = keyVault/.default', 'scopes, line 2 (kv = keyVault/.default, https://vault.azure.net)'],
  ['https://a.b/', 'scopes, line 1 (https://a.b/)'],
] as const) {
  test(`messages name a line with what it asks for: ${said}`, () => {
    assert.deepEqual(readScopes(text, publicCloud, []).map(describeLine), [said]);
  });
}

test('every preset exists in the public cloud, and is a resource URI or an application ID', () => {
  for (const cloud of [publicCloud, usGovernment, china]) {
    for (const resource of Object.values(cloud.resources)) {
      assert.match(resource, /^(https:\/\/[a-z.-]+(\/[a-z/]+[a-z])?|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$/);
    }
  }
  assert.deepEqual(Object.keys(publicCloud.resources), presetNames);
});

test('a preset that the cloud does not have is a fault', () => {
  for (const cloud of [usGovernment, china]) {
    const faults: string[] = [];
    readScopes('azureDevOps', cloud, faults);
    assert.match(faults.join(), /the preset 'azureDevOps' does not exist in/, cloud.title);
  }
});

for (const [host, cloud] of [
  ['login.microsoftonline.com', publicCloud],
  ['login.windows.net', publicCloud],
  ['sts.windows.net', publicCloud],
  ['login.microsoftonline.us', usGovernment],
  ['login.partner.microsoftonline.cn', china],
  ['login.chinacloudapi.cn', china],
  ['login.microsoftonline.com.evil.example', undefined],
  ['constructor', undefined],
] as const) {
  test(`the authority ${host} is of ${cloud?.title ?? 'no known cloud'}`, () => {
    assert.equal(cloudOfAuthority(new URL(`https://${host}/`)), cloud);
  });
}

test('a private cloud has the presets that its connection describes, and no others', () => {
  const data = {
    authority: 'https://login.local',
    armResource: 'https://management.local/',
    graphResource: undefined,
    keyVaultResource: '',
  };
  const cloud = privateCloud(data);
  assert.deepEqual(cloud.resources, { arm: 'https://management.local/' });
  assert.equal(readScopes('arm', cloud, [])[0]?.scope, 'https://management.local//.default');
  const onGovernment = privateCloud({ ...data, authority: 'https://login.microsoftonline.us' });
  assert.equal(onGovernment.idTokenAudience, 'api://AzureADTokenExchangeUSGov');
});
