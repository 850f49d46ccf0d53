import { createHmac, timingSafeEqual } from 'node:crypto';
import type { Agent } from '../agent/agent.ts';
import { environmentName } from '../origins/environment.ts';
import { isRecord } from '../text/json.ts';
import type { Secret } from '../text/secret.ts';
import type { ExportKind } from './inputs.ts';

/** The variables that AKS sets on a pod and that a step of this task may override. */
const names = ['AZURE_CLIENT_ID', 'AZURE_TENANT_ID', 'AZURE_AUTHORITY_HOST', 'AZURE_FEDERATED_TOKEN_FILE'] as const;
export type PodVariable = (typeof names)[number];

/** The variables that AKS set on the agent's pod, as opposed to pipeline variables of the same names. */
export interface Pod {
  /** The pod's own values. */
  readonly values: Readonly<Partial<Record<PodVariable, string>>>;
  /** The names whose value of the pod is hidden by a pipeline variable. */
  readonly hidden: readonly PodVariable[];
  /**
   * What later steps need to know of the pod after a step has overridden its variables; undefined if there is no pod.
   */
  readonly memory: string | undefined;
}

/** The variable by which a step that exports tells later ones what the pod had. */
export const POD_MEMORY = 'EntraToken.Pod';

/**
 * Reads the pod's variables. A step that exports for `workloadIdentity` hides them behind pipeline variables for the
 * rest of the job; it stores them in another variable, with an HMAC whose key is the job token. A step that merely
 * prints does not have that token, so it cannot forge the HMAC.
 */
export function readPod({ origins }: Pick<Agent, 'origins'>, jobToken: Secret | undefined): Pod {
  const recalled = recall(origins.environment(environmentName(POD_MEMORY))?.value, jobToken);
  const values: Partial<Record<PodVariable, string>> = {};
  const hidden: PodVariable[] = [];
  for (const name of names) {
    const found = origins.environment(name);
    const own = (found?.owner === 'machine' ? found.value : recalled.get(name))?.trim();
    if (own) {
      values[name] = own;
    } else if (found?.owner === 'pipeline') {
      hidden.push(name);
    }
  }
  return {
    values,
    hidden,
    memory: Object.keys(values).length > 0 && jobToken !== undefined ? remember(values, jobToken) : undefined,
  };
}

/** Stores the pod's values for later steps, if an export hides its variables. */
export function rememberPod(
  exported: ReadonlySet<ExportKind>,
  { memory }: Pod,
  { setVariable }: Pick<Agent, 'setVariable'>,
): void {
  if (memory !== undefined && (exported.has('workloadIdentity') || exported.has('azcopy'))) {
    setVariable(POD_MEMORY, memory);
  }
}

function remember(values: Pod['values'], jobToken: Secret): string {
  const text = Buffer.from(JSON.stringify(values)).toString('base64url');
  return `${text}.${codeOf(text, jobToken)}`;
}

function recall(memory: string | undefined, jobToken: Secret | undefined): ReadonlyMap<string, string> {
  const [text = '', code = ''] = memory?.split('.') ?? [];
  if (memory === undefined || jobToken === undefined || !isSame(code, codeOf(text, jobToken))) {
    return new Map();
  }
  const values: unknown = JSON.parse(Buffer.from(text, 'base64url').toString('utf8'));
  return new Map(
    Object.entries(isRecord(values) ? values : {}).filter(
      (entry): entry is [string, string] => typeof entry[1] === 'string',
    ),
  );
}

function codeOf(text: string, jobToken: Secret): string {
  return createHmac('sha256', jobToken.reveal()).update(`${POD_MEMORY}\0${text}`).digest('base64url');
}

function isSame(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
}
