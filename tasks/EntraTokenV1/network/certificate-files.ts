import { readFileSync } from 'node:fs';
import { posix, win32 } from 'node:path';
import { errorCode, Failure } from '../failure/failure.ts';
import { Secret } from '../text/secret.ts';
import { printable } from '../text/text.ts';
import type { NetworkFacts } from './settings.ts';

export interface ClientCertificate {
  readonly certificate: string;
  readonly key: Secret;
  readonly passphrase: Secret | undefined;
}

/** The setting that names a file, what to call it, and the path in the agent's own configuration. */
interface AgentFile {
  readonly variable: 'Agent.CAInfo' | 'Agent.ClientCert' | 'Agent.ClientCertKey';
  readonly what: string;
  readonly configured: string | undefined;
}

/** PEM text of the authorities that the agent is configured with. Throws ET_CERTIFICATE_FILE, as the next does. */
export function readAuthorities(facts: NetworkFacts): string | undefined {
  const pem = readPem(facts, {
    variable: 'Agent.CAInfo',
    what: 'authorities',
    configured: facts.origins.agentFiles()?.certificates.authorities,
  });
  if (pem !== undefined && !pem.includes('-----BEGIN')) {
    throw new Failure(
      'ET_CERTIFICATE_FILE',
      'The file of the agent’s authorities (Agent.CAInfo) contains no certificate.',
    );
  }
  return pem;
}

/**
 * A missing file is usually a path of the host in a job container; if it is needed, the request fails with its own
 * code.
 */
function readPem(facts: NetworkFacts, { variable, what, configured }: AgentFile): string | undefined {
  const file = facts.variable(variable);
  if (!file) {
    return undefined;
  }
  if (file !== configured && facts.origins.isInJobFolders(file)) {
    facts.log(
      `${variable} names a file of the job (${shownFile(file)}), which the agent’s own files do not name; it is ignored.`,
    );
    return undefined;
  }
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') {
      facts.log(
        `The file of the agent’s ${what} (${variable}: ${shownFile(file)}) is not there, and is ignored. A job ` +
          `container sees it only where it is mounted: container: { volumes: [${mountOf(file)}] }`,
      );
      return undefined;
    }
    throw new Failure('ET_CERTIFICATE_FILE', `The file of the agent’s ${what} (${variable}) cannot be read.`);
  }
}

/**
 * The volume that mounts the folder of a host's file at the same path; the agent leaves a path that it does not map
 * as it is.
 */
function mountOf(file: string): string {
  const folder = printable((file.includes('\\') ? win32 : posix).dirname(file), 200);
  return `${folder}:${folder}:ro`;
}

/** The path of a file as the log may show it. */
export function shownFile(file: string | undefined): string {
  return printable(file ?? '', 200);
}

/** The client certificate that the agent is configured with; undefined without a certificate or without its key. */
export function readClientCertificate(facts: NetworkFacts): ClientCertificate | undefined {
  const configured = facts.origins.agentFiles()?.certificates;
  const certificate = readPem(facts, {
    variable: 'Agent.ClientCert',
    what: 'client certificate',
    configured: configured?.clientCertificate,
  });
  const key = readPem(facts, {
    variable: 'Agent.ClientCertKey',
    what: 'client certificate’s key',
    configured: configured?.clientKey,
  });
  if (certificate === undefined || key === undefined) {
    return undefined;
  }
  const passphrase = facts.secretVariable('Agent.ClientCertPassword');
  return {
    certificate,
    key: Secret.maskedByAgent(key),
    passphrase: passphrase ? Secret.maskedByAgent(passphrase) : undefined,
  };
}
