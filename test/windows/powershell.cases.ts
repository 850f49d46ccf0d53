/** Every PowerShell that the documentation and the pipeline print is read by a parser; nothing here can run it. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { parseAllDocuments } from 'yaml';
import { root } from '../../scripts/layout.ts';
import { blocks, markdownFiles } from '../adoption/markdown.ts';
import { startCloud } from '../cloud/cloud.ts';
import { entraError, type Fault } from '../cloud/faults.ts';
import { runSteps } from '../task/run-steps.ts';
import { windowsFolder } from './wine.ts';

/** What is used of web-tree-sitter, which is installed into the build folder alone. */
interface TreeSitter {
  Parser: { new (): { setLanguage(language: unknown): void; parse(text: string): Tree }; init(): Promise<void> };
  Language: { load(file: string): Promise<unknown> };
}
interface Tree {
  readonly rootNode: { readonly hasError: boolean };
}

const installed = join(windowsFolder, 'node_modules');
const module: unknown = await import(pathToFileURL(join(installed, 'web-tree-sitter', 'web-tree-sitter.js')).href);
const { Parser, Language } = module as TreeSitter;
await Parser.init();
const language = await Language.load(join(installed, 'tree-sitter-powershell', 'tree-sitter-powershell.wasm'));

function isPowerShell(text: string): boolean {
  const parser = new Parser();
  parser.setLanguage(language);
  return !parser.parse(text).rootNode.hasError;
}

test('the parser knows PowerShell from what is none', () => {
  assert.ok(isPowerShell('$a = @{ b = "c" }\nGet-Item $a.b | ForEach-Object { $_.Name }\n'));
  for (const wrong of ['$a = (1', 'foreach ($a in 1, 2 { }', '"open', 'if [ -n "$a" ]; then echo; fi']) {
    assert.ok(!isPowerShell(wrong), wrong);
  }
});

for (const [place, script] of scripts()) {
  test(`${place} is PowerShell`, () => {
    assert.ok(isPowerShell(script.replaceAll(/\$\([\w.]+\)/g, 'value')), script);
  });
}

/** Each script of a step for PowerShell, in the documents and in the pipeline, and where it stands. */
function scripts(): [place: string, script: string][] {
  const texts = [...markdownFiles()].flatMap(([file, text]) =>
    [...blocks(text, 'yaml', 'yml')].map(({ line, code }): [string, string] => [`${file}, line ${line},`, code]),
  );
  texts.push(['azure-pipelines.yml', readFileSync(join(root, 'azure-pipelines.yml'), 'utf8')]);
  return texts.flatMap(([place, yaml]) =>
    parseAllDocuments(yaml)
      .flatMap((document) => powerShellIn(document.toJS()))
      .map((script): [string, string] => [place, script]),
  );
}

/** What stands under `pwsh` and `powershell`, and what `pwsh -Command` is given in Bash. */
function powerShellIn(value: unknown): string[] {
  if (typeof value === 'string') {
    return [...value.matchAll(/pwsh -NoProfile -Command '([^']*)'/g)].map(([, script = '']) => script);
  }
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, member]: [string, unknown]) =>
    /^(pwsh|powershell)$/.test(name) && typeof member === 'string' ? [member] : powerShellIn(member),
  );
}

test('the command that creates a missing credential is PowerShell where the log says so', async () => {
  const cloud = await startCloud();
  try {
    const faults: Fault[] = [
      { service: 'entra', do: entraError(700213, 'No matching federated identity record found.') },
    ];
    const { of } = await runSteps(cloud, [{ name: 'entra', inputs: { azureSubscription: 'prod' }, faults }]);
    const { log } = of('entra');
    const commands = [...log.matchAll(/, in PowerShell:\n(.+)/g)].map(([, command = '']) => command);
    assert.equal(commands.length, 2, log);
    for (const command of commands) assert.ok(isPowerShell(command), command);
  } finally {
    await cloud.close();
  }
});
