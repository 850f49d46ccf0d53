import './build-constants.ts';
import assert from 'node:assert/strict';
import { type AddressInfo, createServer } from 'node:net';
import { test } from 'node:test';
import * as tls from 'node:tls';
import { refusal } from '../../tasks/EntraTokenV1/exchange/refusal.ts';
import { Failure } from '../../tasks/EntraTokenV1/failure/failure.ts';
import { ConnectionPool } from '../../tasks/EntraTokenV1/network/pool.ts';
import type { Answer } from '../../tasks/EntraTokenV1/network/post.ts';
import { type HttpProxy, proxyFor, readNetwork } from '../../tasks/EntraTokenV1/network/settings.ts';
import { agentTrust } from '../../tasks/EntraTokenV1/network/trust.ts';
import { createWire } from '../../tasks/EntraTokenV1/network/wire.ts';
import { Secret } from '../../tasks/EntraTokenV1/text/secret.ts';
import { createAuthority } from '../cloud/certificates.ts';
import { startCloud } from '../cloud/cloud.ts';
import { fakeAgent } from './fake-agent.ts';

const proxySettings = (list: readonly string[]) => ({
  variables: { 'Agent.ProxyUrl': 'http://proxy:3128', 'Agent.ProxyBypassList': JSON.stringify(list) },
});

// azure-pipelines-agent #3790, #4718: what the agent makes of NO_PROXY.
for (const [entry, around, through] of [
  [
    '*\\.corp\\.example',
    ['https://tfs.corp.example/', 'https://tfs.corp.example:8443/'],
    ['https://corp.example.evil.com/'],
  ],
  ['*.corp.example', ['https://a.b.corp.example/'], ['https://mycorp.example/']],
  ['*\\.corp\\.example:8443', ['https://tfs.corp.example:8443/'], ['https://tfs.corp.example/']],
  ['*', ['https://dev.azure.com/'], []],
  ['**\\.azure\\.com', ['https://dev.azure.com/'], ['https://login.microsoftonline.com/']],
] as const) {
  test(`a bypass of the agent's that is no expression is read as meant: ${entry}`, () => {
    const { agent, told } = fakeAgent(proxySettings([entry]));
    const network = readNetwork(agent);
    for (const url of around) assert.equal(proxyFor(network, new URL(url)), undefined, url);
    for (const url of through) assert.ok(proxyFor(network, new URL(url)), url);
    assert.deepEqual(told.log, []);
  });
}

test('a bypass that means nothing is passed over, and said', () => {
  const { agent, told } = fakeAgent(proxySettings(['(', '[::1', 'dev\\.azure\\.com']));
  const network = readNetwork(agent);
  assert.equal(proxyFor(network, new URL('https://dev.azure.com/')), undefined);
  assert.deepEqual(told.log, [
    "Agent.ProxyBypassList: '(' is neither an expression nor a host, and is ignored.",
    "Agent.ProxyBypassList: '[::1' is neither an expression nor a host, and is ignored.",
  ]);
});

test('a certificate file of the host that a container does not have is named with the volume to mount', () => {
  const { agent, told } = fakeAgent({ variables: { 'Agent.CAInfo': '/etc/corp-that-is-not/ca.pem' } });
  assert.equal(readNetwork(agent).authorities, undefined);
  assert.match(
    told.log.join(),
    /ca\.pem\) is not there.* volumes: \[\/etc\/corp-that-is-not:\/etc\/corp-that-is-not:ro\]/,
  );
});

async function sendThrough(proxy: HttpProxy | undefined, url: string, ca?: string, crl?: string): Promise<Answer> {
  const network = { proxy, bypass: { hosts: [] }, authorities: ca, extraAuthoritiesFile: undefined };
  const pool = new ConnectionPool({
    network,
    trust:
      crl === undefined
        ? agentTrust({ ...network, clientCertificate: undefined, bundledAuthoritiesOnly: false })
        : { context: tls.createSecureContext({ ca, crl }), wider: undefined },
  });
  const send = createWire({
    pool: () => pool,
    now: Date.now,
    elapsed: () => performance.now(),
    sleep: async () => {},
    random: () => 0,
    log: () => {},
  });
  return send({ url: new URL(url), headers: {}, body: '', service: 'Entra' }).finally(() => pool.destroy());
}

async function refusedBy(proxy: HttpProxy | undefined, url: string, ca?: string, crl?: string): Promise<Failure> {
  try {
    await sendThrough(proxy, url, ca, crl);
  } catch (error) {
    assert.ok(error instanceof Failure, String(error));
    return error;
  }
  return assert.fail('it was not refused');
}

test('azure-pipelines-agent #5136: no mask of a word that stands in logs for other reasons', () => {
  const { agent, told } = fakeAgent({ environment: { HTTPS_PROXY: 'http://undefined:undefined@proxy:3128' } });
  readNetwork(agent);
  assert.ok(!told.masked.includes('undefined'), told.masked.join());
});

test('an answer is read without the byte order mark that some proxies put before it', async () => {
  const cloud = await startCloud();
  try {
    const body = '{"error":"invalid_client","error_codes":[700213]}';
    const text = `HTTP/1.1 401 No\r\nconnection: close\r\n\r\n\u00ef\u00bb\u00bf${body}`;
    cloud.faults = [{ service: 'entra', do: { kind: 'raw', text } }];
    const answer = await sendThrough(undefined, cloud.authorityUrl, cloud.ca.pem);
    assert.equal(answer.body, body);
    assert.equal(refusal(answer).code, 'ET_SUBJECT_MISMATCH');
  } finally {
    await cloud.close();
  }
});

// azure-pipelines-extensions #341, azure-pipelines-tasks #8909.
for (const [offered, user, says] of [
  [['Negotiate', 'NTLM'], 'agent', /accepts only Negotiate or NTLM\. .*\(Basic\) alone\. .*Px or Cntlm/],
  [['NTLM TlRMTVNTUAAC'], undefined, /accepts only NTLM\./],
  [['Digest realm="Basic", nonce="x"'], 'agent', /accepts only Digest\./],
  [['Negotiate, Basic realm="proxy"'], 'agent', /does not take the user and the password .* Check the user/],
  [['Basic realm="NTLM"'], undefined, /configured with no user .* Configure the agent with a user/],
  [[], undefined, /configured with no user/],
] as const) {
  test(`a proxy that offers ${offered.join(' and ') || 'nothing'} is told from a wrong password`, async () => {
    const headers = offered.map((scheme) => `Proxy-Authenticate: ${scheme}\r\n`).join('');
    const server = createServer((socket) => {
      socket.on('error', () => {});
      socket.once('data', () => socket.end(`HTTP/1.1 407 No\r\n${headers}Content-Length: 0\r\n\r\n`));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    try {
      const { port } = server.address() as AddressInfo;
      const failure = await refusedBy(
        { url: `http://127.0.0.1:${port}`, username: user, password: user && Secret.maskedByAgent('password') },
        'https://login.microsoftonline.com/',
      );
      assert.equal(failure.code, 'ET_PROXY');
      assert.match(failure.line(), says);
    } finally {
      server.close();
    }
  });
}

// azure-pipelines-tasks #15316, and what else is wrong with a certificate than whom one trusts.
for (const [which, says] of [
  ['expired', /CERT_HAS_EXPIRED.* has expired, .* clock/],
  ['notYetValid', /CERT_NOT_YET_VALID.* is not valid yet: .* Set the clock/],
  ['otherName', /ERR_TLS_CERT_ALTNAME_INVALID.* certificate is for another name/],
  ['selfSigned', /signed by .* that the agent does not trust.*--sslcacert/],
] as const) {
  test(`a certificate that is ${which} has advice of its own`, async () => {
    const cloud = await startCloud();
    try {
      cloud.faults = [{ service: 'entra', do: { kind: 'certificate', which } }];
      const failure = await refusedBy(undefined, cloud.authorityUrl, cloud.ca.pem);
      assert.equal(failure.code, 'ET_CERTIFICATE');
      assert.match(failure.line(), says);
      assert.equal(/sslcacert/.test(failure.line()), which === 'selfSigned');
    } finally {
      await cloud.close();
    }
  });
}

test('a certificate that was revoked has advice of its own', async () => {
  const authority = await createAuthority('Revoking');
  const certificate = await authority.issue({ name: 'localhost', hosts: ['localhost'] });
  const server = tls.createServer(certificate).on('tlsClientError', () => {});
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    const { port } = server.address() as AddressInfo;
    const crl = await authority.revoke(certificate);
    const failure = await refusedBy(undefined, `https://localhost:${port}/`, authority.pem, crl);
    assert.equal(failure.code, 'ET_CERTIFICATE');
    assert.match(failure.line(), /CERT_REVOKED.* was revoked by its authority\. .* to replace it/);
    assert.doesNotMatch(failure.line(), /sslcacert/);
  } finally {
    server.close();
  }
});
