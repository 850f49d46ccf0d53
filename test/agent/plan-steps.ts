import { randomUUID } from 'node:crypto';
import { findTask, type TaskDefinition } from './extension.ts';
import type { Masker } from './masker.ts';
import type { StepDefinition } from './pipeline.ts';
import type { StepInstance } from './step.ts';
import { Variables } from './variables.ts';

/** The names of the tasks behind script steps, which unnamed ones are called by. */
const scriptTaskNames: Record<StepDefinition['kind'], string> = {
  task: 'Task',
  bash: 'Bash',
  script: 'CmdLine',
  pwsh: 'PowerShell',
  powershell: 'PowerShell',
};

/** Gives each step that is enabled its task and its names; unnamed steps are named as the server does. */
export function planSteps(
  steps: readonly StepDefinition[],
  tasks: readonly TaskDefinition[],
  masker: Masker,
): StepInstance[] {
  const taken = new Set(steps.flatMap(({ name }) => (name === undefined ? [] : [name.toLowerCase()])));
  return steps
    .filter(({ enabled }) => enabled)
    .map((definition) => {
      const task = definition.kind === 'task' ? findTask(tasks, definition.task) : undefined;
      const kind = task?.name ?? scriptTaskNames[definition.kind];
      let name = definition.name ?? kind;
      for (let counter = 1; definition.name === undefined && taken.has(name.toLowerCase()); counter++) {
        name = `${kind}${counter}`;
      }
      taken.add(name.toLowerCase());
      return {
        id: randomUUID(),
        name,
        displayName: definition.displayName ?? kind,
        definition,
        task,
        inputs: {},
        taskVariables: new Variables(masker),
        restrictions: [...(task === undefined ? [] : [task.restrictions]), definition.restrictions],
      };
    });
}
