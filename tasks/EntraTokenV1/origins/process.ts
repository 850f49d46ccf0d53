import { environmentName } from './environment.ts';
import { type Origins, readOrigins } from './origins.ts';

/** The origins of this process. Read before task-lib, which takes the lists of variables out of the environment. */
export function processOrigins(taskFolder: string): Origins {
  return readOrigins({
    environment: process.env,
    platform: process.platform,
    place: { node: [process.execPath, process.argv0], task: taskFolder },
    workingFolder: workingFolder(),
  });
}

/** A folder that was removed under the process has no name. */
function workingFolder(): string | undefined {
  try {
    return process.cwd();
  } catch {
    return undefined;
  }
}

/**
 * Changes what the libraries see of the environment. Gives, by their names, the variables that task-lib is not to see
 * because it writes what it loads to the debug log.
 */
export function prepareEnvironment(origins: Origins): ReadonlyMap<string, string> {
  // It fails on a list that is none, and the step is to say itself what is wrong with it.
  if (origins.variables.areForged) {
    process.env['VSTS_PUBLIC_VARIABLES'] = '[]';
    process.env['VSTS_SECRET_VARIABLES'] = '[]';
  }
  // The client of Azure DevOps builds expressions of these, and fails on what is none; the wire has its own way.
  for (const name of ['NO_PROXY', 'no_proxy']) {
    delete process.env[name];
  }
  // Every connection says itself that certificates are checked; Node would warn that they are not.
  delete process.env['NODE_TLS_REJECT_UNAUTHORIZED'];
  const withheld = new Map<string, string>();
  for (const name of ['Agent.ProxyPassword', 'Agent.ClientCertPassword']) {
    const key = `SECRET_${name.replaceAll('.', '_').toUpperCase()}`;
    const value = process.env[key];
    if (value) {
      withheld.set(name, value);
      delete process.env[key];
    }
  }
  // Whoever set the agent up may have written user and password into the address of the proxy.
  const address = process.env['AGENT_PROXYURL'];
  const bareAddress = address?.replace(/^(\w+:\/\/)?[^/?#]*@/, '$1');
  if (address !== undefined && bareAddress !== address) {
    withheld.set('Agent.ProxyUrl', address);
    process.env['AGENT_PROXYURL'] = bareAddress;
  }
  return withheld;
}

/** The variables that earlier stages of this step have set for this one, those whose names begin so. */
export function taskVariables(beginning: string): string[] {
  const start = `VSTS_TASKVARIABLE_${environmentName(beginning)}`;
  return Object.entries(process.env).flatMap(([name, value]) =>
    value && name.toUpperCase().startsWith(start) ? [value] : [],
  );
}

/** Sets a variable for this process alone, where nobody has set it yet. */
export function setForProcess(name: string, value: string): void {
  process.env[name] ??= value;
}
