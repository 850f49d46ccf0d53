import { parse } from 'yaml';
import type { Restrictions } from './restrictions.ts';

/** The part of a pipeline's YAML that the local agent runs. */
export interface PipelineDefinition {
  jobs: JobDefinition[];
}

export interface JobDefinition {
  name: string;
  displayName: string;
  dependsOn: string[];
  condition: string | undefined;
  variables: VariableDefinition[];
  steps: StepDefinition[];
}

export interface VariableDefinition {
  name: string;
  value: string;
  readOnly: boolean;
}

export interface StepBase {
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

export interface ScriptStep extends StepBase {
  kind: 'bash' | 'script';
  script: string;
  workingDirectory: string | undefined;
  failOnStderr: boolean;
}

export type StepDefinition = TaskStep | ScriptStep;

/** Reads a pipeline. Throws an error that names the first thing it does not know. */
export function parsePipeline(text: string): PipelineDefinition {
  // Every scalar stays the text that it was written as, as in Azure Pipelines: 1.10 is not 1.1.
  const root = mapping(parse(text, { schema: 'failsafe' }), 'the pipeline');
  const ignored = ['name', 'trigger', 'pr', 'pool', 'schedules'];
  if (root['jobs'] === undefined) {
    only(root, ['variables', 'steps', ...ignored], 'the pipeline');
    return { jobs: [readJob({ variables: root['variables'] ?? [], steps: root['steps'] }, [], 'Job')] };
  }
  only(root, ['variables', 'jobs', ...ignored], 'the pipeline');
  const shared = readVariables(root['variables']);
  const jobs = sequence(root['jobs'], 'jobs').map((job, index) => {
    const definition = mapping(job, `jobs[${index}]`);
    only(definition, ['job', 'displayName', 'dependsOn', 'condition', 'variables', 'steps', 'pool'], `jobs[${index}]`);
    return readJob(definition, shared, scalar(definition['job'], `jobs[${index}].job`));
  });
  for (const [index, { name, dependsOn }] of jobs.entries()) {
    const earlier = jobs.slice(0, index).map((job) => job.name);
    const missing = dependsOn.find((dependency) => !earlier.includes(dependency));
    if (missing !== undefined) throw new Error(`Job '${name}' depends on '${missing}', which is not before it.`);
  }
  return { jobs };
}

function readJob(job: Record<string, unknown>, shared: VariableDefinition[], name: string): JobDefinition {
  const dependsOn = job['dependsOn'] ?? [];
  return {
    name,
    displayName: optional(job['displayName'], `${name}.displayName`) ?? name,
    dependsOn: (Array.isArray(dependsOn) ? dependsOn : [dependsOn]).map((one) => scalar(one, `${name}.dependsOn`)),
    condition: optional(job['condition'], `${name}.condition`),
    variables: [...shared, ...readVariables(job['variables'])],
    steps: sequence(job['steps'], 'steps').flatMap((step, index) => readStep(step, `steps[${index}]`)),
  };
}

function readVariables(value: unknown): VariableDefinition[] {
  if (value === undefined || value === '') return [];
  if (!Array.isArray(value)) {
    return Object.entries(mapping(value, 'variables')).map(([name, text]) => ({
      name,
      value: scalar(text, `variables.${name}`),
      readOnly: false,
    }));
  }
  return value.map((entry, index) => {
    const at = `variables[${index}]`;
    const variable = mapping(entry, at);
    only(variable, ['name', 'value', 'readonly'], at);
    return {
      name: scalar(variable['name'], `${at}.name`),
      value: scalar(variable['value'] ?? '', `${at}.value`),
      readOnly: boolean(variable['readonly'], false, `${at}.readonly`),
    };
  });
}

const COMMON_KEYS = [
  'name',
  'displayName',
  'env',
  'condition',
  'continueOnError',
  'enabled',
  'timeoutInMinutes',
  'retryCountOnTaskFailure',
  'target',
];

function readStep(value: unknown, at: string): StepDefinition[] {
  const step = mapping(value, at);
  if (step['task'] !== undefined) {
    only(step, ['task', 'inputs', ...COMMON_KEYS], at);
    const task = scalar(step['task'], `${at}.task`);
    return [{ kind: 'task', task, inputs: texts(step['inputs'], `${at}.inputs`), ...readCommon(step, at) }];
  }
  for (const kind of ['bash', 'script'] as const) {
    if (step[kind] === undefined) continue;
    only(step, [kind, 'workingDirectory', 'failOnStderr', ...COMMON_KEYS], at);
    return [
      {
        kind,
        script: scalar(step[kind], `${at}.${kind}`),
        workingDirectory: optional(step['workingDirectory'], `${at}.workingDirectory`),
        failOnStderr: boolean(step['failOnStderr'], false, `${at}.failOnStderr`),
        ...readCommon(step, at),
      },
    ];
  }
  // There is no repository: the sources directory is there, and empty.
  if (step['checkout'] !== undefined) return [];
  throw new Error(`${at} is no step that the local agent runs (task, bash, script): ${Object.keys(step).join(', ')}.`);
}

function readCommon(step: Record<string, unknown>, at: string): StepBase {
  const timeout = number(step['timeoutInMinutes'], 0, `${at}.timeoutInMinutes`);
  return {
    name: optional(step['name'], `${at}.name`),
    displayName: optional(step['displayName'], `${at}.displayName`),
    env: texts(step['env'], `${at}.env`),
    condition: optional(step['condition'], `${at}.condition`),
    continueOnError: boolean(step['continueOnError'], false, `${at}.continueOnError`),
    enabled: boolean(step['enabled'], true, `${at}.enabled`),
    timeoutMs: timeout > 0 ? timeout * 60_000 : undefined,
    retryCount: Math.min(number(step['retryCountOnTaskFailure'], 0, `${at}.retryCountOnTaskFailure`), 10),
    restrictions: readTarget(step['target'], `${at}.target`),
  };
}

function readTarget(value: unknown, at: string): Restrictions {
  if (value === undefined || value === 'host') return {};
  const target = mapping(value, at);
  only(target, ['container', 'commands', 'settableVariables'], at);
  if (target['container'] !== undefined && target['container'] !== 'host') {
    throw new Error(`${at}.container: the local agent runs no containers.`);
  }
  const commands = optional(target['commands'], `${at}.commands`) ?? 'any';
  if (commands !== 'any' && commands !== 'restricted') throw new Error(`${at}.commands is neither any nor restricted.`);
  const settable = target['settableVariables'];
  return {
    restrictedCommands: commands === 'restricted',
    ...(settable === undefined
      ? {}
      : {
          settableVariables:
            settable === 'none'
              ? []
              : sequence(settable, `${at}.settableVariables`).map((one) => scalar(one, `${at}.settableVariables`)),
        }),
  };
}

function only(value: Record<string, unknown>, known: readonly string[], at: string): void {
  const unknown = Object.keys(value).filter((key) => !known.includes(key));
  if (unknown.length > 0) throw new Error(`The local agent does not know '${unknown.join("', '")}' in ${at}.`);
}

function mapping(value: unknown, at: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error(`${at} is no mapping.`);
  return value as Record<string, unknown>;
}

function sequence(value: unknown, at: string): unknown[] {
  if (!Array.isArray(value)) throw new Error(`${at} is no list.`);
  return value;
}

function scalar(value: unknown, at: string): string {
  if (typeof value !== 'string') throw new Error(`${at} is no text.`);
  if (value.includes('${{')) throw new Error(`${at}: the local agent does not evaluate template expressions.`);
  return value;
}

function optional(value: unknown, at: string): string | undefined {
  return value === undefined ? undefined : scalar(value, at);
}

function texts(value: unknown, at: string): Record<string, string> {
  if (value === undefined || value === '') return {};
  return Object.fromEntries(
    Object.entries(mapping(value, at)).map(([key, text]) => [key, scalar(text, `${at}.${key}`)]),
  );
}

function boolean(value: unknown, absent: boolean, at: string): boolean {
  const text = optional(value, at)?.toLowerCase();
  if (text === undefined) return absent;
  if (text !== 'true' && text !== 'false') throw new Error(`${at} is neither true nor false.`);
  return text === 'true';
}

function number(value: unknown, absent: number, at: string): number {
  const text = optional(value, at);
  if (text === undefined) return absent;
  if (!/^\d+(\.\d+)?$/.test(text)) throw new Error(`${at} is no number.`);
  return Number(text);
}
