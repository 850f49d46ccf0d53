import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { root } from '../../scripts/layout.ts';
import type { Section } from './section.ts';

/** One edit of a file: what is found is followed by what is added. */
type Edit = readonly [file: string, after: string | RegExp, added: string];

interface Change {
  /** The heading of CONTRIBUTING.md whose list is followed. */
  heading: string;
  edits: readonly Edit[];
  /** A file that the guide cannot name: where the code is thrown. */
  anyFile?: string;
  /** The tests that know of such a change, beside those of every change. */
  tests: readonly string[];
}

const TASK = 'tasks/EntraTokenV1';

export const changes: readonly Change[] = [
  {
    heading: 'A new input',
    edits: [
      [`${TASK}/request/inputs.ts`, "  'authorityHost',\n", "  'scratch',\n"],
      [
        `${TASK}/request/inputs.ts`,
        '  readonly authorityHost: string | undefined;\n',
        '  readonly scratch: boolean;\n',
      ],
      [
        `${TASK}/request/inputs.ts`,
        "    enableCae: flag('enableCae', false),\n",
        "    scratch: flag('scratch', false),\n",
      ],
      [`${TASK}/request/request.ts`, '  readonly exportIdToken: boolean;\n', '  readonly scratch: boolean;\n'],
      [`${TASK}/request/request.ts`, '    exportIdToken: inputs.exportIdToken,\n', '    scratch: inputs.scratch,\n'],
      [
        `${TASK}/task.json`,
        /"name": "enableCae",[\s\S]*?\n {4}\},\n/,
        `    { "name": "scratch", "type": "boolean", "label": "Scratch", "groupName": "advanced", "defaultValue": "false",
          "required": false, "helpMarkDown": "An input that only a test of this guide has." },\n`,
      ],
      ['test/adoption/manifest.test.ts', "  const advanced = ['authorityHost', ", "'scratch', "],
      ['test/adoption/manifest.test.ts', "        tokenFilePath: '/token',\n", "        scratch: 'true',\n"],
    ],
    tests: [],
  },
  {
    heading: 'A new preset for scopes',
    edits: [
      [
        `${TASK}/request/clouds.ts`,
        /\n {2}powerBI: .*\n/,
        "  scratch: ['https://scratch.example', 'https://scratch.example', '-'], // a test of the guide\n",
      ],
      [
        'test/task/clouds.test.ts',
        "    powerBI: 'https://analysis.windows.net/powerbi/api',\n",
        "    scratch: 'https://scratch.example',\n",
      ],
      [
        'test/task/clouds.test.ts',
        "    powerBI: 'https://analysis.usgovcloudapi.net/powerbi/api',\n",
        "    scratch: 'https://scratch.example',\n",
      ],
      ['test/task/clouds.test.ts', /china: Record<Exclude<PresetName, 'azureDevOps'/, " | 'scratch'"],
      ['test/cloud/resources.ts', 'const everywhere = [\n', "  'https://scratch.example',\n"],
    ],
    tests: ['test/task/clouds.test.ts', 'test/budgets/requests.test.ts'],
  },
  {
    heading: 'A new error',
    anyFile: `${TASK}/request/request.ts`,
    edits: [
      [
        `${TASK}/failure/catalogue.ts`,
        /\n {2}ET_INPUT: \{[\s\S]*?\n {2}\},\n/,
        "  ET_SCRATCH: { reason: 'A test of the guide threw it.', remedy: 'Nothing is to be done.' },\n",
      ],
      [
        `${TASK}/request/request.ts`,
        '  const [first, ...more] = faults;\n',
        "  if (faults.length > 1000) {\n    return new Failure('ET_SCRATCH', 'There are many faults.');\n  }\n",
      ],
      [
        'docs/errors.md',
        /\n## ET_INPUT\n[\s\S]*?(?=\n## ET_)/,
        '\n## ET_SCRATCH\n\nA test of the guide threw it, to see that the guide names each file that has to change.\n\n**What to do**\n\nNothing.\n',
      ],
    ],
    tests: ['test/unit/codes.test.ts', 'test/hostile/errors-doc.test.ts'],
  },
  {
    heading: 'A new export',
    edits: [
      [`${TASK}/request/inputs.ts`, /export const exportKinds = \[.*?'azcopy'/, ", 'scratch'"],
      [
        `${TASK}/publish/exports.ts`,
        /\n {2}tokenFile: \{ variables.*\n/,
        '  scratch: { variables: ({ clientId }) => ({ SCRATCH_CLIENT: clientId }), readsTokenFile: () => true },\n',
      ],
      [`${TASK}/task.json`, '        "azcopy": "AzCopy"', ',\n        "scratch": "Scratch"'],
      [`${TASK}/task.json`, '        "AZCOPY_TENANT_ID"', ',\n        "SCRATCH_CLIENT"'],
      [
        `${TASK}/task.json`,
        'exportEnvironment contains terraform || exportEnvironment contains azcopy',
        ' || exportEnvironment contains scratch',
      ],
      [
        'docs/recipes.md',
        /\n## SQL\n\n/,
        'A recipe of a test follows.\n\n```yaml\n- task: EntraToken@1\n  inputs:\n    azureSubscription: prod\n    exportEnvironment: scratch\n```\n\n',
      ],
      [
        'test/unit/exports.test.ts',
        'variables: { ...azcopy, ...azurePipelines, ...terraformAsks',
        ", SCRATCH_CLIENT: 'client'",
      ],
      [
        'examples/recipe-scratch.yml',
        '',
        '# A pipeline of a test: its tool finds the client in a variable of its own.\nsteps:\n  - task: EntraToken@1\n    name: entra\n    inputs:\n      azureSubscription: prod\n      exportEnvironment: scratch\n\n  - bash: test -n "$SCRATCH_CLIENT"\n',
      ],
      [
        'test/task/examples.test.ts',
        'const examples: Example[] = [\n',
        "  { file: 'recipe-scratch.yml', sources: ['azureRM'], shows: [] },\n",
      ],
    ],
    tests: ['test/task/examples.test.ts', 'test/unit/exports.test.ts'],
  },
];

const EVERY_TEST = [
  ...['adoption/documents', 'adoption/manifest', 'unit/request', 'unit/scopes', 'unit/codes', 'budgets/package'].map(
    (name) => `test/${name}.test.ts`,
  ),
];

/** Follows the guide on copies of the repository, on a machine that has no Chromium, and runs the tests. */
export const contributor: Section = {
  name: 'contributor',
  about: 'changes made as CONTRIBUTING.md says, each on a copy of the repository',
  size: changes.length,
  run(cases, report) {
    for (const change of changes.slice(0, cases)) report.judge(change.heading, follow(change));
    return Promise.resolve();
  },
};

/** What is not as the guide says. */
export function follow({ heading, edits, tests, anyFile }: Change): string[] {
  const copy = mkdtempSync(join(tmpdir(), 'contributor-'));
  try {
    copyRepository(copy);
    const list = guide(copy, heading);
    const faults = edits.flatMap((edit) =>
      (edit[0] === anyFile ? [] : unnamed(edit[0], list)).concat(apply(copy, edit)),
    );
    if (faults.length > 0) return faults;
    const steps = [
      ['run', 'documents'],
      ['run', 'format'],
      ['test', '--', ...new Set([...EVERY_TEST, ...tests])],
    ];
    for (const args of steps) {
      const { status, stdout, stderr } = spawnSync('npm', ['--silent', ...args], {
        cwd: copy,
        encoding: 'utf8',
        // As on a machine without Chromium.
        env: { ...process.env, CHROME_PATH: join(copy, 'no-chromium') },
      });
      if (status !== 0) return [`npm ${args.join(' ')}`, ...`${stdout}${stderr}`.trim().split('\n').slice(-40)];
    }
    return [];
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

function copyRepository(copy: string): void {
  const list = execFileSync('git', ['ls-files', '-co', '--exclude-standard'], { cwd: root, encoding: 'utf8' });
  for (const file of list.split('\n').filter((name) => name !== '' && !name.endsWith('node_modules'))) {
    mkdirSync(dirname(join(copy, file)), { recursive: true });
    cpSync(join(root, file), join(copy, file));
  }
  // What is installed here needs no second installation.
  for (const modules of ['node_modules', 'test/old-nodes/node_modules']) {
    if (existsSync(join(root, modules))) symlinkSync(join(root, modules), join(copy, modules), 'junction');
  }
}

/** The list below a heading of the guide. */
function guide(copy: string, heading: string): string {
  const text = readFileSync(join(copy, 'CONTRIBUTING.md'), 'utf8');
  return text.split(/^###? /m).find((part) => part.startsWith(`${heading}\n`)) ?? '';
}

/** The fault of a guide that does not name a file that has to change. */
function unnamed(file: string, list: string): string[] {
  const name = file.startsWith(`${TASK}/`) ? file.slice(TASK.length + 1) : file;
  const isNamed = [name, `${dirname(name)}/`].some((one) => list.includes(`\`${one}\``));
  return isNamed ? [] : [`the guide does not name ${name}`];
}

/** Edits a file, and gives the fault where it has no such place. */
function apply(copy: string, [file, after, added]: Edit): string[] {
  const path = join(copy, file);
  if (after === '') {
    writeFileSync(path, added);
    return [];
  }
  const text = readFileSync(path, 'utf8').replaceAll('\r\n', '\n');
  const changed = text.replace(after, (found) => found + added);
  if (changed === text) return [`${file} has no ${String(after)}`];
  writeFileSync(path, changed);
  return [];
}
