import { minimatch } from 'minimatch';

/** What one source, the task or the pipeline, lets a step's commands do. */
export interface Restrictions {
  /** Only commands that are harmless to the job (agent: CommandRestrictionAttribute). */
  restrictedCommands?: boolean;
  /** Globs of the variables that may be set: absent means all, empty means none. */
  settableVariables?: readonly string[];
}

const ALLOWED_WHEN_RESTRICTED = new Set([
  'task.logdetail',
  'task.logissue',
  'task.issue',
  'task.complete',
  'task.setprogress',
  'task.setsecret',
  'task.setvariable',
  'task.debug',
  'task.settaskvariable',
  'task.prependpath',
  'telemetry.publish',
]);

/** Whether every source lets the step use the command, given as `area.event` in lower case. */
export function isCommandAllowed(restrictions: readonly Restrictions[], command: string): boolean {
  return restrictions.every(
    ({ restrictedCommands }) => restrictedCommands !== true || ALLOWED_WHEN_RESTRICTED.has(command),
  );
}

/** Whether every source lets the step set the variable; for an output, its name without the step's. */
export function isVariableSettable(restrictions: readonly Restrictions[], name: string): boolean {
  return restrictions.every(
    ({ settableVariables }) => settableVariables?.some((glob) => minimatch(name, glob, { nocase: true })) ?? true,
  );
}
