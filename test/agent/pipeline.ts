import { checkExpression } from './condition.ts';
import {
  type Entry,
  type Keys,
  PipelineError,
  type PipelineFault,
  PipelineReader,
  type Place,
} from './pipeline-yaml.ts';
import type { Restrictions } from './restrictions.ts';
import { readParameters } from './template-parameters.ts';

export { PipelineError } from './pipeline-yaml.ts';

/** The part of a pipeline's YAML that the local agent runs. */
export interface PipelineDefinition {
  jobs: JobDefinition[];
  /** What is left out of the run and may matter. */
  notices: PipelineFault[];
}

export interface JobDefinition {
  name: string;
  displayName: string;
  dependsOn: string[];
  condition: string | undefined;
  /** The name of the pool; undefined where none is named. */
  pool: string | undefined;
  variables: VariableDefinition[];
  steps: StepDefinition[];
}

export interface VariableDefinition {
  name: string;
  value: string;
  readOnly: boolean;
}

export interface StepBase {
  /** Where it begins in the file. */
  line: number;
  /** Where its inputs and variables are: `inputs.scopes`, `env.TOKEN`. */
  lines: Readonly<Record<string, number>>;
  name: string | undefined;
  displayName: string | undefined;
  env: Record<string, string>;
  condition: string | undefined;
  continueOnError: boolean;
  enabled: boolean;
  timeoutMs: number | undefined;
  retryCount: number;
  restrictions: Restrictions;
}

export interface TaskStep extends StepBase {
  kind: 'task';
  /** `Name@1`. */
  task: string;
  inputs: Record<string, string>;
}

export const scriptKinds = ['bash', 'script', 'pwsh', 'powershell'] as const;

export interface ScriptStep extends StepBase {
  kind: (typeof scriptKinds)[number];
  script: string;
  workingDirectory: string | undefined;
  failOnStderr: boolean;
}

export type StepDefinition = TaskStep | ScriptStep;

/** What a pipeline is read with. */
export interface PipelineOptions {
  /** As it is named in faults; default `pipeline.yml`. */
  file?: string;
  /** Values of template parameters. */
  parameters?: Readonly<Record<string, string>>;
  /** Variables that template expressions may name, beside those of the pipeline. */
  variables?: Readonly<Record<string, string>>;
}

const SERVER_ONLY = ['pool', 'timeoutInMinutes', 'cancelTimeoutInMinutes', 'workspace', 'uses', 'templateContext'];
const NO_TEMPLATES = 'it does not read other files; write the steps here.';
const NO_CONTAINERS = 'it has no containers.';
const JOB_UNSUPPORTED = {
  strategy: 'it runs each job once, without a matrix or a rollout.',
  container: NO_CONTAINERS,
  services: NO_CONTAINERS,
  template: NO_TEMPLATES,
};

const PIPELINE: Keys = {
  of: 'the pipeline',
  read: ['parameters', 'variables', 'stages', 'jobs', 'steps'],
  ignored: [
    ...['name', 'trigger', 'pr', 'schedules', 'resources', 'lockBehavior', 'appendCommitMessageToRunName'],
    ...SERVER_ONLY,
    'continueOnError',
  ],
  unsupported: { ...JOB_UNSUPPORTED, extends: NO_TEMPLATES },
};

const STAGE: Keys = {
  of: 'a stage',
  read: ['stage', 'displayName', 'variables', 'jobs'],
  ignored: ['dependsOn', 'condition', 'pool', 'lockBehavior', 'trigger', 'isSkippable', 'templateContext'],
  unsupported: { template: NO_TEMPLATES },
};

const JOB: Keys = {
  of: 'a job',
  read: ['job', 'displayName', 'dependsOn', 'condition', 'variables', 'steps'],
  ignored: [...SERVER_ONLY, 'continueOnError', 'environment'],
  unsupported: { ...JOB_UNSUPPORTED, deployment: 'write it as a job with steps.' },
};

const VARIABLE: Keys = {
  of: 'a variable',
  read: ['name', 'value', 'readonly'],
  ignored: ['group'],
  unsupported: { template: NO_TEMPLATES },
};

const COMMON_KEYS = [
  ...['name', 'displayName', 'env', 'condition', 'continueOnError', 'enabled', 'timeoutInMinutes'],
  ...['retryCountOnTaskFailure', 'target'],
];

const OTHER_STEPS: Readonly<Record<string, string>> = {
  template: NO_TEMPLATES,
  ...Object.fromEntries(
    ['download', 'downloadBuild', 'publish', 'getPackage', 'reviewApp'].map((key) => [key, 'it has no artifacts.']),
  ),
};

const STEP_KINDS = ['task', ...scriptKinds, 'checkout'];

/** Reads a pipeline whole, and throws a {@link PipelineError} with everything that is wrong with it. */
export function parsePipeline(text: string, options: PipelineOptions = {}): PipelineDefinition {
  const reader = new PipelineReader();
  const jobs = readPipeline(text, reader, options);
  if (reader.faults.length > 0) {
    throw new PipelineError(
      options.file ?? 'pipeline.yml',
      reader.faults.toSorted((a, b) => a.line - b.line),
    );
  }
  return { jobs, notices: reader.notices };
}

function readPipeline(text: string, reader: PipelineReader, options: PipelineOptions): JobDefinition[] {
  const document = reader.parse(text);
  if (reader.faults.length > 0) return [];
  if (reader.isEmpty(document)) {
    reader.fault(1, 'The file is empty. A pipeline has steps, jobs or stages.');
    return [];
  }
  if (!reader.isMapping(document)) {
    reader.fault(document.line, 'A pipeline has to be a mapping with steps, jobs or stages.');
    return [];
  }
  expandTemplates(reader, document, options);
  if (reader.faults.length > 0) return [];
  const root = reader.mapping(document, PIPELINE);
  const kinds = ['stages', 'jobs', 'steps'].filter((key) => root.has(key));
  // A misspelt key is told already.
  if (kinds.length === 0 && reader.faults.length > 0) return [];
  if (kinds.length !== 1) {
    const says =
      kinds.length === 0
        ? 'has none of steps, jobs and stages'
        : `has ${kinds.join(' and ')}, and can have one of them`;
    reader.fault(root.get(kinds[1] ?? '')?.keyLine ?? document.line, `The pipeline ${says}.`);
    return [];
  }
  const variables = readVariables(reader, root.get('variables'));
  const pool = readPool(reader, root.get('pool'));
  const { stages, jobs, steps } = Object.fromEntries(root);
  if (stages !== undefined) return readStages(reader, stages, variables, pool);
  if (jobs !== undefined) return readJobs(reader, jobs, variables, pool);
  return [
    {
      name: 'Job',
      displayName: 'Job',
      dependsOn: [],
      condition: undefined,
      pool,
      variables,
      steps: readSteps(reader, steps, document.line),
    },
  ];
}

/** Parameters first, then the pipeline's variables, which may name parameters, then all that may name either. */
function expandTemplates(reader: PipelineReader, document: Place, options: PipelineOptions): void {
  const before = new Map(reader.entries(document, 'the pipeline').map((entry) => [entry.key, entry]));
  const parameters = readParameters(reader, before.get('parameters'), options.parameters ?? {});
  const lower = (values: Readonly<Record<string, string>>): [string, string][] =>
    Object.entries(values).map(([name, value]) => [name.toLowerCase(), value]);
  const variables = new Map<string, string>(lower(options.variables ?? {}));
  const context = { parameters, variables };
  const ofPipeline = before.get('variables');
  if (ofPipeline !== undefined) {
    reader.expandTemplates(ofPipeline, context);
    for (const { name, value } of readVariables(reader, ofPipeline)) variables.set(name.toLowerCase(), value);
  }
  reader.expandTemplates(document, context);
  // They were read to expand what comes after them, and are read again with the rest.
  reader.notices.length = 0;
}

function readStages(
  reader: PipelineReader,
  place: Entry,
  shared: VariableDefinition[],
  pool: string | undefined,
): JobDefinition[] {
  const [first, second] = reader.sequence(place, 'stages');
  if (second !== undefined) {
    reader.fault(second.line, 'The local agent runs one stage; leave out the others to try this one.');
  }
  if (first === undefined) {
    reader.fault(place.keyLine, 'The pipeline has no stage.');
    return [];
  }
  const stage = reader.mapping(first, STAGE);
  const condition = stage.get('condition');
  if (condition !== undefined) reader.notice(condition.keyLine, 'The condition of the stage is not evaluated.');
  const jobs = stage.get('jobs');
  if (jobs === undefined) {
    reader.fault(first.line, 'The stage has no jobs.');
    return [];
  }
  const variables = [...shared, ...readVariables(reader, stage.get('variables'))];
  return readJobs(reader, jobs, variables, readPool(reader, stage.get('pool')) ?? pool);
}

function readJobs(
  reader: PipelineReader,
  place: Entry,
  shared: VariableDefinition[],
  pool: string | undefined,
): JobDefinition[] {
  const places = reader.sequence(place, 'jobs');
  if (places.length === 0) reader.fault(place.keyLine, 'The pipeline has no job.');
  const jobs: JobDefinition[] = [];
  for (const [index, item] of places.entries()) {
    const job = reader.mapping(item, JOB);
    const name = optional(reader, job.get('job'), 'the name of a job') || `Job${index + 1}`;
    const before = jobs.map((earlier) => earlier.name);
    if (before.some((earlier) => earlier.toLowerCase() === name.toLowerCase())) {
      reader.fault(job.get('job')?.line ?? item.line, `Two jobs have the name '${name}'.`);
    }
    const dependsOn = readDependsOn(reader, job.get('dependsOn'));
    for (const dependency of dependsOn.filter((one) => !before.includes(one))) {
      const at = job.get('dependsOn')?.line ?? item.line;
      reader.fault(at, `The job '${name}' depends on '${dependency}', and no job before it has that name.`);
    }
    jobs.push({
      name,
      displayName: optional(reader, job.get('displayName'), 'displayName') ?? name,
      dependsOn,
      condition: readCondition(reader, job.get('condition')),
      pool: readPool(reader, job.get('pool')) ?? pool,
      variables: [...shared, ...readVariables(reader, job.get('variables'))],
      steps: readSteps(reader, job.get('steps'), item.line),
    });
  }
  return jobs;
}

function readDependsOn(reader: PipelineReader, place: Entry | undefined): string[] {
  if (place === undefined) return [];
  const names = reader.isSequence(place) ? reader.sequence(place, 'dependsOn') : [place];
  return names.flatMap((one) => reader.text(one, 'dependsOn') || []);
}

/** `pool: name`, or `pool:` with `name:`; a pool of Microsoft's by its `vmImage` has no name here. */
function readPool(reader: PipelineReader, place: Entry | undefined): string | undefined {
  if (place === undefined) return undefined;
  if (!reader.isMapping(place)) return optional(reader, place, 'pool');
  const name = reader.entries(place, 'pool').find(({ key }) => key === 'name');
  return optional(reader, name, 'the name of the pool');
}

function readVariables(reader: PipelineReader, place: Entry | undefined): VariableDefinition[] {
  if (place === undefined) return [];
  const read = (name: string, value: Place | undefined, readOnly: boolean): VariableDefinition => {
    const text = value === undefined ? '' : (reader.text(value, `the variable ${name}`) ?? '');
    if (text.startsWith('$[')) checkRuntimeExpression(reader, text, value?.line ?? place.line);
    return { name, value: text, readOnly };
  };
  if (!reader.isSequence(place)) {
    return reader.entries(place, 'variables').map((entry) => read(entry.key, entry, false));
  }
  return reader.sequence(place, 'variables').flatMap((item) => {
    const variable = reader.mapping(item, VARIABLE);
    const group = variable.get('group');
    if (group !== undefined) {
      const name = reader.text(group, 'the name of a group') ?? '';
      reader.notice(
        group.line,
        `The variable group '${name}' is not here; give the variables that the steps use with --variable name=value.`,
      );
      return [];
    }
    const name = optional(reader, variable.get('name'), 'the name of a variable') ?? '';
    if (name === '') reader.fault(item.line, 'A variable has no name.');
    return [read(name, variable.get('value'), boolean(reader, variable.get('readonly'), false))];
  });
}

function readSteps(reader: PipelineReader, place: Entry | undefined, line: number): StepDefinition[] {
  if (place === undefined || reader.isEmpty(place)) reader.fault(place?.keyLine ?? line, 'There are no steps.');
  const items = place === undefined || reader.isEmpty(place) ? [] : reader.sequence(place, 'steps');
  const steps = items.flatMap((item) => readStep(reader, item));
  const names = new Set<string>();
  for (const { name, line: at } of steps) {
    if (name === undefined) continue;
    if (!/^\w+$/.test(name)) {
      reader.fault(
        at,
        `The name of a step has letters, digits and '_' alone: '${name}'. A text for people is displayName.`,
      );
    } else if (names.has(name.toLowerCase())) {
      reader.fault(at, `Two steps have the name '${name}'.`);
    }
    names.add(name.toLowerCase());
  }
  return steps;
}

function readStep(reader: PipelineReader, place: Place): StepDefinition[] {
  if (!reader.isMapping(place)) {
    reader.fault(place.line, 'A step has to be a mapping, such as - bash: or - task:.');
    return [];
  }
  const keys = reader.entries(place, 'a step').map(({ key }) => key);
  const kind = keys.find((key) => STEP_KINDS.includes(key));
  const own: Record<string, string[]> = {
    task: ['task', 'inputs'],
    checkout: ['checkout', 'clean', 'fetchDepth', 'fetchTags', 'lfs', 'submodules', 'path', 'persistCredentials'],
  };
  const before = reader.faults.length;
  const step = reader.mapping(place, {
    of: kind === undefined ? 'a step' : `a ${kind} step`,
    read: [
      ...(kind === undefined ? STEP_KINDS : (own[kind] ?? [kind, 'workingDirectory', 'failOnStderr'])),
      ...COMMON_KEYS,
    ],
    ignored: kind === 'pwsh' || kind === 'powershell' ? POWERSHELL_PREFERENCES : [],
    unsupported: kind === undefined ? OTHER_STEPS : {},
  });
  if (kind === undefined) {
    if (reader.faults.length === before) {
      reader.fault(place.line, `A step needs one of ${STEP_KINDS.join(', ')}.`);
    }
    return [];
  }
  // There is no repository: the sources directory is there, and empty.
  if (kind === 'checkout') return [];
  const common = readCommon(reader, step, place.line);
  if (kind === 'task') {
    const task = optional(reader, step.get('task'), 'the name of the task') ?? '';
    const inputs = texts(reader, step.get('inputs'), 'inputs');
    const shell = SHELL_TASKS[task.toLowerCase()];
    return [shell === undefined ? { kind, task, inputs, ...common } : shellStep(reader, shell(inputs), inputs, common)];
  }
  const script = step.get(kind);
  return scriptKinds.flatMap((candidate) =>
    candidate !== kind
      ? []
      : [
          {
            kind: candidate,
            script: optional(reader, script, kind) ?? '',
            workingDirectory: optional(reader, step.get('workingDirectory'), 'workingDirectory'),
            failOnStderr: boolean(reader, step.get('failOnStderr'), false),
            ...common,
          },
        ],
  );
}

/** The tasks that stand behind the steps of scripts, written out. */
const SHELL_TASKS: Readonly<Record<string, (inputs: Record<string, string>) => ScriptStep['kind']>> = {
  'bash@3': () => 'bash',
  'cmdline@2': () => 'script',
  'powershell@2': ({ pwsh }) => (pwsh?.toLowerCase() === 'true' ? 'pwsh' : 'powershell'),
};

function shellStep(
  reader: PipelineReader,
  kind: ScriptStep['kind'],
  inputs: Record<string, string>,
  common: StepBase,
): ScriptStep {
  if (kind !== 'script' && inputs['targetType']?.toLowerCase() !== 'inline') {
    const at = common.lines['inputs.filePath'] ?? common.line;
    reader.fault(at, 'The local agent has no repository with scripts: write targetType: inline, and the script here.');
  }
  return {
    kind,
    script: inputs['script'] ?? '',
    workingDirectory: inputs['workingDirectory'],
    failOnStderr: inputs['failOnStderr']?.toLowerCase() === 'true',
    ...common,
  };
}

/** What the shells of PowerShell take beside; the local agent leaves them as they are by default. */
const POWERSHELL_PREFERENCES = [
  ...['errorActionPreference', 'warningPreference', 'informationPreference', 'verbosePreference', 'debugPreference'],
  ...['progressPreference', 'ignoreLASTEXITCODE', 'showWarnings'],
];

function readCommon(reader: PipelineReader, step: Map<string, Entry>, line: number): StepBase {
  const timeout = number(reader, step.get('timeoutInMinutes'), 0);
  const lines = ['inputs', 'env'].flatMap((key) => {
    const entry = step.get(key);
    return entry === undefined || !reader.isMapping(entry)
      ? []
      : reader.entries(entry, key).map((one): [string, number] => [`${key}.${one.key}`, one.keyLine]);
  });
  return {
    line,
    lines: Object.fromEntries(lines),
    name: optional(reader, step.get('name'), 'the name of a step'),
    displayName: optional(reader, step.get('displayName'), 'displayName'),
    env: texts(reader, step.get('env'), 'env'),
    condition: readCondition(reader, step.get('condition')),
    continueOnError: boolean(reader, step.get('continueOnError'), false),
    enabled: boolean(reader, step.get('enabled'), true),
    timeoutMs: timeout > 0 ? timeout * 60_000 : undefined,
    retryCount: Math.min(number(reader, step.get('retryCountOnTaskFailure'), 0), 10),
    restrictions: readTarget(reader, step.get('target')),
  };
}

const TARGET: Keys = { of: 'target', read: ['container', 'commands', 'settableVariables'] };

function readTarget(reader: PipelineReader, place: Entry | undefined): Restrictions {
  if (place === undefined) return {};
  if (!reader.isMapping(place)) {
    const container = reader.text(place, 'target');
    if (container !== 'host') reader.fault(place.line, `The local agent has no container '${container}'.`);
    return {};
  }
  const target = reader.mapping(place, TARGET);
  const container = target.get('container');
  if (container !== undefined && reader.text(container, 'container') !== 'host') {
    reader.fault(container.line, 'The local agent has no containers.');
  }
  const commands = target.get('commands');
  const mode = optional(reader, commands, 'commands') ?? 'any';
  if (mode !== 'any' && mode !== 'restricted') {
    reader.fault(commands?.line ?? place.line, `commands is any or restricted, and not '${mode}'.`);
  }
  const settable = target.get('settableVariables');
  if (settable === undefined) return { restrictedCommands: mode === 'restricted' };
  const isNone = !reader.isSequence(settable) && reader.text(settable, 'settableVariables') === 'none';
  const names = isNone ? [] : reader.sequence(settable, 'settableVariables');
  return {
    restrictedCommands: mode === 'restricted',
    settableVariables: names.flatMap((one) => reader.text(one, 'a variable') ?? []),
  };
}

function readCondition(reader: PipelineReader, place: Entry | undefined): string | undefined {
  const condition = optional(reader, place, 'a condition');
  if (condition === undefined || place === undefined) return undefined;
  check(reader, condition, place.line);
  return condition;
}

/** `$[ … ]`, which is evaluated when the job begins. */
function checkRuntimeExpression(reader: PipelineReader, text: string, line: number): void {
  const expression = /^\$\[([\s\S]*)\]$/.exec(text.trim())?.[1];
  if (expression === undefined) reader.fault(line, `The expression '${text}' does not end with ].`);
  else check(reader, expression.trim(), line);
}

function check(reader: PipelineReader, expression: string, line: number): void {
  try {
    checkExpression(expression);
  } catch (error) {
    reader.fault(line, error instanceof Error ? error.message : String(error));
  }
}

function optional(reader: PipelineReader, place: Place | undefined, what: string): string | undefined {
  return place === undefined ? undefined : reader.text(place, what);
}

function texts(reader: PipelineReader, place: Entry | undefined, what: string): Record<string, string> {
  if (place === undefined) return {};
  return Object.fromEntries(
    reader.entries(place, what).map((entry) => [entry.key, reader.text(entry, entry.key) ?? '']),
  );
}

function boolean(reader: PipelineReader, place: Entry | undefined, absent: boolean): boolean {
  const text = place === undefined ? undefined : reader.text(place, place.key)?.toLowerCase();
  if (place === undefined || text === undefined) return absent;
  if (text !== 'true' && text !== 'false') {
    reader.fault(place.line, `${place.key} is true or false, and not '${text}'.`);
  }
  return text === 'true';
}

function number(reader: PipelineReader, place: Entry | undefined, absent: number): number {
  const text = place === undefined ? undefined : reader.text(place, place.key);
  if (place === undefined || text === undefined) return absent;
  if (!/^\d+(\.\d+)?$/.test(text)) {
    reader.fault(place.line, `${place.key} is a number, and not '${text}'.`);
    return absent;
  }
  return Number(text);
}
