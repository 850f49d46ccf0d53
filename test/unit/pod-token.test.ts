import './build-constants.ts';
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { bindingPool, readIdentityBinding, throughProxy } from '../../tasks/EntraTokenV1/id-token/identity-binding.ts';
import { readTokenFile } from '../../tasks/EntraTokenV1/id-token/kubernetes.ts';
import { createAuthority } from '../cloud/certificates.ts';
import { kubernetes } from '../cloud/kubernetes.ts';

const cluster = kubernetes(Date.now);
const folder = mkdtempSync(join(tmpdir(), 'unit-kubernetes-'));
// Whoever runs this must be able to go through the folder when it is another user for a moment.
chmodSync(folder, 0o755);
after(() => rmSync(folder, { recursive: true }));

let waits = 0;
let masked: string[] = [];
const read = (path: string, duringWait: () => void = () => {}) => {
  waits = 0;
  masked = [];
  return readTokenFile({
    path,
    now: Date.now,
    sleep: async () => {
      waits += 1;
      duringWait();
    },
    mask: (text) => masked.push(text),
  });
};
let counter = 0;
const file = (content: string): string => {
  counter += 1;
  const path = join(folder, `file-${counter}`);
  writeFileSync(path, content);
  return path;
};
let good: string;
before(async () => {
  good = await cluster.issueToken();
});

for (const { title, content } of [
  { title: 'a token', content: () => good },
  { title: 'a token with blanks and line ends around it', content: () => `\n ${good}\r\n` },
  { title: 'a token among blanks up to the last byte that is allowed', content: () => good.padEnd(64 * 1024) },
]) {
  test(`the token file is read: ${title}`, async () => {
    const idToken = await read(file(content()));
    assert.equal(idToken.token.reveal(), good);
    assert.equal(idToken.issuer, cluster.issuer);
    assert.ok(masked.includes(good), 'masked before it is used');
  });
}

for (const { title, path, code, says, tries } of [
  {
    title: 'missing',
    path: () => join(folder, 'none'),
    code: 'ET_KUBERNETES_FILE_MISSING',
    says: /none does not exist\.$/,
    tries: 4,
  },
  {
    title: 'below a file',
    path: () => join(file('x'), 'token'),
    code: 'ET_KUBERNETES_FILE_MISSING',
    says: /does not exist/,
    tries: 4,
  },
  { title: 'empty', path: () => file(''), code: 'ET_KUBERNETES_FILE_EMPTY', says: /is empty/, tries: 4 },
  { title: 'blank', path: () => file(' \n\t\r\n'), code: 'ET_KUBERNETES_FILE_EMPTY', says: /is empty/, tries: 4 },
  { title: 'a folder', path: () => folder, code: 'ET_KUBERNETES_FILE_WRONG', says: /is a folder/, tries: 1 },
  {
    title: 'a device',
    path: () => '/dev/zero',
    code: 'ET_KUBERNETES_FILE_WRONG',
    says: /not a regular file/,
    tries: 1,
  },
  {
    title: 'a byte too large',
    path: () => file(good.padEnd(64 * 1024 + 1)),
    code: 'ET_KUBERNETES_FILE_WRONG',
    says: /larger than 64 KiB/,
    tries: 1,
  },
  { title: 'no JWT', path: () => file('null'), code: 'ET_KUBERNETES_FILE_WRONG', says: /not a JWT/, tries: 1 },
  {
    title: 'two tokens',
    path: () => file(`${good}\n${good}`),
    code: 'ET_KUBERNETES_FILE_WRONG',
    says: /not a JWT/,
    tries: 1,
  },
  {
    title: 'of the kind that never expires and has no audience',
    path: async () => file(await cluster.issueToken({ claims: { exp: undefined, aud: undefined } })),
    code: 'ET_KUBERNETES_FILE_WRONG',
    says: /expiry/,
    tries: 1,
  },
  {
    title: 'expired',
    path: async () => file(await cluster.issueToken({ lifetimeSeconds: -1 })),
    code: 'ET_KUBERNETES_TOKEN_EXPIRED',
    says: /expired at \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/,
    tries: 4,
  },
  ...[
    'https://kubernetes.default.svc.cluster.local',
    'https://kubernetes.default.svc',
    'kubernetes',
    'https://contoso-dns-1a2b3c4d.hcp.westeurope.azmk8s.io',
    '"contoso-dns-1a2b3c4d.hcp.westeurope.azmk8s.io"',
    'https://contoso-dns-1a2b3c4d.hcp.westeurope.azmk8s.io:443/',
    cluster.issuer,
  ].map((audience) => ({
    title: `for the API server (${audience})`,
    path: async () => file(await cluster.issueToken({ audience })),
    code: 'ET_KUBERNETES_TOKEN_AUDIENCE',
    says: /for the API server of the cluster/,
    tries: 1,
  })),
  {
    title: 'for Entra and for the API server',
    path: async () =>
      file(
        await cluster.issueToken({ claims: { aud: ['api://AzureADTokenExchange', 'https://kubernetes.default.svc'] } }),
      ),
    code: 'ET_KUBERNETES_TOKEN_AUDIENCE',
    says: /for the API server/,
    tries: 1,
  },
  {
    title: 'for no audience',
    path: async () => file(await cluster.issueToken({ claims: { aud: [] } })),
    code: 'ET_KUBERNETES_TOKEN_AUDIENCE',
    says: /names no audience/,
    tries: 1,
  },
]) {
  test(`the token file has a fault of its own: ${title}`, async () => {
    await assert.rejects(read(await path()), { code, message: says });
    // Only what a rotation can cause is looked at again.
    assert.equal(waits, tries - 1);
  });
}

test('any other audience is Entra’s to judge', async () => {
  for (const audience of [
    'api://AzureADTokenExchange',
    'api://AKSIdentityBinding',
    'api://contoso',
    'https://x.example',
  ]) {
    const path = file(await cluster.issueToken({ audience }));
    assert.deepEqual((await read(path)).audiences, [audience]);
  }
});

test('the token file cannot be read: the user and the mode are named', async () => {
  const path = file(good);
  const closed = join(folder, 'closed');
  mkdirSync(closed);
  writeFileSync(join(closed, 'token'), good);
  chmodSync(path, 0o600);
  chmodSync(closed, 0o700);
  if (process.getuid?.() !== 0) {
    chmodSync(path, 0);
    chmodSync(closed, 0);
  }
  // For root no mode counts; for its time as another user it does.
  await asNobody(async () => {
    await assert.rejects(read(path), {
      code: 'ET_KUBERNETES_FILE_UNREADABLE',
      message:
        /cannot be read by the user \S+ \(uid \d+, gid \d+\); its mode is 0[06]00, its owner uid \d+, gid \d+\.$/,
    });
    await assert.rejects(read(join(closed, 'token')), {
      code: 'ET_KUBERNETES_FILE_UNREADABLE',
      message: /a folder on the way to it is closed/,
    });
  });
  chmodSync(closed, 0o700);
});

async function asNobody(act: () => Promise<void>): Promise<void> {
  const { getuid, seteuid, setegid } = process;
  if (getuid?.() !== 0 || seteuid === undefined || setegid === undefined) return act();
  setegid(65534);
  seteuid(65534);
  try {
    await act();
  } finally {
    seteuid(0);
    setegid(0);
  }
}

test('a rotation during the read is survived, through the links of a projected volume', async () => {
  const expired = await cluster.issueToken({ lifetimeSeconds: -1 });
  for (const first of ['', expired]) {
    const volume = await cluster.writeProjectedVolume(join(folder, `volume-${first.length}`), first);
    const next = await cluster.issueToken();
    let rotation: Promise<void> | undefined;
    const idToken = await readTokenFile({
      path: volume.file,
      now: Date.now,
      sleep: () => {
        rotation ??= volume.rotate(next);
        return rotation;
      },
      mask: () => {},
    });
    assert.equal(idToken.token.reveal(), next);
  }
  // In the moment in which a careless writer has taken the link away.
  const link = join(folder, 'link');
  await read(link, () => {
    if (waits === 2) symlinkSync(file(good), link);
  });
});

const proxy = 'https://proxy.local:6443/a/b';
const variables = { fromPipeline: [], proxy, serverName: undefined, caFile: undefined, caData: undefined };

for (const [title, url] of [
  ['no TLS', 'http://proxy.local'],
  ['a user', 'https://me@proxy.local'],
  ['a password', 'https://:word@proxy.local'],
  ['a query', 'https://proxy.local/?a'],
  ['an empty query', 'https://proxy.local/?'],
  ['a fragment', 'https://proxy.local/#a'],
  ['an empty fragment', 'https://proxy.local/#'],
  ['no address', 'proxy.local'],
] as const) {
  test(`the token proxy of an identity binding is refused: ${title}`, () => {
    assert.throws(() => readIdentityBinding({ ...variables, proxy: url }), { code: 'ET_IDENTITY_BINDING' });
  });
}

test('the variables of an identity binding fit together, or say how they do not', () => {
  const none = { ...variables, proxy: undefined };
  assert.equal(readIdentityBinding(none), undefined);
  for (const one of [{ serverName: 'x' }, { caFile: 'x' }, { caData: 'x' }]) {
    assert.throws(() => readIdentityBinding({ ...none, ...one }), { message: /without AZURE_KUBERNETES_TOKEN_PROXY/ });
  }
  assert.throws(() => readIdentityBinding({ ...variables, caFile: 'x', caData: 'y' }), { message: /both set/ });
  assert.deepEqual(readIdentityBinding({ ...variables, serverName: 's', caData: 'y' }), {
    proxy: new URL(proxy),
    serverName: 's',
    authorities: { pem: 'y' },
  });
});

for (const [given, expected] of [
  ['https://p.local', 'https://p.local/tenant/oauth2/v2.0/token?x=y'],
  ['https://p.local/', 'https://p.local/tenant/oauth2/v2.0/token?x=y'],
  ['https://p.local:1/a/b', 'https://p.local:1/a/b/tenant/oauth2/v2.0/token?x=y'],
  ['https://p.local/a/', 'https://p.local/a/tenant/oauth2/v2.0/token?x=y'],
  ['https://p.local/a%2Fb', 'https://p.local/a%2Fb/tenant/oauth2/v2.0/token?x=y'],
] as const) {
  test(`a request goes through ${given} with that path before its own`, () => {
    const binding = { proxy: new URL(given), serverName: undefined, authorities: undefined };
    const url = new URL('https://login.microsoftonline.com/tenant/oauth2/v2.0/token?x=y');
    assert.equal(throughProxy(binding, url).href, expected);
  });
}

test('the authorities of an identity binding are read again when they change; a bad moment leaves the good ones', async () => {
  const [first, second] = [(await createAuthority('one')).pem, (await createAuthority('two')).pem];
  const path = file('');
  const binding = { proxy: new URL(proxy), serverName: undefined, authorities: { file: path } };
  const pool = bindingPool(binding);
  assert.throws(pool, { code: 'ET_IDENTITY_BINDING' });
  writeFileSync(path, first);
  const good = pool();
  for (const moment of ['', '-----BEGIN CERTIFICATE-----\n', first.replace(/[A-Z]{8}/, '????'), first]) {
    writeFileSync(path, moment);
    assert.equal(pool(), good, JSON.stringify(moment.slice(0, 40)));
  }
  rmSync(path);
  assert.equal(pool(), good, 'a file that is gone for a moment');
  writeFileSync(path, second);
  const other = pool();
  assert.notEqual(other, good);
  assert.equal(pool(), other);
  assert.equal(readFileSync(path, 'utf8'), second);
});
