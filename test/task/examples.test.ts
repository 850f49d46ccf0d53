import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { root } from '../../scripts/layout.ts';
import { credentialSources } from '../../tasks/EntraTokenV1/request/inputs.ts';
import { seeProcesses } from '../agent/orphans.ts';
import { startCloud } from '../cloud/cloud.ts';
import { whyMissing } from '../missing.ts';
import { runPipelineFile } from '../rehearsal.ts';
import { assertNothingLeaked } from './run-steps.ts';

const cloud = await startCloud();
after(() => cloud.close());

const greeting = /Hello from the protected API/;

interface Example {
  file: string;
  /** The sources that its steps really use. */
  sources: string[];
  /** The services that are asked, in this order; absent where that is for its tool to decide. */
  services?: string[];
  /** What a person sees in its log. */
  shows: RegExp[];
  /** What is not there. */
  lacks?: RegExp;
  /** What has to be installed, and in which version at least. */
  tool?: string;
  least?: string;
  /** It keeps its token out of the list of processes. */
  hides?: boolean;
}

const examples: Example[] = [
  { file: 'quickstart.yml', sources: ['azureRM'], services: ['devops', 'entra', 'api'], shows: [greeting] },
  { file: 'azure-rm.yml', sources: ['azureRM'], services: ['devops', 'entra', 'api', 'api'], shows: [greeting] },
  {
    file: 'azure-devops.yml',
    sources: ['azureDevOps'],
    services: ['devops', 'entra'],
    shows: [/may act in Azure DevOps until \d{4}-/],
  },
  {
    file: 'pipeline-identity.yml',
    sources: ['pipeline'],
    services: ['devops', 'entra', 'api'],
    shows: [greeting, /^Client +[0-9a-f-]{36}$/, /^ +issuer +https:\/\/vstoken\.dev\.azure\.com\/[0-9a-f-]{36}$/],
  },
  { file: 'kubernetes.yml', sources: ['kubernetes'], services: ['entra', 'api'], shows: [greeting] },
  {
    file: 'kubernetes-identity-binding.yml',
    sources: ['kubernetes'],
    services: ['tokenProxy', 'api'],
    shows: [greeting],
  },
  {
    file: 'named-scopes.yml',
    sources: ['azureRM'],
    services: ['devops', 'entra', 'entra', 'entra', 'entra', 'api'],
    shows: [greeting],
  },
  {
    file: 'sovereign-cloud.yml',
    sources: ['azureRM', 'azureRM'],
    services: ['devops', 'entra', 'entra', 'devops', 'entra'],
    shows: [/^China: client .* until \d{4}-/],
  },
  { file: 'another-tenant.yml', sources: ['azureRM'], services: ['devops', 'entra', 'api'], shows: [greeting] },
  {
    file: 'recipe-curl.yml',
    sources: ['azureRM'],
    services: ['devops', 'entra', 'api'],
    shows: [greeting],
    hides: true,
  },
  { file: 'recipe-azure-sdk.yml', sources: ['azureRM'], shows: [/^Signed in to Key Vault until \d{4}-/] },
  { file: 'recipe-git.yml', sources: ['azureDevOps'], shows: [/ The first commit$/], tool: 'git', hides: true },
  // It shows when its access token expires.
  { file: 'recipe-azure-cli.yml', sources: ['azureRM'], shows: [/^\d{4}-\d\d-\d\d \d\d:/], tool: 'az' },
  {
    file: 'recipe-endpoint-azure-cli.yml',
    sources: ['azureRM'],
    shows: [/^storefront$/, /^\d{4}-\d\d-\d\d \d\d:/],
    tool: 'az',
    hides: true,
    least: '2.73',
  },
  {
    file: 'recipe-terraform.yml',
    sources: ['azureRM'],
    services: ['devops', 'entra'],
    shows: [/^SYSTEM_ACCESSTOKEN is set$/, /^SYSTEM_OIDCREQUESTURI is set$/, /^ARM_USE_OIDC=true$/],
    // A token that could grow old.
    lacks: /ARM_OIDC_TOKEN/,
  },
  {
    file: 'recipe-terraform-file.yml',
    sources: ['pipeline'],
    services: ['devops', 'entra'],
    shows: [/^ARM_OIDC_TOKEN_FILE_PATH=.*id-token$/],
    lacks: /SERVICE_CONNECTION/,
  },
];

for (const { file, sources, services, shows, lacks, tool, least, hides } of examples) {
  test(`examples/${file} runs as it stands`, {
    skip: tool === undefined ? false : whyMissing(tool, least),
  }, async () => {
    const before = cloud.requests.length;
    const shown: string[] = [];
    const { verifyAccessToken } = cloud;
    cloud.verifyAccessToken = (token) => {
      // Whoever sent it waits for the answer.
      shown.push(...argumentsThatHold(token));
      return verifyAccessToken(token);
    };
    const job = await runPipelineFile(cloud, join(root, 'examples', file));
    cloud.verifyAccessToken = verifyAccessToken;
    const log = job.log.join('\n');
    assert.equal(job.result, 'Succeeded', log);
    for (const wanted of shows) assert.match(log, new RegExp(wanted, 'm'));
    if (lacks !== undefined) assert.doesNotMatch(log, lacks);
    if (hides) assert.deepEqual(shown, []);
    const used = Object.entries(job.outputs).flatMap(([name, { value }]) =>
      name.endsWith('.credentialSource') ? [value] : [],
    );
    assert.deepEqual(used, sources);
    const asked = cloud.requests.slice(before).map(({ service }) => service);
    assert.deepEqual(asked, services ?? asked);
    const errors = job.steps.flatMap(({ issues }) => issues.filter(({ type }) => type === 'error'));
    assert.deepEqual(
      { errors, orphans: job.orphans, unknownHosts: job.unknownHosts },
      { errors: [], orphans: [], unknownHosts: [] },
    );
    assertNothingLeaked(cloud, job);
  });
}

/** What the first step of the quick start prints between the header of the agent and its last line. */
async function logOfQuickStart(systemDebug: boolean): Promise<string[]> {
  const { steps } = await runPipelineFile(cloud, join(root, 'examples', 'quickstart.yml'), { systemDebug });
  const lines = steps[0]?.lines ?? [];
  const header = lines.findLastIndex((line) => /^={20,}$/.test(line));
  return lines.slice(header + 1, -1).filter((line) => !line.startsWith('##[debug]'));
}

test('the log of a green step fits one screen, and has the federation in a group', async () => {
  const lines = await logOfQuickStart(false);
  assert.ok(lines.length <= 20, lines.join('\n'));
  for (const line of lines) assert.ok(line.replace('##[group]', '').length <= 80, line);
  assert.ok(lines.some((line) => line.startsWith('##[group]Federation details')));
  assert.equal(lines.filter((line) => line === '##[endgroup]').length, 1);
  for (const answer of [
    /^Source .*azureRM/,
    /^Client /,
    /^Tenant /,
    /^Access token .*vault/,
    /^ {2}expires .* \(in /,
    /TOKEN: \$\(entra\./,
  ]) {
    assert.ok(
      lines.some((line) => answer.test(line)),
      String(answer),
    );
  }
});

test('with System.Debug the federation is open', async () => {
  const lines = await logOfQuickStart(true);
  assert.ok(
    lines.some((line) => line.startsWith('Federation details')),
    lines.join('\n'),
  );
  assert.ok(!lines.some((line) => line.startsWith('##[group]')));
});

test('each source has an example, and each example is here and says in its first line what it shows', () => {
  assert.deepEqual(new Set(examples.flatMap(({ sources }) => sources)), new Set(credentialSources));
  const files = examples.map(({ file }) => file);
  assert.deepEqual(files.sort(), readdirSync(join(root, 'examples')).sort());
  for (const file of files) {
    assert.match(readFileSync(join(root, 'examples', file), 'utf8'), /^# [A-Z][^\n]{20,110}[.]\n/, file);
  }
});

/** The processes of this machine that have a token among their arguments; none where it has no list of them. */
function argumentsThatHold(token: string): string[] {
  return seeProcesses()
    .map((process) => process.arguments.join(' '))
    .flatMap((text) => (text.includes(token) ? [text.slice(0, 60)] : []));
}
