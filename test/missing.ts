import { spawnSync } from 'node:child_process';

/** The Debian packages of tools that are not in a package of their own name. */
const packages: Readonly<Record<string, string>> = { az: 'azure-cli', unshare: 'util-linux' };

/** Why tests of a tool are not run on this machine; false where it is installed. */
export function whyMissing(tool: string): string | false {
  const { status } = spawnSync('sh', ['-c', `command -v ${tool}`]);
  return status === 0 ? false : missing(tool);
}

/** Says that a tool is missing, and which Debian package to install; `npm test` repeats it at its end. */
export function missing(tool: string): string {
  return `${tool} is not installed (apt-get install ${packages[tool] ?? tool})`;
}
