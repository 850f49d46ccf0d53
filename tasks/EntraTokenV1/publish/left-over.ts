import { createHash } from 'node:crypto';
import type { Agent } from '../agent/agent.ts';
import { isExportedTokenFile } from '../background/token-folder.ts';
import { isRecord } from '../text/json.ts';
import type { ExportFacts } from './exports.ts';

/**
 * Names that only some identities have, or that must fit those beside them. Values of an earlier step of this task
 * are emptied, because the tool would combine them with the identity of this step.
 */
const OF_TERRAFORM = [
  'ARM_SUBSCRIPTION_ID',
  'ARM_ENVIRONMENT',
  'ARM_ADO_PIPELINE_SERVICE_CONNECTION_ID',
  'ARM_OIDC_AZURE_SERVICE_CONNECTION_ID',
  'ARM_OIDC_TOKEN_FILE_PATH',
];
const OF_AZCOPY = ['AZCOPY_TENANT_ID', 'AZCOPY_AUTO_LOGIN_TYPE'];
const REMEMBERED: ReadonlySet<string> = new Set([...OF_TERRAFORM, ...OF_AZCOPY]);

/**
 * The variable of the job that stores which of these names this task has set, with a digest of each value: a value
 * that was changed since is not emptied. Any step could write it, so its only effect is that one of the names above
 * is emptied.
 */
export const MEMORY = 'EntraToken.Exported';

/** For each name, a digest of the value that this task set last. */
export type Memory = ReadonlyMap<string, string>;

/** Which names an earlier step of this task set for the tools of this one, and this one does not. */
export function leftOver(
  facts: ExportFacts,
  exported: ReadonlyMap<string, string>,
  memory: Memory,
  agent: Pick<Agent, 'variable'>,
): string[] {
  const ofTerraform = facts.kinds.has('terraform') ? OF_TERRAFORM : [];
  // AzCopy would use this step's client in the tenant of the earlier step.
  const otherTenant = agent.variable('AZCOPY_TENANT_ID')?.toLowerCase() !== facts.tenantId.toLowerCase();
  const ofAzCopy = facts.kinds.has('workloadIdentity') && otherTenant ? OF_AZCOPY : [];
  return [...ofTerraform, ...ofAzCopy].filter((name) => {
    const value = agent.variable(name);
    return (
      !exported.has(name) && value !== undefined && (memory.get(name) === digest(value) || isExportedTokenFile(value))
    );
  });
}

/** Reads what earlier steps of this task have set. */
export function readMemory(agent: Pick<Agent, 'variable'>): Memory {
  try {
    const memory: unknown = JSON.parse(agent.variable(MEMORY) ?? '{}');
    const entries = Object.entries(isRecord(memory) ? memory : {});
    return new Map(
      entries.flatMap(([name, mark]) => (REMEMBERED.has(name) && typeof mark === 'string' ? [[name, mark]] : [])),
    );
  } catch {
    return new Map();
  }
}

/** Stores for later steps what this one has set and emptied. */
export function remember(
  before: Memory,
  set: ReadonlyMap<string, string>,
  emptied: readonly string[],
  agent: Pick<Agent, 'setVariable'>,
): void {
  const memory = new Map(before);
  for (const name of emptied) {
    memory.delete(name);
  }
  for (const [name, value] of set) {
    if (REMEMBERED.has(name)) {
      memory.set(name, digest(value));
    }
  }
  const now = JSON.stringify(Object.fromEntries(memory));
  if (now !== JSON.stringify(Object.fromEntries(before))) {
    agent.setVariable(MEMORY, now);
  }
}

function digest(value: string): string {
  return createHash('sha256').update(value).digest('hex').slice(0, 16);
}
