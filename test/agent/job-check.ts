import { spawnSync } from 'node:child_process';
import { nearest } from '../../tasks/EntraTokenV1/text/nearest.ts';
import { findTask, type TaskDefinition } from './extension.ts';
import type { NamedConnection } from './inputs.ts';
import type { PipelineDefinition, TaskStep } from './pipeline.ts';
import type { PipelineFault } from './pipeline-yaml.ts';

/** What the server knows when a pipeline is queued. */
export interface Organization {
  tasks: readonly TaskDefinition[];
  connections: readonly (NamedConnection & { type: string })[];
  /** Variables that are known before the job. */
  variables: Readonly<Record<string, string>>;
}

/** What the server would refuse before the job starts, and what this machine has no program for. */
export function faultsOfSteps({ jobs }: PipelineDefinition, organization: Organization): PipelineFault[] {
  return jobs.flatMap(({ steps, variables }) => {
    const known = {
      ...organization.variables,
      ...Object.fromEntries(variables.map(({ name, value }) => [name, value])),
    };
    return steps
      .filter(({ enabled }) => enabled)
      .flatMap((step) => {
        if (step.kind === 'task') return faultsOfTask(step, { ...organization, variables: known });
        const isPowerShell = step.kind === 'pwsh' || step.kind === 'powershell';
        return isPowerShell && !hasPowerShell()
          ? [{ line: step.line, sentence: `This machine has no PowerShell 7 (pwsh), which a ${step.kind} step needs.` }]
          : [];
      });
  });
}

function faultsOfTask(step: TaskStep, { tasks, connections, variables }: Organization): PipelineFault[] {
  let task: TaskDefinition;
  try {
    task = findTask(tasks, step.task);
  } catch {
    return [{ line: step.line, sentence: unknownTask(step.task, tasks) }];
  }
  return Object.entries(step.inputs).flatMap(([name, text]) => {
    const input = task.inputs.find(({ name: own, aliases }) =>
      [own, ...aliases].some((known) => known.toLowerCase() === name.toLowerCase()),
    );
    const type = /^connectedService:(.+)$/i.exec(input?.type ?? '')?.[1]?.toLowerCase();
    const wanted = expandKnown(text, variables).trim();
    if (type === undefined || wanted === '') return [];
    const found = connections.find((one) =>
      [one.name, one.id].some((own) => own.toLowerCase() === wanted.toLowerCase()),
    );
    const line = step.lines[`inputs.${name}`] ?? step.line;
    const ofType = connections.filter((one) => one.type.toLowerCase() === type).map((one) => one.name);
    if (found === undefined) {
      const meant = nearest(wanted, ofType);
      const hint = `${meant === undefined ? '' : `Did you mean '${meant}'? `}There are ${ofType.join(', ')}.`;
      return [{ line, sentence: `${name}: there is no service connection '${wanted}'. ${hint}` }];
    }
    if (found.type.toLowerCase() === type) return [];
    const fits = `'${found.name}' is a connection of the type ${found.type}, and the input takes ${input?.type.split(':')[1]}`;
    return [{ line, sentence: `${name}: ${fits}: ${ofType.join(', ')}.` }];
  });
}

function unknownTask(asked: string, tasks: readonly TaskDefinition[]): string {
  const [name = '', version] = asked.split('@');
  const versions = tasks
    .filter((task) => task.name.toLowerCase() === name.toLowerCase())
    .map(({ version: { major } }) => major);
  if (versions.length > 0) {
    const has = versions.map((major) => `${name}@${major}`).join(', ');
    return version === undefined
      ? `The task '${asked}' has no version; write ${has}.`
      : `There is no version ${version} of the task ${name}; there is ${has}.`;
  }
  const known = [...tasks.map((task) => `${task.name}@${task.version.major}`), 'Bash@3', 'CmdLine@2', 'PowerShell@2'];
  const meant = nearest(
    name,
    tasks.map((task) => task.name),
  );
  const hint =
    meant === undefined
      ? `It has ${known.join(', ')}.`
      : `Did you mean '${known.find((one) => one.startsWith(meant))}'?`;
  return `The local agent has no task '${asked}'. ${hint}`;
}

function expandKnown(text: string, variables: Readonly<Record<string, string>>): string {
  return text.replace(/\$\(([^)]+)\)/g, (macro, name: string) => {
    const found = Object.entries(variables).find(([key]) => key.toLowerCase() === name.toLowerCase());
    return found === undefined ? macro : expandKnown(found[1].replaceAll(`$(${name})`, ''), variables);
  });
}

function hasPowerShell(): boolean {
  return spawnSync('pwsh', ['-NoLogo', '-NoProfile', '-Command', 'exit 0']).status === 0;
}
