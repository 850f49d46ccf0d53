import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import {
  creationCommands,
  credentialName,
  listCommands,
  type MissingCredential,
  powerShellCommands,
} from '../../tasks/EntraTokenV1/publish/missing-credential.ts';
import { printable } from '../../tasks/EntraTokenV1/text/text.ts';
import { createMasker } from '../agent/masker.ts';

const clientId = '0a7d4c52-93be-4f18-8c6e-d5b1f2e3a947';
const connectionId = '6c1f6c39-0f0b-4f0c-9d47-3a1b0c2d4e5f';
const audience = 'api://AzureADTokenExchange';

function credential(subject: string, issuer = 'https://vstoken.dev.azure.com/8a1b'): MissingCredential {
  return { name: credentialName(connectionId, { issuer, subject, audience }), issuer, subject, audience, clientId };
}

/** A line as a person copies it out of the log. */
function copied(line: string, hidden: readonly string[]): string {
  const masker = createMasker();
  for (const value of hidden) {
    masker.add(value);
  }
  return masker.mask(printable(line, 16_000));
}

const folder = mkdtempSync(join(tmpdir(), 'entra-token-az-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const argumentsFile = join(folder, 'arguments');
// Each argument ends in a NUL, which none can hold.
writeFileSync(join(folder, 'az'), `#!/bin/bash --norc\nprintf '%s\\0' "$@" > '${argumentsFile}'\n`, { mode: 0o755 });

/** What `az` is started with where Bash is given the text, in a locale that knows no more than ASCII. */
function pasted(command: string): string[] {
  execFileSync('bash', ['--norc', '--noprofile', '-o', 'histexpand', '-o', 'history', '-s'], {
    input: `${command}\n`,
    env: { PATH: `${folder}:${process.env['PATH']}`, LC_ALL: 'C' },
  });
  return readFileSync(argumentsFile, 'utf8').split('\0').slice(0, -1);
}

function valueAfter(flag: string, given: readonly string[]): string | undefined {
  return given[given.indexOf(flag) + 1];
}

// Everything that the name of an organization, project or connection may hold, and more.
const subjects: readonly (readonly [string, string])[] = [
  ['plain names', 'sc://contoso/storefront/prod'],
  ['blanks', 'sc://contoso/store front/prod  west'],
  ['a cloud with a variation selector (azure-devops-cli-extension #1448)', 'sc://contoso/web/☁\ufe0f prod'],
  ['a person with a joiner', 'sc://contoso/web/👩\u200d💻'],
  ['a soft hyphen', 'sc://contoso/web/pro\u00adduction'],
  ['a no-break space, a zero-width space and a byte order mark', 'sc://contoso/web/a\u00a0b\u200bc\ufeff'],
  ['text from right to left, with its marks', 'sc://contoso/web/\u202eabc\u202c שלום \u200f'],
  ['quotes of every kind', `sc://contoso/web/it's "quoted" \`here\` ‘and’ “there” ‚too‛`],
  ['what shells expand', 'sc://contoso/web/$HOME $(id) !! !x %PATH% ~ * ? {a,b} \\n \\\\ & | ; < > ^ #x'],
  ['what the agent takes for a command', 'sc://contoso/web/##vso[task.complete result=Failed]x ###[error] %AZP25'],
  ['line ends and a tab', 'sc://contoso/web/a\rb\nc\td'],
  ['characters beyond the basic plane', 'sc://contoso/web/𝔘𝔫𝔦𝔠𝔬𝔡𝔢 🏴\u{e0067}\u{e0062}\u{e007f}'],
  ['letters with and without composition', 'sc://contoso/web/é e\u0301 ü u\u0308'],
  ['Entra’s own form', '/eid1/c/pub/t/8d3f5c1e/a/0a7d4c52/sc/8a1b/6c1f6c39'],
  ['a service account', 'system:serviceaccount:agents:pipelines'],
  ['600 letters', `sc://contoso/${'wüb'.repeat(196)}`.slice(0, 600)],
  ['600 characters that nobody sees', `sc://contoso/web/${'\u200d\ufe0f'.repeat(300)}`.slice(0, 600)],
  ['every sign of ASCII', `sc://${Array.from({ length: 95 }, (_, at) => String.fromCharCode(32 + at)).join('')}`],
];

for (const [title, subject] of subjects) {
  const missing = credential(subject);
  for (const [masks, hidden] of [
    ['hides nothing', []],
    ['hides client, issuer and subject', [clientId, missing.issuer, subject]],
    ['hides parts of them', ['contoso', 'vstoken', clientId.slice(0, 8)]],
  ] as const) {
    test(`${title}: what is pasted into Bash creates exactly this credential, where the agent ${masks}`, () => {
      const { application, identity } = creationCommands(missing, hidden);
      const forApplication = pasted(copied(application, hidden));
      assert.deepEqual(forApplication.slice(0, 5), ['ad', 'app', 'federated-credential', 'create', '--id']);
      assert.equal(valueAfter('--id', forApplication), clientId);
      assert.deepEqual(JSON.parse(valueAfter('--parameters', forApplication) ?? ''), {
        name: missing.name,
        issuer: missing.issuer,
        subject,
        audiences: [audience],
      });
      const forIdentity = pasted(copied(identity, hidden));
      assert.deepEqual(forIdentity.slice(0, 3), ['identity', 'federated-credential', 'create']);
      for (const [flag, value] of [
        ['--name', missing.name],
        ['--issuer', missing.issuer],
        ['--subject', subject],
        ['--audiences', audience],
      ] as const) {
        assert.equal(valueAfter(flag, forIdentity), value);
      }
      assert.equal(valueAfter('--id', pasted(copied(listCommands(missing, hidden).application, hidden))), clientId);
    });

    test(`${title}: the form for PowerShell says the same in ASCII, where the agent ${masks}`, () => {
      const { application, identity } = powerShellCommands(missing, hidden);
      assert.deepEqual(fileOf(copied(application, hidden)), {
        name: missing.name,
        issuer: missing.issuer,
        subject,
        audiences: [audience],
      });
      assert.deepEqual(fileOf(copied(identity, hidden)), {
        properties: { issuer: missing.issuer, subject, audiences: [audience] },
      });
      const id = /--id (\('.*?'\)|'[^']*')/.exec(copied(application, hidden))?.[1] ?? '';
      assert.equal(id.replaceAll(/[()']|'\+'/g, '').replaceAll('+', ''), clientId);
    });
  }
}

/** What the command writes into its file: between single quotes, PowerShell takes every sign of ASCII but these as it is. */
function fileOf(command: string): unknown {
  const [, text = ''] =
    /^\$file = New-TemporaryFile; Set-Content -Path \$file -Encoding Ascii -Value '([^']*)'; az .* "@\$file"$/.exec(
      command,
    ) ?? [];
  assert.match(text, /^[\x20-\x7e]+$/);
  return JSON.parse(text);
}

test('a credential has a name of its own, which both commands take (azure-dev #1482)', () => {
  const one = credential('sc://contoso/web/prod');
  const names = [
    one.name,
    credential('sc://contoso/web/test').name,
    credentialName('another', one),
    credentialName('pipeline', one),
    credentialName('ü/ß '.repeat(60), one),
  ];
  assert.equal(new Set(names).size, names.length);
  for (const name of names) {
    assert.match(name, /^[A-Za-z0-9][A-Za-z0-9_-]{2,119}$/);
  }
  assert.equal(credential('sc://contoso/web/prod').name, one.name);
  assert.ok(one.name.includes(connectionId));
});
