import { spawnSync } from 'node:child_process';

/** The Debian packages of tools that are not in a package of their own name. */
const packages: Readonly<Record<string, string>> = {
  az: 'azure-cli',
  pwsh: 'powershell, from packages.microsoft.com',
  unshare: 'util-linux',
};

/**
 * Why tests of a tool are not run on this machine; false where it is installed.
 * @param least the version that it takes at least, `MAJOR.MINOR`, where Debian's may be older
 */
export function whyMissing(tool: string, least?: string): string | false {
  const { status } = spawnSync('sh', ['-c', `command -v ${tool}`]);
  if (least === undefined) return status === 0 ? false : missing(tool);
  const text = status === 0 ? spawnSync(tool, ['--version'], { encoding: 'utf8' }).stdout : '';
  const [major = 0, minor = 0] = (/(\d+)\.(\d+)/.exec(text) ?? []).slice(1).map(Number);
  const [leastMajor = 0, leastMinor = 0] = least.split('.').map(Number);
  const isEnough = major > leastMajor || (major === leastMajor && minor >= leastMinor);
  return isEnough ? false : `${tool} ${least} or later is not installed (pip install ${packages[tool] ?? tool})`;
}

/** Says that a tool is missing, and which Debian package to install; `npm test` repeats it at its end. */
export function missing(tool: string): string {
  return `${tool} is not installed (apt-get install ${packages[tool] ?? tool})`;
}
