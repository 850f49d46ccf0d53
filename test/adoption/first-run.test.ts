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
      /good until \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/,
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
    assert.match(shown, /^The rehearsal has no elsewhere\.example:443: /m);
  });

  it('names the pipelines that there are to try', async () => {
    const { code, shown } = await start('--help');
    assert.equal(code, 0);
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

  it('says which pipeline is not there', async () => {
    const { code, shown } = await start('no-such.yml');
    assert.equal(code, 2);
    assert.match(shown, /There is no pipeline .*no-such\.yml/);
  });
});
