import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type Cloud, startCloud } from '../cloud/cloud.ts';
import { whyMissing } from '../missing.ts';
import { runPipelineFile } from '../rehearsal.ts';
import { blocks, markdownFiles } from './markdown.ts';

let cloud: Cloud;
let scratch: string;

before(async () => {
  scratch = mkdtempSync(join(tmpdir(), 'documents-'));
  cloud = await startCloud();
});
after(async () => {
  await cloud.close();
  rmSync(scratch, { recursive: true, force: true });
});

/** The pipelines that npm run tools runs instead, or nothing does, by what they call, and what they need. */
const notRun = new Map([
  ['node deploy.js', 'a program of the reader'],
  ['python3 deploy.py', 'a program of the reader'],
  ['dotnet run', 'a program of the reader'],
  ['Connect-AzAccount', 'PowerShell with the module Az'],
  ['azd up', 'azd, and an application of the reader'],
  ['terraform apply', 'a configuration of the reader, and providers from the network'],
  ['azcopy copy', 'AzCopy, and a storage account'],
  ['kubelogin', 'kubelogin, and a cluster'],
  ['twine upload', 'twine, and a package of the reader'],
  ['npm publish', 'a package of the reader'],
  ['sqlcmd -S', 'sqlcmd, and a database'],
  ['Invoke-Sqlcmd', 'PowerShell with the module SqlServer, and a database'],
]);

/** Tools that a pipeline calls and that not every machine has. */
const tools = ['az', 'git', 'jq'];

describe('every pipeline of the documentation runs as it is printed:', { concurrency: 3 }, () => {
  const pipelines = wholePipelines();
  for (const [yaml, place] of pipelines) {
    if ([...notRun.keys()].some((call) => yaml.includes(call))) continue;
    const isPowerShell = /^ *- (?:pwsh|powershell):/m.test(yaml);
    const called = (name: string): boolean => new RegExp(`(^ *(- bash: )?|\\| )${name} `, 'm').test(yaml);
    const tool = isPowerShell ? 'pwsh' : tools.find(called);
    it(place, { skip: tool === undefined ? false : whyMissing(tool) }, async () => {
      const file = join(scratch, `${place.replace(/\W+/g, '-')}.yml`);
      writeFileSync(file, yaml);
      const { result, log, unknownHosts } = await runPipelineFile(cloud, file);
      assert.equal(result, 'Succeeded', log.join('\n'));
      assert.deepEqual(unknownHosts, []);
      assert.ok(!log.some((line) => line.includes('Sign In')), 'what it asks for is answered');
    });
  }

  it('but for those that need what the rehearsal does not have', () => {
    for (const [call, reason] of notRun) {
      assert.ok(
        [...pipelines.keys()].some((yaml) => yaml.includes(call)),
        `nothing needs ${reason}`,
      );
    }
  });
});

/** Each YAML that is a whole pipeline with the task, once, and where it stands. */
function wholePipelines(): Map<string, string> {
  const found = new Map<string, string>();
  for (const [file, text] of markdownFiles()) {
    for (const { line, code } of blocks(text, 'yaml', 'yml')) {
      const isPipeline = /^(steps|jobs):/m.test(code) && code.includes('task: EntraToken@1');
      if (isPipeline && !found.has(code)) found.set(code, `${file}, line ${line}`);
    }
  }
  return found;
}
