import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { isRecord } from '../../tasks/EntraTokenV1/text/json.ts';
import { type Cloud, startCloud } from '../cloud/cloud.ts';
import { assertFailed, assertSucceeded, type Rehearsed, runSteps } from './run-steps.ts';

// What users call their projects and connections, each with what the connection still stores of its subject.
const reports = [
  {
    report: 'azure-devops-cli-extension #1448: an emoji with a variation selector',
    name: 'cloud',
    subject: 'sc://contoso/☁\ufe0f platform/prod',
    stored: 'sc://contoso/platform/prod',
    says: [/stores the subject .*; the project was renamed\./, /subject sc:\/\/contoso\/☁\\ufe0f platform\/prod/],
  },
  {
    report: 'an emoji with a joiner, a soft hyphen, quotes and signs of shells',
    name: 'people',
    subject: `sc://contoso/web/👩\u200d💻 pro\u00adduction's "$HOME" \`!!\` 100% ##[error]`,
    stored: `sc://contoso/web/👩\u200d💻 pro\u00adduction's "$HOME" \`!!\` 100% ##[error]`,
    says: [/👩\\u200d💻 pro\\u00adduction/],
  },
  {
    report: 'Azure/login #515: upper and lower case',
    name: 'case',
    subject: 'sc://Contoso/Web/Prod',
    stored: 'sc://contoso/web/prod',
    says: [/upper and lower case alone/],
  },
  {
    report: 'azure-devops-migration-tools #2916: %20 for a blank',
    name: 'blank',
    subject: 'sc://contoso/web shop/prod',
    stored: 'sc://contoso/web%20shop/prod',
    says: [/percent-encoded/],
  },
  {
    report: 'azure-cli #26942: a carriage return behind the stored subject',
    name: 'return',
    subject: 'sc://contoso/web/return',
    stored: 'sc://contoso/web/return\r',
    says: [/sc:\/\/contoso\/web\/return\\u000d/, /a carriage return \(U\+000D\) at its end/],
  },
] as const;

let cloud: Cloud;
let failed: Rehearsed;
const folder = mkdtempSync(join(tmpdir(), 'entra-token-az-'));
const argumentsFile = join(folder, 'arguments');

before(async () => {
  writeFileSync(join(folder, 'az'), `#!/bin/bash --norc\nprintf '%s\\0' "$@" > '${argumentsFile}'\n`, { mode: 0o755 });
  cloud = await startCloud();
  for (const [index, { name, subject, stored }] of reports.entries()) {
    const { parameters, ...rest } = cloud.connections.azureRMOldIssuer;
    const issuer = parameters['workloadIdentityFederationIssuer'] ?? '';
    cloud.addConnection(
      {
        ...rest,
        id: `5d7b6f0e-2c1a-4f7e-8b9d-00000000000${index}`,
        name,
        parameters: { ...parameters, workloadIdentityFederationSubject: stored },
      },
      { issuer, subject, audience: 'api://AzureADTokenExchange' },
    );
  }
  failed = await run();
});

after(async () => {
  await cloud.close();
  rmSync(folder, { recursive: true, force: true });
});

function run(): Promise<Rehearsed> {
  const steps = reports.map(({ name }) => ({ name, inputs: { azureSubscription: name } }));
  return runSteps(cloud, steps, { connections: cloud.devOps.connections });
}

function pasted(command: string): string[] {
  execFileSync('bash', ['--norc', '-s'], { input: command, env: { PATH: `${folder}:${process.env['PATH']}` } });
  return readFileSync(argumentsFile, 'utf8').split('\0').slice(0, -1);
}

for (const { report, name, says } of reports) {
  test(`${report}: the line says what is missing and what differs`, () => {
    const line = assertFailed(failed.of(name), 'ET_SUBJECT_MISMATCH');
    for (const expected of says) assert.match(line, expected);
    assert.match(line, /look first: az ad app federated-credential list --id/);
  });
}

test('the commands copied out of the masked log create exactly what is missing: the steps succeed', async () => {
  for (const { name } of reports) {
    const { step } = failed.of(name);
    const red = step.lines.find((line) => line.startsWith('##[error]')) ?? '';
    const ofTheLine = /az ad app federated-credential create --id .+ --parameters '[^']*'/.exec(red)?.[0] ?? '';
    const alone = step.lines.find((line) => line.startsWith('az ad app federated-credential create '));
    assert.equal(ofTheLine, alone, 'the same in the error line and on a line of its own');
    const given = pasted(ofTheLine);
    const parameters: unknown = JSON.parse(given[given.indexOf('--parameters') + 1] ?? '');
    assert.ok(isRecord(parameters));
    cloud.federatedCredentials.push({
      tenantId: cloud.tenantId,
      clientId: given[given.indexOf('--id') + 1] ?? '',
      issuer: String(parameters['issuer']),
      subject: String(parameters['subject']),
      audience: String(parameters['audiences']),
    });
  }
  const again = await run();
  for (const { name } of reports) assertSucceeded(again.of(name));
});
