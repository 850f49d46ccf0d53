import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import type { Cloud, Fault } from '../cloud/cloud.ts';
import { answers, hostileText } from '../cloud/faults.ts';
import { everySecond } from '../every-second.ts';
import type { Service } from './fault-table.ts';
import { LeakSearch } from './leaks.ts';
import { Clouds, type Ended, faultsOf, runStep } from './run-step.ts';

const clouds = new Clouds();
after(() => clouds.close());

describe('the search for leaks finds', () => {
  const value = 'eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIGxvbmcgc3ViamVjdCJ9.c2lnbmF0dXJlLW9mLXRoZS10b2tlbg';
  const search = new LeakSearch([{ name: 'token', value }]);
  const base64 = (text: string) => Buffer.from(text).toString('base64');
  const shown: [how: string, text: string][] = [
    ['the token', value],
    ['a piece of it', `x${value.slice(30, 54)}x`],
    ['its Base64', base64(value)],
    ['the Base64 of text before it, at the second offset', base64(`:${value}`)],
    ['the Base64 of text before it, at the third offset', base64(`ab${value}!`)],
    ['its URL-safe Base64', Buffer.from(value).toString('base64url')],
    ['its hexadecimal form', Buffer.from(value).toString('hex')],
  ];
  for (const [how, text] of shown) it(how, () => assert.notDeepEqual(search.find(`before ${text} after`), []));

  it('and nothing in a piece that is shorter', () => assert.deepEqual(search.find(value.slice(0, 23)), []));
});

/** What a service can send back of what it was sent: the job token, the ID token, the whole request. */
interface Sent {
  jobToken: string;
  idToken: string;
}

type Answer = (sent: Sent) => Fault['do'];

const json = (status: number, value: unknown, headers: Record<string, string> = {}): Fault['do'] => ({
  kind: 'answer',
  status,
  json: value,
  headers,
});
/** Pieces that fit where an identifier is expected. */
const pieces = (token: string, length: number, count = 8) =>
  Array.from({ length: count }, (_, index) => token.slice(40 + index * length, 40 + (index + 1) * length));
const lettersOf = (token: string): string =>
  (token.match(/[A-Za-z]+/g) ?? []).sort((a, b) => b.length - a.length)[0] ?? '';
const base64 = (text: string) => Buffer.from(text).toString('base64');

const echoes: [name: string, service: Service, answer: Answer][] = [
  ['the request as text', 'devops', () => answers.echo],
  ['the request as text', 'entra', () => answers.echo],
  ['the request as text, as a success', 'devops', () => answers.echoInSuccess],
  ['the request as text, as a success', 'entra', () => answers.echoInSuccess],
  [
    'the job token in headers, whole and in pieces',
    'devops',
    ({ jobToken }) => {
      const [first = '', second = '', third = '', fourth = ''] = pieces(jobToken, 100);
      return {
        kind: 'answer',
        status: 401,
        headers: {
          'x-vss-e2eid': first,
          activityid: second,
          'x-msedge-ref': third,
          'content-type': `text/${fourth.replaceAll(/[^a-z0-9]/gi, '').slice(0, 50)}`,
          'www-authenticate': `Bearer ${jobToken}`,
          date: jobToken,
          'retry-after': jobToken,
          location: `https://elsewhere.example/?token=${jobToken}`,
        },
        text: '',
      };
    },
  ],
  [
    'a piece of the job token as an identifier, hexadecimal',
    'devops',
    ({ jobToken }) => ({
      kind: 'answer',
      status: 401,
      headers: {
        'x-vss-e2eid': Buffer.from(jobToken.slice(50, 62)).toString('hex'),
        activityid: Buffer.from(jobToken.slice(50, 66))
          .toString('hex')
          .replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-'),
      },
    }),
  ],
  [
    'the job token as the status text',
    'devops',
    ({ jobToken }) => ({ kind: 'raw', text: `HTTP/1.1 400 ${jobToken}\r\ncontent-length: 0\r\n\r\n` }),
  ],
  [
    'the job token in every field of an error',
    'devops',
    ({ jobToken }) =>
      json(400, { typeKey: jobToken, typeName: jobToken, message: jobToken, value: jobToken, [jobToken]: 1 }),
  ],
  [
    'the longest word of the job token as the name of an exception',
    'devops',
    ({ jobToken }) => json(400, { typeKey: lettersOf(jobToken), message: 'no' }),
  ],
  [
    'its Base64 as the name of an exception',
    'devops',
    ({ jobToken }) => json(400, { typeKey: `${lettersOf(base64(jobToken))}Exception`, message: 'no' }),
  ],
  [
    'the job token as the connection that there is not',
    'devops',
    ({ jobToken }) =>
      json(404, {
        typeKey: 'ServiceEndpointNotFoundException',
        message: `No service connection found with identifier ${jobToken}.`,
      }),
  ],
  ['the job token as the ID token', 'devops', ({ jobToken }) => json(200, { oidcToken: jobToken })],
  [
    'half of the job token as the ID token',
    'devops',
    ({ jobToken }) => json(200, { oidcToken: jobToken.slice(0, jobToken.length / 2) }),
  ],
  [
    'both tokens in every field of an error',
    'entra',
    ({ jobToken, idToken }) =>
      json(400, {
        error: idToken,
        error_description: `AADSTS70021: ${idToken} ${jobToken}`,
        error_codes: [70021, idToken],
        timestamp: jobToken,
        trace_id: idToken.slice(40, 76),
        correlation_id: jobToken.slice(40, 76),
        suberror: idToken,
        claims: idToken,
        error_uri: `https://login.microsoftonline.com/?${idToken}`,
      }),
  ],
  [
    'the ID token in headers',
    'entra',
    ({ idToken }) =>
      json(
        503,
        {},
        {
          'x-ms-request-id': idToken.slice(40, 76),
          'client-request-id': idToken.slice(80, 116),
          'x-ms-ests-server': idToken,
          'retry-after': idToken,
          'www-authenticate': `Bearer ${idToken}`,
        },
      ),
  ],
  [
    'the ID token as the status text',
    'entra',
    ({ idToken }) => ({ kind: 'raw', text: `HTTP/1.1 400 ${idToken}\r\ncontent-length: 0\r\n\r\n` }),
  ],
  [
    'the ID token as the access token',
    'entra',
    ({ idToken }) => json(200, { access_token: idToken, token_type: 'Bearer', expires_in: 3600 }),
  ],
  [
    'the ID token as the type of the token',
    'entra',
    ({ idToken }) => json(200, { access_token: idToken, token_type: idToken, expires_in: 3600 }),
  ],
  [
    'the ID token as a lifetime',
    'entra',
    ({ idToken }) => json(200, { access_token: 'x'.repeat(40), token_type: 'Bearer', expires_in: idToken }),
  ],
  [
    'the ID token where it redirects to',
    'entra',
    ({ idToken }) => ({ kind: 'answer', status: 302, headers: { location: `https://elsewhere.example/?${idToken}` } }),
  ],
];

describe('a server that sends back', { concurrency: 3 }, () => {
  for (const [name, service, answer] of everySecond(echoes)) {
    it(`${name} (${service})`, () =>
      clouds.lend(async (cloud) => {
        const ended = await runEcho(cloud, service, answer);
        assert.deepEqual(faultsOf(ended), []);
      }));
  }

  const claims: [name: string, claims: (jobToken: string) => Record<string, unknown>][] = [
    ['the job token as the issuer', (token) => ({ iss: token })],
    ['the job token at the end of a long subject', (token) => ({ sub: `sc://${'x'.repeat(300)}/${token}` })],
    ['a piece of the job token as the audience', (token) => ({ aud: token.slice(30, 130) })],
    [
      'the job token in Base64 as a second audience',
      (token) => ({ aud: ['api://AzureADTokenExchange', base64(`u:${token}`)] }),
    ],
  ];
  for (const [name, change] of everySecond(claims)) {
    it(`${name} of the ID token`, () =>
      clouds.lend(async (cloud) => {
        const oidcToken = await cloud.issueIdToken({ connection: 'prod', claims: change(cloud.job.jobToken) });
        const ended = await runStep(cloud, { faults: [{ service: 'devops', do: json(200, { oidcToken }) }] });
        assert.deepEqual(faultsOf(ended), []);
      }));
  }
});

async function runEcho(cloud: Cloud, service: Service, answer: Answer): Promise<Ended> {
  const { jobToken } = cloud.job;
  const idToken = await cloud.issueIdToken({ connection: 'prod' });
  return runStep(cloud, {
    faults: [
      { service, do: answer({ jobToken, idToken }), ...(service === 'entra' ? { when: { first: 1 } } : {}) },
      { service: 'devops', do: json(200, { oidcToken: idToken }) },
    ],
    secrets: [{ name: 'ID token', value: idToken }],
  });
}

/** A word that is in every hostile text and nowhere else. */
const MARK = /hostile/i;
const command = '##vso[task.setvariable variable=PATH;isOutput=true]/hostile';
const inLines = `first\r\n${command}\n${command}\r##[error]hostile\u2028${command}`;

const commands: [name: string, service: Service, fault: Fault['do'], shows?: 'defused'][] = [
  ['the body of an error', 'devops', answers.hostileBody],
  ['the body of an error', 'entra', answers.hostileBody],
  ['the status line', 'devops', answers.hostileStatusLine],
  ['the status line', 'entra', answers.hostileStatusLine],
  ['headers', 'devops', answers.hostileHeaders],
  ['headers', 'entra', answers.hostileHeaders],
  [
    'every field of an error',
    'devops',
    json(400, { typeKey: command, typeName: inLines, message: inLines, value: inLines, errorCode: inLines }),
  ],
  [
    'every field of an error',
    'entra',
    json(400, {
      error: command,
      error_description: `AADSTS700016: ${inLines}`,
      error_codes: [700016, command],
      timestamp: inLines,
      trace_id: command,
      correlation_id: inLines,
      suberror: inLines,
    }),
  ],
  ['a number that is none', 'entra', json(400, { error: 'invalid_client', error_codes: [command] })],
  ['the ID token', 'devops', json(200, { oidcToken: inLines })],
  ['the access token', 'entra', json(200, { access_token: inLines, token_type: 'Bearer', expires_in: 3600 })],
  [
    'the access token, in one line',
    'entra',
    json(200, { access_token: command, token_type: 'Bearer', expires_in: 3600 }),
  ],
  [
    'the type of the token',
    'entra',
    json(200, { access_token: 'x'.repeat(40), token_type: inLines, expires_in: 3600 }),
  ],
  ['the lifetime', 'entra', json(200, { access_token: 'x'.repeat(40), token_type: 'Bearer', expires_in: inLines })],
  ['text that is no answer at all', 'devops', { kind: 'raw', text: hostileText }],
];

describe('a server that sends commands to the agent in', { concurrency: 3 }, () => {
  for (const [name, service, fault] of everySecond(commands)) {
    it(`${name} (${service})`, () =>
      clouds.lend(async (cloud) => {
        const ended = await runStep(cloud, { faults: [{ service, do: fault, when: { first: 1 } }] });
        assert.deepEqual(faultsOf(ended), []);
        assertNothingExecuted(ended);
        assert.doesNotMatch(ended.job.log.join('\n'), MARK);
        assert.doesNotMatch(JSON.stringify(ended.main.issues), MARK);
      }));
  }

  it('the claims of the ID token', () =>
    clouds.lend(async (cloud) => {
      const oidcToken = await cloud.issueIdToken({
        connection: 'prod',
        claims: { iss: `https://${inLines}`, sub: inLines, aud: [inLines, 'api://AzureADTokenExchange'] },
      });
      const ended = await runStep(cloud, { faults: [{ service: 'devops', do: json(200, { oidcToken }) }] });
      assert.deepEqual(faultsOf(ended), []);
      // The claims are what the log is for; but no line of it begins with one of them, and none holds a command.
      assertNothingExecuted(ended);
      for (const line of ended.job.log.filter((text) => MARK.test(text))) {
        assert.doesNotMatch(
          line,
          /^\s*(?:##|hostile)(?!\[debug\]Processed: |\[error\]ET_)|##vso\[task\.set|##\[error\]hostile/,
        );
      }
    }));
});

function assertNothingExecuted({ job, main }: Ended): void {
  for (const [name, { value }] of Object.entries(job.variables)) assert.doesNotMatch(value, MARK, name);
  for (const [name, { value }] of Object.entries(job.outputs)) assert.doesNotMatch(value, MARK, name);
  const foreign = main.lines.filter((line) => /Processed: ##vso\[task\.set(?!secret\]).*hostile/i.test(line));
  assert.deepEqual(foreign, []);
}

describe('what a step leaves behind', () => {
  it('children have no secret in their environment and arguments, files none in their names', () =>
    clouds.lend(async (cloud) => {
      const look = [
        '  - bash: |',
        '      if [ -d /proc/self ]; then for process in $(pgrep -f background.js); do',
        "        cat /proc/$process/environ /proc/$process/cmdline | tr '\\0' '\\n'; done",
        '      else ps -axww -E -o pid=,command= | grep background.js; fi',
        '      find "$(Agent.TempDirectory)"',
        '    name: look',
      ].join('\n');
      const password = 'the password of a proxy which is never reached';
      const ended = await runStep(cloud, {
        inputs: { exportEnvironment: 'workloadIdentity,azurePipelines,terraform' },
        later: look,
        job: {
          // A secret of the job that has nothing to do with the step.
          secretVariables: { unrelated: 'an-unrelated-secret-of-the-job' },
          proxy: { url: 'http://127.0.0.1:9', username: 'agent', password, bypass: ['localhost'] },
        },
        secrets: [
          { name: 'unrelated secret', value: 'an-unrelated-secret-of-the-job' },
          { name: 'proxy password', value: password },
        ],
      });
      assert.deepEqual(faultsOf(ended), []);
      const seen = ended.job.steps.find(({ name }) => name === 'look')?.rawOutput.stdout ?? '';
      assert.match(seen, /VSTS_PROCESS_LOOKUP_ID=/, 'the background process was looked at');
      assert.doesNotMatch(seen, /^(SECRET_|INPUT_|ENDPOINT_)/m);
      assert.deepEqual(ended.job.orphans, []);
      assert.deepEqual(ended.job.leftover, []);
    }));
});
