import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join, posix } from 'node:path';
import { describe, it } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { filesWithTables, staleTables, withTables } from '../../scripts/documents.ts';
import { visibleInputs } from '../../scripts/form.ts';
import { folders, taskSources } from '../../scripts/imports.ts';
import { readJson, root } from '../../scripts/layout.ts';
import { readManifest } from '../../scripts/manifest.ts';
import { codes } from '../../tasks/EntraTokenV1/failure/catalogue.ts';
import { anchorsOf, blocks, inlineCode, linksOf, markdownFiles, picturesOf } from './markdown.ts';

const REPOSITORY = 'https://github.com/entra-token/entra-token';
const RAW = 'https://raw.githubusercontent.com/entra-token/entra-token/main/';

const manifest = readManifest();
const documents = markdownFiles();

describe('the documentation', () => {
  it('has every page that the others build upon', () => {
    for (const page of ['getting-started', 'choosing-a-source', 'recipes', 'errors', 'security', 'performance']) {
      assert.ok(documents.has(`docs/${page}.md`), page);
    }
    for (const page of ['how-it-works', 'releasing', 'dependencies', 'decisions/README']) {
      assert.ok(documents.has(`docs/${page}.md`), page);
    }
  });

  for (const file of filesWithTables) {
    it(`${file} holds the tables that npm run documents makes`, () => {
      const text = documents.get(file) ?? '';
      assert.ok(withTables(file, text, manifest) === text, staleTables(file));
    });
  }

  it('reaches a working YAML within the first screen of README.md and of the Marketplace page', () => {
    for (const file of ['README.md', 'overview.md']) {
      const lines = (documents.get(file) ?? '').split('\n');
      const start = lines.indexOf('```yaml');
      assert.ok(start > 0 && start < 20, `${file}: line ${start}`);
    }
  });

  it('names each folder and each program of the task in README.md, with every file of a folder', () => {
    const [, map = ''] = (documents.get('README.md') ?? '').split('## Where things are');
    const sources = [...taskSources().keys()];
    const named = [...map.matchAll(/`([\w-]+\.ts)`/g)].map(([, name = '']) => name);
    assert.deepEqual(named.toSorted(), sources.map((file) => basename(file)).toSorted());
    for (const folder of folders) {
      const row = map.split('\n').find((line) => line.startsWith(`| \`${folder}/\``)) ?? '';
      const own = sources.filter((file) => dirname(file) === folder).map((file) => basename(file));
      assert.deepEqual(
        own.filter((file) => !row.includes(`\`${file}\``)),
        [],
        folder,
      );
    }
  });

  it('names only errors that there are', () => {
    for (const [file, text] of documents) {
      const unknown = [...text.matchAll(/\bET_[A-Z_]*[A-Z]\b/g)].filter(
        ([code]) => !codes.some((name) => name === code),
      );
      assert.deepEqual(
        unknown.map(([code]) => code),
        [],
        file,
      );
    }
  });

  it('speaks of the product alone', () => {
    for (const [file, text] of documents) {
      assert.doesNotMatch(text, /\/work\/|\/tmp\/|registry\.npmjs|\bTODO\b|\bFIXME\b/, file);
    }
  });
});

describe('every link', () => {
  for (const [file, text] of documents) {
    it(`of ${file} leads somewhere`, () => {
      assert.deepEqual(
        linksOf(text).flatMap((link) => faultOf(link, file)),
        [],
      );
    });
  }

  it('of the manifests leads to a page that is there', () => {
    for (const file of ['tasks/EntraTokenV1/task.json', 'vss-extension.json', 'package.json']) {
      const links = [...readFileSync(join(root, file), 'utf8').matchAll(/https:\/\/[^\s")]+/g)].map(([link]) => link);
      assert.deepEqual(
        links.flatMap((link) => faultOf(link, file)),
        [],
        file,
      );
    }
  });

  it('of a badge is checked: a workflow that is not there is found', () => {
    const workflows = `${REPOSITORY}/actions/workflows`;
    const right = [`${workflows}/ci.yml`, `${workflows}/ci.yml/badge.svg?branch=main`];
    const wrong = [`${workflows}/cd.yml`, `${workflows}/cd.yml/badge.svg?branch=main`, `${workflows}/ci.yml/badge.png`];
    assert.deepEqual(
      right.flatMap((link) => faultOf(link, 'README.md')),
      [],
    );
    assert.ok(wrong.every((link) => faultOf(link, 'README.md').length === 1));
  });

  it('of the Marketplace page is absolute, because the page is not shown beside the repository', () => {
    const relativeLinks = linksOf(documents.get('overview.md') ?? '').filter((link) => !link.startsWith('https://'));
    assert.deepEqual(relativeLinks, []);
  });

  it('of the Marketplace page to a picture leads to a PNG', () => {
    const pictures = picturesOf(documents.get('overview.md') ?? '');
    assert.ok(pictures.length >= 3, 'the flow, the log and the form');
    for (const link of pictures) {
      assert.match(link, /\.png$/, 'the Marketplace does not show SVG');
    }
  });
});

describe('every YAML', () => {
  for (const [file, text] of documents) {
    for (const { line, code } of blocks(text, 'yaml', 'yml')) {
      it(`of ${file}, line ${line}, is right`, () => assert.deepEqual(faultsOfYaml(code), []));
    }
  }

  for (const name of readdirSync(join(root, 'examples')).filter((file) => file.endsWith('.yml'))) {
    it(`of examples/${name} is right`, () => {
      assert.deepEqual(faultsOfYaml(readFileSync(join(root, 'examples', name), 'utf8')), []);
    });
  }

  it('of azure-pipelines.yml is right', () => {
    assert.deepEqual(faultsOfYaml(readFileSync(join(root, 'azure-pipelines.yml'), 'utf8')), []);
  });

  it('is checked: wrong ones are found', () => {
    const step = (inputs: string): string => `steps:\n- task: EntraToken@1\n  name: entra\n  inputs: ${inputs}\n`;
    const use = (macro: string): string => `- bash: curl\n  env: { TOKEN: $(${macro}) }\n`;
    const cases: [yaml: string, fault: RegExp][] = [
      [step('{ azureSubscription: prod, scope: arm }'), /no input scope/],
      [step('{ credentialSource: azure, azureSubscription: prod }'), /credentialSource/],
      [step('{ scopes: arm }'), /connectedServiceNameARM is missing/],
      [step('{ azureSubscription: prod, exportEnvironment: sdk }'), /exportEnvironment/],
      [step('{ azureSubscription: prod, enableCae: sure }'), /enableCae/],
      [step('{ azureSubscription: prod, clientId: x }'), /clientId is not for/],
      [step('{ credentialSource: pipeline, clientId: x }'), /tenantId is missing/],
      [step('{ azureSubscription: prod }') + use('entra.token'), /entra\.token/],
      [step('{ azureSubscription: prod, scopes: "kv = keyVault" }') + use('entra.accessToken'), /entra\.accessToken/],
      [step('{ azureSubscription: prod }') + use('entra.kv.accessToken'), /entra\.kv\.accessToken/],
      ['steps: [', /YAML/],
    ];
    for (const [yaml, fault] of cases) {
      assert.match(faultsOfYaml(yaml).join('\n'), fault, yaml);
    }
    const right = step('{ azureSubscription: prod, scopes: "kv = keyVault" }') + use('entra.kv.accessToken');
    assert.deepEqual(faultsOfYaml(right), []);
  });
});

describe('every command', () => {
  const scripts = readJson('package.json')['scripts'];
  const known = Object.keys(typeof scripts === 'object' && scripts !== null ? scripts : {});
  for (const [file, text] of documents) {
    const commands = [...blocks(text, 'console', 'bash', 'sh')].flatMap(({ code }) =>
      code.split('\n').filter((line) => /^(?:\$ )?npm /.test(line)),
    );
    const inline = inlineCode(text).filter((code) => /^npm (?:run |start|test)/.test(code));
    if (commands.length + inline.length > 0) {
      it(`of npm in ${file} exists`, () => {
        for (const command of [...commands, ...inline]) {
          const [, run, name = '', rest = ''] = /^(?:\$ )?npm (run )?([\w-]+)\s*(?:-- )?(.*)$/.exec(command) ?? [];
          assert.ok(known.includes(name) && (run !== undefined || ['start', 'test'].includes(name)), command);
          const example = /examples\/[\w-]+\.yml/.exec(rest)?.[0];
          assert.ok(example === undefined || existsSync(join(root, example)), command);
        }
      });
    }
  }
});

/** What GitHub shows of a repository beside its files. */
const pagesOfGitHub = new Set(['', '#readme', '/issues', '/security/advisories/new'].map((page) => REPOSITORY + page));

/** What is wrong with a link inside the repository; links to elsewhere are not followed. */
function faultOf(link: string, file: string): string[] {
  let target = link.replace(/^git\+/, '').replace(/\.git$/, '');
  if (target.startsWith(RAW)) {
    target = `/${target.slice(RAW.length)}`;
  } else if (target.startsWith(`${REPOSITORY}/blob/main/`)) {
    target = `/${target.slice(`${REPOSITORY}/blob/main/`.length)}`;
  } else if (target.startsWith(`${REPOSITORY}/actions/workflows/`)) {
    // The page of a workflow and its badge are there where the workflow is; the badge shows its runs of a branch.
    const [, name = '(none)'] = /\/workflows\/([\w-]+\.yml)(?:\/badge\.svg\?branch=main)?$/.exec(target) ?? [];
    target = `/.github/workflows/${name}`;
  } else if (pagesOfGitHub.has(target)) {
    return [];
  } else if (target.startsWith(REPOSITORY)) {
    return [`${link}: no page of the repository`];
  } else if (/^[a-z]+:/.test(target)) {
    return [];
  }
  const [path = '', anchor] = target.split('#');
  const place = path.startsWith('/') ? path.slice(1) : path === '' ? file : posix.join(dirname(file), path);
  if (!existsSync(join(root, place))) {
    return [`${link}: ${place} is not there`];
  }
  if (anchor !== undefined && place.endsWith('.md') && !anchorsOf(documents.get(place) ?? '').has(anchor)) {
    return [`${link}: ${place} has no heading #${anchor}`];
  }
  return [];
}

interface Step {
  readonly name: string;
  readonly inputs: ReadonlyMap<string, string>;
}

/** What is wrong with a YAML: its syntax, the inputs of each EntraToken step, and the outputs that other steps use. */
function faultsOfYaml(code: string): string[] {
  const parsed = parseAllDocuments(code);
  const all = Array.isArray(parsed) ? parsed : [];
  const syntax = all.flatMap(({ errors }) => errors.map(({ message }) => `YAML: ${message}`));
  if (syntax.length > 0) {
    return syntax;
  }
  const steps = all.flatMap((document) => entraSteps(document.toJS()));
  return [...steps.flatMap(faultsOfStep), ...steps.flatMap((step) => faultsOfUse(step, code, steps))];
}

/** The EntraToken steps at any depth: of a list, of jobs, of stages, of a template. */
function entraSteps(value: unknown): Step[] {
  if (Array.isArray(value)) {
    return value.flatMap(entraSteps);
  }
  if (typeof value !== 'object' || value === null) {
    return [];
  }
  const fields = new Map<string, unknown>(Object.entries(value));
  const inner = [...fields.values()].flatMap(entraSteps);
  if (!/^EntraToken(?:Development)?@/.test(String(fields.get('task')))) {
    return inner;
  }
  assert.match(String(fields.get('task')), /@1$/);
  const inputs = Object.entries(fields.get('inputs') ?? {}).map(([name, item]): [string, string] => {
    const known = manifest.inputs.find(
      ({ name: own, aliases }) => own.toLowerCase() === name.toLowerCase() || aliases.includes(name),
    );
    return [known?.name ?? `no input ${name}`, String(item ?? '')];
  });
  return [{ name: String(fields.get('name') ?? ''), inputs: new Map(inputs) }];
}

function faultsOfStep({ inputs }: Step): string[] {
  const faults = [...inputs.keys()].filter((name) => name.startsWith('no input'));
  const entered = Object.fromEntries(inputs);
  const shown = visibleInputs(manifest, entered).map(({ name }) => name);
  const source = inputs.get('credentialSource') ?? 'azureRM';
  for (const { name, type, options, properties, required } of manifest.inputs) {
    const value = inputs.get(name);
    const needed = required || (source === 'pipeline' && ['tenantId', 'clientId'].includes(name));
    if (value === undefined) {
      if (needed && shown.includes(name) && name !== 'credentialSource') {
        faults.push(`${name} is missing`);
      }
      continue;
    }
    if (!shown.includes(name)) {
      faults.push(`${name} is not for ${source}`);
    }
    const isMacro = /\$[({[]/.test(value);
    const several = properties.get('MultiSelectFlatList') === 'True' ? value.split(/[\s,]+/) : [value];
    if (type === 'pickList' && !isMacro && !several.every((item) => options.has(item))) {
      faults.push(`${name} cannot be ${value}`);
    }
    if (type === 'boolean' && !isMacro && !['true', 'false'].includes(value)) {
      faults.push(`${name} cannot be ${value}`);
    }
  }
  return faults;
}

/** A macro or a reference across jobs that names this step may only name an output that it sets. */
function faultsOfUse({ name }: Step, code: string, steps: readonly Step[]): string[] {
  if (name === '') {
    return [];
  }
  // Jobs may each have a step of this name; what one of them sets may be used.
  const outputs = new Set(steps.filter((step) => step.name === name).flatMap(outputsOf));
  const uses = [
    ...code.matchAll(new RegExp(`\\$\\(${name}\\.([\\w.]+)\\)`, 'g')),
    ...code.matchAll(new RegExp(`outputs\\['(?:\\w+\\.)?${name}\\.([\\w.]+)'\\]`, 'g')),
  ];
  return uses.flatMap(([, output = '']) => (outputs.has(output) ? [] : [`$(${name}.${output}) is not set`]));
}

function outputsOf({ inputs }: Step): string[] {
  const lines = (inputs.get('scopes') ?? 'arm').split('\n').filter((line) => line.trim() !== '');
  const names = lines.map((line) => /^\s*([A-Za-z]\w*)\s*=/.exec(line)?.[1]);
  const ofLine = ['accessToken', 'expiresOn', 'refreshOn'];
  const others = manifest.outputs.map(({ name }) => name).filter((name) => !ofLine.includes(name));
  return [
    ...others.filter((name) => name !== 'idToken' || inputs.get('exportIdToken') === 'true'),
    ...names.flatMap((name) => ofLine.map((output) => (name === undefined ? output : `${name}.${output}`))),
  ];
}
