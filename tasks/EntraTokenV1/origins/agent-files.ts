import { readFileSync } from 'node:fs';
import { dirname, isAbsolute, join, sep } from 'node:path';

/**
 * The agent's configuration as in its own files, below its own folder. No pipeline variable changes them. If the
 * folder is known, a setting that is not in it is not configured.
 */
export interface AgentFiles {
  /** Of `.certificates` (agent: AgentCertificateManager.cs). */
  readonly skipsCertificateValidation: boolean;
  readonly certificates: {
    readonly authorities: string | undefined;
    readonly clientCertificate: string | undefined;
    readonly clientKey: string | undefined;
  };
  /** The address in `.proxy` (agent: VstsAgentWebProxy.cs). */
  readonly proxy: string | undefined;
}

/** The paths of the program, which the agent decides, and no variable. */
export interface ProgramPlace {
  /** Node's binary, as the system names it and as it was started. The agent's own are in `<agent>/externals`. */
  readonly node: readonly string[];
  /** The folder of the task, `<work>/_tasks/<name>/<version>`. */
  readonly task: string;
}

/**
 * The files of the agent that runs this step; undefined if its folder cannot be read, as in a job container.
 * @param home its folder as the agent names it, tried last
 */
export function readAgentFiles(place: ProgramPlace, home: string | undefined): AgentFiles | undefined {
  for (const root of [...agentRoots(place), ...(home !== undefined && isAbsolute(home) ? [home] : [])]) {
    const certificates = readText(join(root, '.certificates'));
    // Every configured agent has the first file.
    if (readText(join(root, '.agent')) !== undefined || certificates !== undefined) {
      const settings = fieldsOf(certificates);
      const text = (name: string): string | undefined => {
        const value = settings.get(name);
        return typeof value === 'string' && value !== '' ? value : undefined;
      };
      return {
        skipsCertificateValidation: settings.get('skipservercertvalidation') === true,
        certificates: {
          authorities: text('cacert'),
          clientCertificate: text('clientcert'),
          clientKey: text('clientcertprivatekey'),
        },
        proxy:
          readText(join(root, '.proxy'))
            ?.split(/[\r\n]/)[0]
            ?.trim() || undefined,
      };
    }
  }
  return undefined;
}

/** The agent's work folder, if the task is in the place where the agent unpacks tasks. */
export function workFolder({ task }: Pick<ProgramPlace, 'task'>): string | undefined {
  const parts = task.split(sep);
  const at = parts.lastIndexOf('_tasks');
  return at > 0 ? parts.slice(0, at).join(sep) : undefined;
}

function agentRoots(place: ProgramPlace): string[] {
  const fromNode = place.node
    .filter(isAbsolute)
    .map((binary) => binary.split(sep))
    .flatMap((parts) => {
      const at = parts.lastIndexOf('externals');
      return at > 0 ? [parts.slice(0, at).join(sep)] : [];
    });
  const work = workFolder(place);
  return [...new Set([...fromNode, ...(work === undefined ? [] : [dirname(work)])])];
}

/** The members of a JSON object; their names without regard to case, in which versions of the agent differ. */
function fieldsOf(json: string | undefined): ReadonlyMap<string, unknown> {
  try {
    const value: unknown = JSON.parse(json ?? '');
    return new Map(
      typeof value === 'object' && value !== null
        ? Object.entries(value).map(([name, member]) => [name.toLowerCase(), member])
        : [],
    );
  } catch {
    return new Map();
  }
}

/** Some of the files begin with a byte order mark. */
function readText(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8').replace(/^\uFEFF/, '');
  } catch {
    return undefined;
  }
}
