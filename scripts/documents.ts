import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { catalogue, codes } from '../tasks/EntraTokenV1/failure/catalogue.ts';
import { type ExportFacts, exportVariables, needsTokenFile } from '../tasks/EntraTokenV1/publish/exports.ts';
import { china, presetNames, publicCloud, usGovernment } from '../tasks/EntraTokenV1/request/clouds.ts';
import { credentialSources, type ExportKind, exportKinds } from '../tasks/EntraTokenV1/request/inputs.ts';
import { leftOut } from './build.ts';
import { visibleInputs } from './form.ts';
import { root } from './layout.ts';
import { type Manifest, type ManifestInput, readManifest } from './manifest.ts';

const clouds = [publicCloud, usGovernment, china];

/** The tables that stand in the documentation between two markers, by the file and the marker's name. */
const tables: Readonly<Record<string, Readonly<Record<string, (manifest: Manifest) => string>>>> = {
  'overview.md': { inputs, outputs },
  'docs/choosing-a-source.md': { presets },
  'docs/errors.md': { codes: codeIndex },
  'docs/recipes.md': { exports: exportTable },
  'docs/decisions/left-out.md': { 'left-out': leftOutModules },
};

/** A file of the documentation with its tables made anew. Throws where a marker is missing. */
export function withTables(file: string, text: string, manifest: Manifest = readManifest()): string {
  return Object.entries(tables[file] ?? {}).reduce((result, [name, make]) => {
    const marked = new RegExp(`(<!-- ${name}: npm run documents -->)[\\s\\S]*?(<!-- ${name} end -->)`);
    if (!marked.test(result)) {
      throw new Error(`${file} has no markers for the table '${name}'`);
    }
    return result.replace(marked, (_, begin: string, end: string) => `${begin}\n\n${make(manifest)}\n${end}`);
  }, text);
}

/** The files that have such tables. */
export const filesWithTables = Object.keys(tables);

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return `${[line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')}\n`;
}

function inputs(manifest: Manifest): string {
  const rows = manifest.inputs.map((input) => [
    [input.name, ...input.aliases]
      .map((name) => `\`${name}\``)
      .reverse()
      .join(' or '),
    choices(input),
    shownFor(manifest, input),
    input.help.replaceAll('|', '\\|'),
  ]);
  return table(['Input', 'Value', 'For', 'Meaning'], rows);
}

function choices({ type, options, properties, defaultValue, required }: ManifestInput): string {
  const byDefault = (value: string): string => (value === defaultValue ? `**\`${value}\`**` : `\`${value}\``);
  if (type === 'boolean') {
    return ['true', 'false'].map(byDefault).join(', ');
  }
  if (type === 'pickList') {
    const several = properties.get('MultiSelectFlatList') === 'True' ? 'any of ' : '';
    return several + [...options.keys()].map(byDefault).join(', ');
  }
  if (type === 'multiLine') {
    return 'lines';
  }
  return `${type.startsWith('connectedService:') ? 'a connection' : 'text'}${required ? ', required' : ''}`;
}

function shownFor(manifest: Manifest, input: ManifestInput): string {
  const sources = credentialSources.filter((source) =>
    visibleInputs(manifest, { credentialSource: source, exportEnvironment: 'tokenFile' }).includes(input),
  );
  return sources.length === credentialSources.length ? 'all' : sources.map((source) => `\`${source}\``).join(', ');
}

function outputs(manifest: Manifest): string {
  return table(
    ['Output', 'Meaning'],
    manifest.outputs.map(({ name, description }) => [`\`${name}\``, description]),
  );
}

function presets(): string {
  const rows = presetNames.map((name) => [
    `\`${name}\``,
    ...clouds.map(({ resources }) => (resources[name] === undefined ? '–' : `\`${resources[name]}\``)),
  ]);
  return table(['Preset', ...clouds.map(({ title }) => title.replace(/^the /, ''))], rows);
}

/** What each export sets, told apart by whether the step names a connection where that makes a difference. */
function exportTable(): string {
  const rows = exportKinds.flatMap((kind) => {
    const [withOne, without] = [exportRow(kind, true), exportRow(kind, false)];
    if (kind === 'azurePipelines' || withOne.join() === without.join()) return [[`\`${kind}\``, ...withOne]];
    return [
      [`\`${kind}\`, with a service connection`, ...withOne],
      [`\`${kind}\`, without one`, ...without],
    ];
  });
  return table(['`exportEnvironment`', 'Variables', 'Token file'], rows);
}

function exportRow(kind: ExportKind, hasConnection: boolean): string[] {
  const facts: ExportFacts = {
    kinds: new Set([kind]),
    clientId: 'client',
    tenantId: 'tenant',
    authority: publicCloud.authority,
    terraformEnvironment: publicCloud.terraformEnvironment,
    subscriptionId: hasConnection ? 'subscription' : undefined,
    serviceConnectionId: hasConnection ? 'connection' : undefined,
    fromAzureDevOps: true,
    isBound: false,
  };
  const names = [...exportVariables(facts, 'file').keys()].map((name) => `\`${name}\``);
  return [names.join(', ') || 'none', needsTokenFile(facts) ? 'yes' : 'no'];
}

/** The codes with the first likely reason of each, in the order of the page. */
function codeIndex(): string {
  return table(
    ['Code', 'Most likely reason'],
    codes.map((code) => [`[\`${code}\`](#${code.toLowerCase()})`, catalogue[code].reason.replaceAll('|', '\\|')]),
  );
}

function leftOutModules(): string {
  const rows = Object.entries(leftOut).map(([name, { of, why }]) => [`\`${name}\``, of, why]);
  return table(['Module', 'Belongs to', 'What it does, and why that is not needed'], rows);
}

/** The files whose tables are not those that the code makes. */
export function staleFiles(): string[] {
  return filesWithTables.filter((file) => {
    const text = readFileSync(join(root, file), 'utf8').replaceAll('\r\n', '\n');
    return withTables(file, text) !== text;
  });
}

/** What is said of a stale file, whoever finds it. */
export const staleTables = (file: string): string => `${file} is stale: npm run documents`;

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const file of filesWithTables) {
    const path = join(root, file);
    writeFileSync(path, withTables(file, readFileSync(path, 'utf8')));
    process.stdout.write(`${file}\n`);
  }
}
