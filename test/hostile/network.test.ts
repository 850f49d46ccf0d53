import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net, { type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import tls from 'node:tls';
import type { JobOptions } from '../agent/job.ts';
import { createAuthority } from '../cloud/certificates.ts';
import { type Cloud, startCloud } from '../cloud/cloud.ts';
import { type HttpProxy, type ProxyBehaviour, startProxy } from '../cloud/proxy.ts';
import { everySecond } from '../every-second.ts';
import { realNames } from '../rehearsal.ts';
import { Clouds, type Ended, faultsOf, runStep, type StepOptions } from './run-step.ts';

/** The networks that self-hosted agents live in, by the agent's own settings and by those of its environment. */
const clouds = new Clouds();
const folder = mkdtempSync(join(tmpdir(), 'network-'));
after(async () => {
  await clouds.close();
  rmSync(folder, { recursive: true });
});

/** The step is owed no faults, and ends in this way. */
function endsWith(ended: Ended, code: string | undefined): void {
  assert.deepEqual(faultsOf(ended), []);
  assert.equal(ended.code, code, ended.line);
  assert.equal(ended.result, code === undefined ? 'Succeeded' : 'Failed');
}

const password = 'pa:ss wörd/with+many "signs" of %all% kinds';
const secrets = [{ name: 'proxy password', value: password }];

interface ProxyCase {
  name: string;
  /** What the proxy asks for. */
  credentials?: { username: string; password: string };
  behaviour?: ProxyBehaviour;
  job(proxy: HttpProxy, cloud: Cloud): Partial<JobOptions>;
  code?: string;
  /** What the proxy is asked for, in order; by default a tunnel to each service. */
  connects?: string[] | 'some';
  /** What the red line names. */
  says?: RegExp;
  /** It is tried again to the end of the budget. */
  lasts?: true;
}

const devOps = 'dev.azure.com:443';
const entra = 'login.microsoftonline.com:443';
const user = { username: 'agent', password };
const inAddress = (proxy: HttpProxy, scheme = 'http') =>
  `${scheme}://agent:${encodeURIComponent(password)}@127.0.0.1:${proxy.port}`;

const proxyCases: ProxyCase[] = [
  { name: 'the agent’s proxy', job: ({ url }) => ({ proxy: { url } }) },
  { name: 'the agent’s proxy, without a scheme', job: ({ port }) => ({ proxy: { url: `127.0.0.1:${port}` } }) },
  {
    name: 'the agent’s proxy, with user and password',
    credentials: user,
    job: ({ url }) => ({ proxy: { url, ...user } }),
  },
  {
    name: 'the agent’s proxy, with user and password in its address',
    credentials: user,
    job: (proxy) => ({ proxy: { url: inAddress(proxy) } }),
  },
  {
    name: 'a password that the proxy does not take',
    credentials: { ...user, password: 'another' },
    job: ({ url }) => ({ proxy: { url, ...user } }),
    code: 'ET_PROXY',
    connects: [devOps],
    says: /HTTP 407/,
  },
  {
    name: 'a proxy that asks for a password which the agent does not have',
    credentials: user,
    job: ({ url }) => ({ proxy: { url } }),
    code: 'ET_PROXY',
    connects: [devOps],
    says: /HTTP 407/,
  },
  { name: 'HTTPS_PROXY', job: ({ url }) => ({ environment: { HTTPS_PROXY: url } }) },
  {
    name: 'https_proxy, with user and password in the address',
    credentials: user,
    job: (proxy) => ({ environment: { https_proxy: inAddress(proxy) } }),
  },
  {
    name: 'HTTP_PROXY alone, which is for other addresses',
    job: ({ url }) => ({ environment: { HTTP_PROXY: url } }),
    code: 'ET_NAME_NOT_FOUND',
    connects: [],
    lasts: true,
  },
  {
    name: 'the agent’s proxy before the one of the environment',
    job: ({ url }) => ({ proxy: { url }, environment: { HTTPS_PROXY: 'http://127.0.0.1:9' } }),
  },
  {
    name: 'an address that is none',
    job: () => ({ proxy: { url: 'socks5://127.0.0.1:1080' } }),
    code: 'ET_PROXY_SETTING',
    connects: [],
  },
  ...(['refuse', 'garbage'] as const).map((behaviour) => ({
    name: `a proxy that does this: ${behaviour}`,
    behaviour,
    job: ({ url }: HttpProxy) => ({ proxy: { url } }),
    code: 'ET_PROXY',
    connects: [devOps],
  })),
  ...(
    [
      ['unavailable', 'ET_PROXY'],
      ['reset', 'ET_PROXY'],
      ['silent', 'ET_PROXY'],
      ['silentTunnel', 'ET_TIMEOUT'],
      ['drip', 'ET_PROXY'],
    ] as const
  ).map(([behaviour, code]) => ({
    name: `a proxy that does this: ${behaviour}`,
    behaviour,
    job: ({ url }: HttpProxy) => ({ proxy: { url } }),
    code,
    connects: 'some' as const,
    lasts: true as const,
  })),
  {
    name: 'a proxy that is not there',
    job: () => ({ proxy: { url: 'http://127.0.0.1:9' } }),
    code: 'ET_PROXY',
    connects: [],
    says: /ECONNREFUSED at 127\.0\.0\.1 port 9/,
    lasts: true,
  },
];

function proxyTests(rows: readonly ProxyCase[]): void {
  for (const row of rows) {
    it(row.name, () =>
      clouds.lend(async (cloud) => {
        const proxy = await startProxy({
          resolve: cloud.hosts,
          ...row.credentials,
          ...(row.behaviour === undefined ? {} : { behaviour: row.behaviour }),
        });
        try {
          const ended = await runStep(cloud, {
            job: { ...realNames(cloud), ...row.job(proxy, cloud) },
            names: { 'dev.azure.com': [], 'login.microsoftonline.com': [] },
            secrets,
          });
          // The agent's own variable has it, before any step has run.
          ended.leaks = ended.leaks.filter((leak) => !/^variables: .*agent\.proxyurl=/s.test(leak));
          endsWith(ended, row.code);
          assert.match(ended.line, row.says ?? /^/);
          assert.equal(ended.retries.length > 0, row.lasts === true, ended.retries.join('\n'));
          const targets = proxy.connects.map(({ target }) => target);
          if (row.connects === 'some') assert.ok(targets.length >= 3, String(targets));
          else assert.deepEqual([...new Set(targets)], row.connects ?? [devOps, entra]);
          if (row.code !== undefined) assert.deepEqual(ended.requests, { devops: 0, entra: 0 });
        } finally {
          await proxy.close();
        }
      }),
    );
  }
}

const dead = 'http://127.0.0.1:9';

/** The dead proxy, and what is reached without it: by the agent's setting, or by a variable of its environment. */
const bypass = (...list: string[]): Partial<JobOptions> => ({ proxy: { url: dead, bypass: list } });
const bypassVariable = (name: string, value: string): Partial<JobOptions> => ({
  environment: { https_proxy: dead, [name]: value },
});

const alive = '127.0.0.1';

/** The organization under a name of the test's choice, and how the step ends that meets these addresses there. */
type NameCase = [name: string, addresses: string[], code: string | undefined, says: RegExp];

function nameTests(cases: readonly NameCase[]): void {
  const host = 'contoso.visualstudio.com';
  const oldName = (cloud: Cloud): Partial<JobOptions> => {
    const renamed = (url: string) => url.replace(/^https:\/\/localhost:(\d+)\/contoso\//, `https://${host}:$1/`);
    return {
      collectionUri: renamed(cloud.devOpsUrl),
      variables: { 'System.OidcRequestUri': renamed(cloud.job.oidcRequestUri) },
    };
  };
  for (const [name, addresses, code, says] of cases) {
    it(name, () =>
      clouds.lend(async (cloud) => {
        // Entra stays on this machine, which only a rehearsal may leave unsaid.
        const inputs = { authorityHost: cloud.authorityUrl };
        const ended = await runStep(cloud, { inputs, job: oldName(cloud), names: { [host]: addresses } });
        endsWith(ended, code);
        assert.match(ended.line, says);
      }),
    );
  }
}

/** It waits and does not work, so all of it goes side by side, and first. */
const lasting = { concurrency: true } as const;

// Three groups wait, and beside them two steps work: a try of a step has ten seconds also where it shares processors.
describe('in the networks of self-hosted agents,', { concurrency: 5 }, () => {
  describe('a proxy that is in the way to the end, with the real names of both services', lasting, () =>
    proxyTests(proxyCases.filter(({ lasts }) => lasts)),
  );

  describe('hosts that are reached without the proxy', lasting, () => {
    const others: [name: string, job: Partial<JobOptions>][] = [
      ['an expression that does not match', bypass('^https://otherhost', '\\.localhost$')],
      ['a name that only ends alike, or is of another port', bypassVariable('NO_PROXY', 'host,calhost,localhost:9')],
    ];
    for (const [name, job] of others) {
      it(`are not told by ${name}`, () =>
        clouds.lend(async (cloud) => endsWith(await runStep(cloud, { job }), 'ET_PROXY')));
    }
  });

  describe('names that lead nowhere', lasting, () =>
    nameTests([
      [
        'addresses where nobody listens are all named',
        ['::1', '127.0.0.2'],
        'ET_CONNECTION',
        /(ECONNREFUSED|EADDRNOTAVAIL|ENETUNREACH) at ::1 port \d+, ECONNREFUSED at 127\.0\.0\.2 port \d+/,
      ],
      ['a name that does not exist', [], 'ET_NAME_NOT_FOUND', /contoso\.visualstudio\.com.*ENOTFOUND/],
    ]),
  );

  describe('a proxy that answers, with the real names of both services', () =>
    proxyTests(proxyCases.filter(({ lasts }) => !lasts)));

  describe('a proxy over TLS', () => {
    it('leads to the real names of both services', () =>
      clouds.lend(async (cloud) => {
        const proxy = await startProxy({ resolve: cloud.hosts, ...user });
        const authority = await createAuthority('The proxy’s own');
        const server = tls.createServer(await authority.issue({ name: 'proxy', hosts: ['127.0.0.1'] }), (socket) => {
          const inner = net.connect(proxy.port, '127.0.0.1');
          socket.pipe(inner).pipe(socket);
          socket.on('error', () => inner.destroy());
          inner.on('error', () => socket.destroy());
        });
        await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
        const { port } = server.address() as AddressInfo;
        const extra = join(folder, 'proxy.pem');
        writeFileSync(extra, authority.pem);
        try {
          const ended = await runStep(cloud, {
            job: {
              ...realNames(cloud),
              proxy: { url: `https://127.0.0.1:${port}`, ...user },
              environment: { NODE_EXTRA_CA_CERTS: extra },
            },
            secrets,
          });
          endsWith(ended, undefined);
          assert.deepEqual(
            proxy.connects.map(({ target, status }) => [target, status]),
            [
              [devOps, 200],
              [entra, 200],
            ],
          );
        } finally {
          server.close();
          await proxy.close();
        }
      }));
  });

  describe('hosts that are reached without the proxy, because of', () => {
    const cases: [name: string, job: (cloud: Cloud) => Partial<JobOptions>][] = [
      ['a regular expression for the host', () => bypass('localhost')],
      ['one for the whole address, in other case', () => bypass('^HTTPS://LOCALHOST')],
      ['one among others, of which one is none', () => bypass('*.corp', 'https?://[a-l]ocalhost')],
      ['NO_PROXY', () => bypassVariable('NO_PROXY', 'example.com,localhost')],
      ['no_proxy, in other case', () => bypassVariable('no_proxy', 'LOCALHOST')],
      [
        'NO_PROXY, with ports',
        ({ devOpsUrl, authorityUrl }) =>
          bypassVariable('NO_PROXY', `${new URL(devOpsUrl).host} ${new URL(authorityUrl).host}`),
      ],
      ['NO_PROXY for every host', () => bypassVariable('NO_PROXY', '*')],
    ];
    for (const [name, job] of everySecond(cases)) {
      it(name, () => clouds.lend(async (cloud) => endsWith(await runStep(cloud, { job: job(cloud) }), undefined)));
    }
  });

  describe('certificates', { concurrency: 1 }, () => {
    /** Two clouds know each other's keys, and have an authority each: one serves Azure DevOps, the other Entra. */
    let first: Cloud;
    let second: Cloud;
    before(async () => {
      [first, second] = await Promise.all([startCloud(), startCloud()]);
    });
    after(() => Promise.all([first.close(), second.close()]));

    const acrossClouds = (job: Partial<JobOptions>): Promise<Ended> =>
      runStep(first, {
        job: {
          connections: Object.values(first.connections).map((connection) => ({
            ...connection,
            data: { ...connection.data, activeDirectoryAuthority: second.authorityUrl },
          })),
          ...job,
        },
      });

    it('the agent’s authorities and NODE_EXTRA_CA_CERTS are trusted both', async () => {
      for (const [agent, extra] of [
        [first, second],
        [second, first],
      ] as const) {
        const ended = await acrossClouds({
          certificates: { ca: agent.caFile },
          environment: { NODE_EXTRA_CA_CERTS: extra.caFile },
        });
        endsWith(ended, undefined);
      }
    });

    it('the agent’s authorities do not replace the system’s', async () => {
      const ended = await acrossClouds({
        certificates: { ca: first.caFile },
        environment: { NODE_OPTIONS: '--use-openssl-ca', SSL_CERT_FILE: second.caFile },
      });
      endsWith(ended, undefined);
    });

    it('an authority that is known to neither ends the step at once', async () => {
      for (const job of [{ certificates: {} }, { certificates: { ca: second.caFile } }]) {
        const opened = first.connectionsOpened;
        const ended = await runStep(first, { job });
        endsWith(ended, 'ET_CERTIFICATE');
        assert.deepEqual(ended.retries, []);
        assert.ok(first.connectionsOpened - opened <= 3, 'with either trust once, and Entra once beforehand');
      }
    });

    it('the validation is skipped where the agent says so, with a warning', async () => {
      const ended = await acrossClouds({ certificates: { skipValidation: true } });
      endsWith(ended, undefined);
      const warnings = ended.main.issues.filter(({ type }) => type === 'warning');
      assert.match(warnings[0]?.message ?? '', /Agent\.SkipCertValidation/);
    });

    it('a file of authorities that is missing is named, and one that holds none', async () => {
      const missing = join(folder, 'missing.pem');
      const without = await runStep(first, { job: { certificates: { ca: missing } } });
      endsWith(without, 'ET_CERTIFICATE');
      assert.match(without.main.lines.join('\n'), /missing\.pem\) is not there, and is ignored/);
      const empty = join(folder, 'empty.pem');
      writeFileSync(empty, 'no certificate here\n');
      const ended = await runStep(first, { job: { certificates: { ca: empty } } });
      endsWith(ended, 'ET_CERTIFICATE_FILE');
      assert.deepEqual(ended.requests, { devops: 0, entra: 0 });
    });
  });

  describe('a connection to Entra that was opened beforehand', { concurrency: 1 }, () => {
    const cases: [name: string, server: tls.TlsOptions, code: string | undefined][] = [
      ['is replaced where it was reset while it waited', {}, undefined],
      ['is no fault of the task where a client certificate is missed', { requestCert: true }, 'ET_TLS'],
    ];
    for (const [name, options, code] of cases) {
      it(name, () =>
        clouds.lend(async (cloud) => {
          const authority = await createAuthority('Of its own');
          const certificate = await authority.issue({ name: 'entra', hosts: ['localhost'] });
          let connections = 0;
          const toEntra = (socket: tls.TLSSocket): void => {
            socket.on('error', () => {});
            const { port } = new URL(cloud.authorityUrl);
            const inner = tls.connect({ host: 'localhost', port: Number(port), ca: cloud.ca.pem });
            inner.on('error', () => socket.destroy());
            socket.pipe(inner).pipe(socket);
          };
          // In TLS 1.3 the client learns of a refusal after its handshake, and beside a request that nobody reads any more
          // it may learn of the reset alone; so the second connection, which has a request, is of TLS 1.2.
          const server = tls.createServer({ ...certificate, ...options }, toEntra);
          const later = tls.createServer({ ...certificate, ...options, maxVersion: 'TLSv1.2' }, toEntra);
          const raw = net.createServer((socket) => (connections === 1 ? server : later).emit('connection', socket));
          const firstEnds = new Promise<void>((resolve) => {
            raw.prependListener('connection', (socket) => {
              connections += 1;
              socket.on('error', () => {});
              if (connections > 1) return;
              server.once('secureConnection', () => socket.resetAndDestroy());
              socket.once('close', () => resolve());
            });
          });
          await new Promise<void>((resolve) => raw.listen(0, '127.0.0.1', resolve));
          const { port } = raw.address() as AddressInfo;
          const ca = join(folder, `${connections}-${port}.pem`);
          writeFileSync(ca, `${cloud.ca.pem}\n${authority.pem}`);
          try {
            const ended = await runStep(cloud, {
              faults: [{ service: 'devops', do: { kind: 'hold', until: () => firstEnds } }],
              inputs: { authorityHost: `https://localhost:${port}` },
              job: { certificates: { ca } },
            });
            endsWith(ended, code);
            assert.deepEqual(ended.retries, []);
            assert.equal(connections, 2);
          } finally {
            raw.close();
          }
        }),
      );
    }
  });

  // One after the other: the cloud serves one step at a time.
  describe('a client certificate', { concurrency: 1 }, () => {
    let cloud: Cloud;
    before(async () => {
      cloud = await startCloud({ requireClientCertificate: true });
    });
    after(() => cloud.close());

    const withClient = (passphrase: string): StepOptions => {
      const { certFile, keyFile } = cloud.clientCertificate;
      return {
        job: {
          certificates: {
            ca: cloud.caFile,
            clientCert: certFile,
            clientCertKey: keyFile,
            clientCertArchive: join(folder, 'client.pfx'),
            clientCertPassword: passphrase,
          },
        },
        secrets: [{ name: 'passphrase', value: passphrase }],
      };
    };

    it('is shown to both services, its key decrypted with its passphrase', async () => {
      endsWith(await runStep(cloud, withClient(cloud.clientCertificate.passphrase)), undefined);
    });

    it('cannot be used with another passphrase', async () => {
      const ended = await runStep(cloud, withClient('another passphrase'));
      endsWith(ended, 'ET_CERTIFICATE_FILE');
      assert.equal(cloud.requests.length, 0);
    });

    it('is missed where the agent has none, and that is no certificate of the server’s', async () => {
      const ended = await runStep(cloud);
      endsWith(ended, 'ET_TLS');
    });
  });

  describe('names', () => {
    nameTests([
      ['a machine without IPv6, a name with an IPv6 address first', ['::1', alive], undefined, /^/],
      ['a first address where nobody listens', ['127.0.0.2', alive], undefined, /^/],
      ['a last address where nobody listens', [alive, '127.0.0.2'], undefined, /^/],
    ]);

    it('an outage that ends in time is got over', () =>
      clouds.lend(async (cloud) => {
        const resume = await cloud.outage('devops');
        const running = runStep(cloud, {
          job: {
            onLine: ({ text }) => {
              if (/ECONNREFUSED.*trying again/.test(text)) void resume();
            },
          },
        });
        endsWith(await running, undefined);
      }));
  });
});
