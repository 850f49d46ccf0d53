import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { root } from '../../scripts/layout.ts';
import { credentialSources } from '../../tasks/EntraTokenV1/request.ts';
import { startCloud } from '../cloud/cloud.ts';
import { runPipelineFile } from '../rehearsal.ts';
import { assertNothingLeaked } from './steps.ts';

const cloud = await startCloud();
after(() => cloud.close());

const greeting = /Hello from the protected API/;

/** Each example with the sources that its steps really used, and what a person sees in its log. */
const examples = [
  { file: 'quickstart.yml', sources: ['azureRM'], services: ['devops', 'entra', 'api'], shows: greeting },
  { file: 'azure-rm.yml', sources: ['azureRM'], services: ['devops', 'entra', 'api', 'api'], shows: greeting },
  {
    file: 'azure-devops.yml',
    sources: ['azureDevOps'],
    services: ['devops', 'entra'],
    shows: /may act in Azure DevOps until \d{4}-/,
  },
  { file: 'pipeline-identity.yml', sources: ['pipeline'], services: ['devops', 'entra', 'api'], shows: greeting },
  { file: 'kubernetes.yml', sources: ['kubernetes'], services: ['entra', 'api'], shows: greeting },
  {
    file: 'kubernetes-identity-binding.yml',
    sources: ['kubernetes'],
    services: ['tokenProxy', 'api'],
    shows: greeting,
  },
  {
    file: 'named-scopes.yml',
    sources: ['azureRM'],
    services: ['devops', 'entra', 'entra', 'entra', 'entra', 'api'],
    shows: greeting,
  },
  {
    file: 'sovereign-cloud.yml',
    sources: ['azureRM', 'azureRM'],
    services: ['devops', 'entra', 'entra', 'devops', 'entra'],
    shows: /^China: client .* until \d{4}-/,
  },
  { file: 'another-tenant.yml', sources: ['azureRM'], services: ['devops', 'entra', 'api'], shows: greeting },
];

for (const { file, sources, services, shows } of examples) {
  test(`examples/${file} runs as it stands`, async () => {
    const before = cloud.requests.length;
    const job = await runPipelineFile(cloud, join(root, 'examples', file));
    assert.equal(job.result, 'Succeeded', job.log.join('\n'));
    assert.ok(
      job.log.some((line) => shows.test(line)),
      job.log.join('\n'),
    );
    const used = Object.entries(job.outputs).flatMap(([name, { value }]) =>
      name.endsWith('.credentialSource') ? [value] : [],
    );
    assert.deepEqual(used, sources);
    assert.deepEqual(
      cloud.requests.slice(before).map(({ service }) => service),
      services,
    );
    assert.deepEqual(
      job.steps.flatMap(({ issues }) => issues.filter(({ type }) => type === 'error')),
      [],
    );
    assertNothingLeaked(cloud, job);
  });
}

test('each source has an example, and each example says in its first line what it shows', () => {
  assert.deepEqual(new Set(examples.flatMap(({ sources }) => sources)), new Set(credentialSources));
  for (const { file } of examples) {
    assert.match(readFileSync(join(root, 'examples', file), 'utf8'), /^# [A-Z][^\n]{20,110}[.]\n/, file);
  }
});
