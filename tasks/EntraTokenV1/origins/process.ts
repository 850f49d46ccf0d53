import { environmentName, upperCaseNames } from './environment.ts';
import { type Origins, readOrigins } from './origins.ts';

/** The origins of this process. Read before task-lib, which removes the lists of variables from the environment. */
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
 * Changes the environment for the libraries. Returns, by their names, the variables that task-lib must not see
 * because it writes what it loads to the debug log.
 */
export function prepareEnvironment(origins: Origins): ReadonlyMap<string, string> {
  upperCaseNames(process.env, process.platform);
  // It fails on an invalid list, about which the step has its own message.
  if (origins.variables.areForged) {
    process.env['VSTS_PUBLIC_VARIABLES'] = '[]';
    process.env['VSTS_SECRET_VARIABLES'] = '[]';
  }
  // The client of Azure DevOps makes regular expressions of these, and fails on invalid ones; our HTTP client does
  // not need it.
  for (const name of ['NO_PROXY', 'no_proxy']) {
    delete process.env[name];
  }
  // Every connection itself requires valid certificates; Node would warn that they are not checked.
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
  // The address of the proxy may contain a user and a password.
  const address = process.env['AGENT_PROXYURL'];
  const bareAddress = address?.replace(/^(\w+:\/\/)?[^/?#]*@/, '$1');
  if (address !== undefined && bareAddress !== address) {
    withheld.set('Agent.ProxyUrl', address);
    process.env['AGENT_PROXYURL'] = bareAddress;
  }
  return withheld;
}

/** The variables with this prefix that earlier stages of this step have set. */
export function taskVariables(beginning: string): string[] {
  const start = `VSTS_TASKVARIABLE_${environmentName(beginning)}`;
  return Object.entries(process.env).flatMap(([name, value]) =>
    value && name.toUpperCase().startsWith(start) ? [value] : [],
  );
}

/** Sets a variable for this process only, unless it is set already. */
export function setForProcess(name: string, value: string): void {
  process.env[name] ??= value;
}
