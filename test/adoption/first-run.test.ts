import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { root } from '../../scripts/layout.ts';
import { quickStart, startPicture, withoutChance } from '../../scripts/pictures.ts';
import { digestOf, readPng } from '../../scripts/png.ts';

const scratch = mkdtempSync(join(tmpdir(), 'entra-token-first-run-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

/** What a person sees who runs `npm start` with these arguments; the package is built already. */
async function start(...args: string[]): Promise<{ code: number; shown: string }> {
  const child = spawn(process.execPath, ['--import', 'tsx', join(root, 'scripts', 'start.ts'), ...args], {
    cwd: root,
    env: { ...process.env, NO_COLOR: '1', FORCE_COLOR: '' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let shown = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      shown += text;
    });
  }
  const code = await new Promise<number>((resolve) => child.once('close', (value) => resolve(value ?? -1)));
  return { code, shown };
}

/** The first YAML of the documentation's "Try it", word for word. */
function firstPipeline(): string {
  const page = readFileSync(join(root, 'docs', 'getting-started.md'), 'utf8').replaceAll('\r\n', '\n');
  const yaml = /^## Try it[\s\S]*?^```yaml\n([\s\S]*?)^```$/m.exec(page)?.[1];
  assert.ok(yaml, 'the page has no YAML to try');
  return yaml;
}

function save(name: string, yaml: string): string {
  const file = join(scratch, name);
  writeFileSync(file, yaml);
  return file;
}

describe('npm start', { concurrency: 2 }, () => {
  it('runs what getting-started.md says, word for word, and shows a log with its parts', async () => {
    const { code, shown } = await start(save('first.yml', firstPipeline()));
    assert.equal(code, 0, shown);
    for (const part of [
      /a local agent/,
      /^── EntraToken ─+$/m,
      /^\d\d:\d\d:\d\d\.\d{3} Access token {2}https:\/\/management\.azure\.com\/\.default$/m,
      /Hello from the protected API/,
      /valid until \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/,
      /^Summary$/m,
      /✓ EntraToken \(entra\) +Succeeded +\d+\.\d s/,
      /^✓ Succeeded in \d+\.\d s$/m,
    ]) {
      assert.match(shown, part);
    }
    assert.ok(!shown.includes('\x1b'), 'no colours where there is no terminal');
  });

  it('marks what failed, repeats it in the summary, says what was missing, and ends with the result', async () => {
    const yaml = firstPipeline().replace('azureSubscription: prod', 'azureSubscription: with-secret');
    const missing =
      '\n  - bash: |\n      curl -sS https://elsewhere.example\n      no-such-tool\n    condition: always()\n';
    const { code, shown } = await start(save('failing.yml', yaml + missing));
    assert.equal(code, 1, shown);
    assert.match(shown, /^\d\d:\d\d:\d\d\.\d{3} error: ET_CONNECTION_NOT_FEDERATED: /m);
    assert.match(shown, /✗ EntraToken \(entra\) +Failed[^\n]*\n +ET_CONNECTION_NOT_FEDERATED: /);
    assert.match(shown, /^✗ Failed in /m);
    assert.match(shown, /^This machine has no no-such-tool, which a step calls\.$/m);
    assert.match(shown, /^The local cloud has no elsewhere\.example:443: /m);
  });

  it('says of an output that no step has set what its name is', async () => {
    const yaml = firstPipeline().replace('$(entra.kv.accessToken)', '$(token.kv.accessToken)');
    const { shown } = await start(save('misnamed.yml', yaml));
    assert.match(
      shown,
      /misnamed\.yml:15: The job has no variable token\.kv\.accessToken.*\$\(entra\.kv\.accessToken\)\.$/m,
    );
    assert.doesNotMatch(shown, /This machine has no/);
  });

  const parameters = 'parameters:\n- name: connection\n  default: devops\n';
  const branch =
    "- bash: echo on $(Build.SourceBranchName)\n  condition: eq(variables['Build.SourceBranch'], 'refs/heads/x')\n";
  it('takes parameters, variables and a branch', async () => {
    const file = save(
      'parameters.yml',
      `${parameters}steps:\n- bash: echo \${{ parameters.connection }} $(who)\n${branch}`,
    );
    const { code, shown } = await start(
      '--parameter',
      'connection=prod',
      '--variable',
      'who=world',
      '--branch',
      'x',
      file,
    );
    assert.equal(code, 0, shown);
    assert.match(shown, /\d prod world$/m);
    assert.match(shown, /\d on x$/m);
    const { shown: other } = await start(file);
    assert.match(other, /Expanded: eq\('refs\/heads\/main', 'refs\/heads\/x'\)/);
  });

  const task = (name: string, inputs: string) => `steps:\n- task: ${name}\n  inputs: { ${inputs} }\n`;
  const mistakes: [name: string, yaml: string, says: RegExp][] = [
    [
      'an unknown task',
      task('EntraTokn@1', ''),
      /:2: The local agent has no task 'EntraTokn@1'\. Did you mean 'EntraToken@1'\?/,
    ],
    [
      'an unknown version',
      task('EntraToken@2', ''),
      /:2: There is no version 2 of the task EntraToken; there is EntraToken@1/,
    ],
    [
      'an unknown connection',
      task('EntraToken@1', 'azureSubscription: pord'),
      /:3: .*no service connection 'pord'\. Did you mean 'prod'\?/,
    ],
    [
      'a connection of another type',
      task('EntraToken@1', 'azureSubscription: devops'),
      /:3: .*the input takes AzureRM: prod, /,
    ],
    ['a misspelt key', 'stpes: []\n', /:1: 'stpes' is not a key of the pipeline\. Did you mean 'steps'\?/],
    ['a tab', 'steps:\n\t- bash: x\n', /:2: A tab is used for indentation/],
    ['nothing', '', /:1: The file is empty/],
  ];
  it('names the line of every mistake, and runs nothing', async () => {
    for (const [name, yaml, says] of mistakes) {
      const { code, shown } = await start(save('mistake.yml', `${yaml}`));
      assert.equal(code, 2, `${name}: ${shown}`);
      assert.match(shown, says, name);
      assert.match(shown, /^\S*mistake\.yml:\d+: [^\n]+\n$/, `${name}: one line alone`);
    }
  });

  const uses: [args: string[], says: RegExp][] = [
    [['--debg'], /There is no option --debg\. Did you mean --debug\?/],
    [['--branch'], /--branch needs a value/],
    [['--parameter', 'x'], /write --parameter name=value/],
    [['a.yml', 'b.yml'], /One pipeline at a time: a\.yml and b\.yml/],
    [[scratch], /is not a file/],
    [['quickstrat.yml'], /There is no pipeline quickstrat\.yml\. Did you mean examples.quickstart\.yml\?/],
  ];
  it('says what is wrong with its arguments', async () => {
    for (const [args, says] of uses) {
      const { code, shown } = await start(...args);
      assert.equal(code, 2, shown);
      assert.match(shown, says);
      assert.equal(shown.trim().split('\n').length, 1, shown);
    }
  });

  it('names the pipelines that there are to try', async () => {
    const { code, shown } = await start('--help');
    assert.equal(code, 0);
    for (const part of ['--parameter name=value', 'What does not: ', 'prod-vstoken', 'marketplace', 'aks-agents']) {
      assert.ok(shown.includes(part), part);
    }
    for (const name of readdirSync(join(root, 'examples')).filter((file) => file.endsWith('.yml'))) {
      assert.match(
        shown,
        new RegExp(`${name.replace('.', '\\.')} +\\S`),
        `${name} has a first comment that says what it is`,
      );
    }
  });

  it(`prints what ${startPicture} shows; npm run pictures draws it anew`, () => {
    const { digest } = readPng(readFileSync(join(root, startPicture)));
    const printed = withoutChance(quickStart());
    assert.equal(digest, digestOf(printed), printed);
  });
});
