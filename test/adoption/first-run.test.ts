import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { findChromium } from '../../scripts/browser.ts';
import { root } from '../../scripts/layout.ts';
import { quickStartStep, stalePicture, startPicture, withoutChance } from '../../scripts/pictures.ts';
import { digestOf, readPng } from '../../scripts/png.ts';
import { fileToRun, readArguments, UsageError } from '../../scripts/start.ts';
import { PipelineError } from '../agent/pipeline.ts';
import { type Cloud, startCloud } from '../cloud/cloud.ts';
import { readPipelineFile } from '../rehearsal.ts';
import { blocks, markdownFiles } from './markdown.ts';

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
  const page = markdownFiles().get('docs/getting-started.md') ?? '';
  const [first] = blocks(page.slice(page.indexOf('\n## Try it')), 'yaml');
  assert.ok(first, 'the page has no YAML to try');
  return first.code;
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

  const branch = "- bash: echo x\n  condition: eq(variables['Build.SourceBranch'], 'refs/heads/x')\n";
  it('takes parameters, variables and a branch, and says of a macro that was left what its name is', async () => {
    const parameters = 'parameters:\n- name: connection\n  default: devops\n';
    const use = `- bash: echo \${{ parameters.connection }} $(who) on $(Build.SourceBranchName) $(token.accessToken)\n`;
    const get = '- task: EntraToken@1\n  name: entra\n  inputs: { azureSubscription: prod }\n';
    const file = save('values.yml', `${parameters}steps:\n${get}${use}${branch}`);
    const options = ['--parameter', 'connection=prod', '--variable', 'who=world', '--branch', 'y'];
    const { code, shown } = await start(...options, file);
    assert.equal(code, 0, shown);
    assert.match(shown, /\d prod world on y$/m);
    assert.match(shown, /Expanded: eq\('refs\/heads\/y', 'refs\/heads\/x'\)/);
    assert.match(shown, /values\.yml:8: The job has no variable token\.accessToken.*\$\(entra\.accessToken\)\.$/m);
    assert.doesNotMatch(shown, /This machine has no/);
  });

  it('names the line of a mistake, runs nothing, and ends with 2', async () => {
    const { code, shown } = await start(save('mistake.yml', 'steps:\n- bash: touch ran\n- bsah: x\n'));
    assert.equal(code, 2);
    assert.match(shown, /^\S*mistake\.yml:3: 'bsah' is not a key of a step\. Did you mean 'bash'\?\n$/);
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

  it(`prints what ${startPicture} shows`, (test) => {
    const { digest } = readPng(readFileSync(join(root, startPicture)));
    const isStale = digest !== digestOf(withoutChance(quickStartStep()));
    if (isStale && findChromium() === undefined) test.skip(stalePicture(startPicture));
    else assert.ok(!isStale, stalePicture(startPicture));
  });
});

describe('mistakes in a pipeline', () => {
  let cloud: Cloud;
  before(async () => {
    cloud = await startCloud();
  });
  after(() => cloud.close());

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
      /:3: .*no service connection 'pord'\. Did you mean 'prod'\? There are prod, /,
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
  for (const [name, yaml, says] of mistakes) {
    it(`are named with their line: ${name}`, () => {
      const error = thrownBy(() => readPipelineFile(cloud, save('mistake.yml', yaml), {}, 'mistake.yml'));
      assert.ok(error instanceof PipelineError, String(error));
      assert.match(error.message, says);
      assert.match(error.message, /^mistake\.yml:\d+: [^\n]+$/, 'one line alone');
    });
  }
});

describe('who starts it with wrong arguments', () => {
  const uses: [args: string[], says: RegExp][] = [
    [['--debg'], /There is no option --debg\. Did you mean --debug\?/],
    [['--branch'], /--branch needs a value/],
    [['--parameter', 'x'], /write --parameter name=value/],
    [['a.yml', 'b.yml'], /One pipeline at a time: a\.yml and b\.yml/],
    [[scratch], /is not a file/],
    [['quickstrat.yml'], /There is no pipeline quickstrat\.yml\. Did you mean examples.quickstart\.yml\?/],
  ];
  for (const [args, says] of uses) {
    it(`is told: ${says.source}`, () => {
      const error = thrownBy(() => fileToRun(readArguments(args).file));
      assert.ok(error instanceof UsageError, String(error));
      assert.match(error.message, says);
    });
  }
});

function thrownBy(run: () => unknown): unknown {
  try {
    run();
    return undefined;
  } catch (error) {
    return error;
  }
}
