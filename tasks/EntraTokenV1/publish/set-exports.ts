import type { Agent } from '../agent/agent.ts';
import { warnOfExports } from './export-warnings.ts';
import { type ExportFacts, exportVariables, terraformAsks } from './exports.ts';
import { leftOver, readMemory, remember } from './left-over.ts';

/** Sets the variables for the rest of the job, empties left-over ones, and warns of those that will not take effect. */
export function setExports(
  facts: ExportFacts,
  tokenFile: string | undefined,
  agent: Pick<Agent, 'variable' | 'origins' | 'setVariable' | 'log' | 'warn'>,
): void {
  const exported = exportVariables(facts, tokenFile);
  const memory = readMemory(agent);
  const emptied = leftOver(facts, exported, memory, agent);
  const replaced = [...exported].flatMap(([name, value]) => {
    const before = agent.variable(name);
    return before !== undefined && before !== value ? [name] : [];
  });
  // A variable that exists already may be read-only, so that the agent would fail the step; and this task must not
  // empty it later.
  const set = new Map([...exported].filter(([name, value]) => !isThere(name, value, agent)));
  for (const [name, value] of [...set, ...emptied.map((name) => [name, ''] as const)]) {
    agent.setVariable(name, value);
  }
  remember(memory, set, emptied, agent);
  if (exported.size > 0) {
    agent.log(`Exported      ${[...exported.keys()].join(', ')}`);
  }
  if (replaced.length > 0) {
    agent.log(
      `  replaced    ${replaced.join(', ')}: their previous values are overwritten ` +
        '(unless the agent says that one is read-only: then rename the variable of the job)',
    );
  }
  if (emptied.length > 0) {
    agent.log(
      `  emptied     ${emptied.join(', ')}: an earlier step exported them, and they do not belong to this identity`,
    );
  }
  if (asksAzureDevOps(facts) && facts.fromAzureDevOps) {
    agent.log('The tool requests new tokens itself; map the job token into its step:');
    agent.log('    env:');
    agent.log('      SYSTEM_ACCESSTOKEN: $(System.AccessToken)');
  }
  warnOfExports(facts, [...exported.keys()], emptied, agent);
}

function asksAzureDevOps(facts: ExportFacts): boolean {
  return (facts.kinds.has('terraform') && terraformAsks(facts)) || facts.kinds.has('azurePipelines');
}

/** Whether the job has exactly this as a public variable. */
function isThere(name: string, value: string, { origins }: Pick<Agent, 'origins'>): boolean {
  const found = origins.environment(name);
  return origins.variables.has(name) && !origins.variables.isSecret(name) && found?.value === value;
}
