/** The agent's results, from best to last word (agent: TaskResult). Note the spelling of `Canceled`. */
const TASK_RESULTS = ['Succeeded', 'SucceededWithIssues', 'Failed', 'Canceled', 'Skipped', 'Abandoned'] as const;

export type TaskResult = (typeof TASK_RESULTS)[number];

/** The worse of two results; once beyond `Failed`, a result is final (agent: TaskResultUtil.cs). */
export function mergeResults(current: TaskResult | undefined, coming: TaskResult): TaskResult {
  if (current === undefined) return coming;
  if (rank(current) > rank('Failed')) return current;
  return rank(coming) > rank(current) ? coming : current;
}

/** Reads a result as .NET's Enum.TryParse does: case-sensitive, or as its number. */
export function parseResult(text: string): TaskResult | undefined {
  const name = text.trim();
  return TASK_RESULTS.find((result, number) => result === name || String(number) === name);
}

function rank(result: TaskResult): number {
  return TASK_RESULTS.indexOf(result);
}
