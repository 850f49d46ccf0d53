import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { JobOptions } from './job-options.ts';

/**
 * Writes what lies in an agent's own folder once it is configured: `.agent`, and where they were given, `.proxy` and
 * `.certificates` (agent: ConfigurationStore.cs, VstsAgentWebProxy.cs, AgentCertificateManager.cs).
 */
export function writeAgentFiles(
  home: string,
  { collectionUri, proxy, certificates }: Pick<JobOptions, 'collectionUri' | 'proxy' | 'certificates'>,
): void {
  const write = (name: string, content: unknown): void =>
    writeFileSync(join(home, name), typeof content === 'string' ? content : JSON.stringify(content, undefined, 2));
  write('.agent', { agentId: 1, agentName: 'local-agent', poolId: 1, serverUrl: collectionUri, workFolder: '_work' });
  if (proxy !== undefined) write('.proxy', proxy.url);
  if (certificates !== undefined) {
    write('.certificates', {
      skipServerCertValidation: certificates.skipValidation === true,
      caCert: certificates.ca,
      clientCert: certificates.clientCert,
      clientCertPrivatekey: certificates.clientCertKey,
      clientCertArchive: certificates.clientCertArchive,
    });
  }
}

/** Puts Node's binaries where the agent has them, and says which it starts for a handler. */
export function nodesOf(
  home: string,
  { node, node10, machine, hasAgentFiles = true, useNode24 = true }: JobOptions,
): (handler: string) => string {
  if (node10 !== undefined) {
    const place = placeNodes(home, { node10, node20_1: node?.node20, node24: node?.node24 });
    return () => place('node10');
  }
  const node20 = node?.node20 ?? machine?.node.node20 ?? process.execPath;
  const node24 = node?.node24 ?? machine?.node.node24 ?? process.execPath;
  // On Windows, only administrators make symbolic links.
  if (machine !== undefined || !hasAgentFiles || process.platform === 'win32') {
    return (handler) => (handler === 'Node24' && useNode24 ? node24 : node20);
  }
  const place = placeNodes(home, { node20_1: node20, node24 });
  return (handler) => place(handler === 'Node24' && useNode24 ? 'node24' : 'node20_1');
}

/** Links the given binaries of Node below the agent's own folder. Gives their paths there. */
function placeNodes(home: string, nodes: Readonly<Record<string, string | undefined>>): (folder: string) => string {
  const place = (folder: string): string => join(home, 'externals', folder, 'bin', 'node');
  for (const [folder, binary] of Object.entries(nodes)) {
    if (binary !== undefined) {
      mkdirSync(dirname(place(folder)), { recursive: true });
      rmSync(place(folder), { force: true });
      symlinkSync(binary, place(folder));
    }
  }
  return place;
}

/** Whether an agent of this version is older than another. */
export function isBefore(version: string, other: string): boolean {
  const parts = (text: string): number[] => text.split('.').map(Number);
  const theirs = parts(other);
  const differing = parts(version)
    .map((part, index) => part - (theirs[index] ?? 0))
    .find((difference) => difference !== 0);
  return (differing ?? 0) < 0;
}
