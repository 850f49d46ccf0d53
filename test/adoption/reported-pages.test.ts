import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { markdownFiles } from './markdown.ts';

const documents = markdownFiles();

// What people looked for on pages like these and did not find.
describe('the pages answer', () => {
  for (const [report, page, answers] of [
    [
      'web-unified-docs #2881, terraform #36458: from which version on Terraform’s backend asks Azure DevOps itself',
      'docs/recipes.md',
      [/backend `azurerm`.*\| 1\.11\.2 \|/],
    ],
    [
      'terraform-provider-azurerm #28674, azapi #852: and its providers',
      'docs/recipes.md',
      [/`hashicorp\/azurerm` \| 4\.18\.0/, /`hashicorp\/azuread` \| 3\.2\.0/, /`Azure\/azapi` \| 2\.4\.0/],
    ],
    [
      'azure-pipelines-agent #2937: which steps see the token file with a target',
      'docs/recipes.md',
      [/`target: host`\) \| one of the host/, /with `target: host` there is no such file/],
    ],
    ['where an export of a deployment job ends', 'docs/recipes.md', [/lifecycle hooks of a deployment job/]],
    [
      'GitTools/actions #1400: what a read-only variable does',
      'docs/errors.md',
      [/Overwriting readonly variable '…' is not permitted/],
    ],
    [
      'azure-dev #1482: a credential for each connection has a name of its own',
      'docs/getting-started.md',
      [/`az identity` replaces one of the same name/],
    ],
  ] as const) {
    it(report, () => {
      const text = documents.get(page) ?? '';
      for (const answer of answers) assert.match(text.replaceAll('\n', ' '), answer);
    });
  }
});
