/**
 * The local cloud in a process of its own, so that its work is not counted as the client's. Says once how the agent
 * starts each program, then obeys the orders of the benchmark.
 */
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runJob } from '../test/agent/job.ts';
import { startCloud } from '../test/cloud/cloud.ts';
import { startProxy } from '../test/cloud/proxy.ts';
import { rehearsalOptions } from '../test/rehearsal.ts';
import { startResourceManager } from './resource-manager.ts';
import { type Order, type Program, type Ready, type Situation, situations, type Traffic } from './situation.ts';

const DAY_SECONDS = 86_400;

const home = mkdtempSync(join(tmpdir(), 'entra-token-bench-'));
// Tokens that outlive the longest run; no contender looks at how long they live.
const cloud = await startCloud({ idTokenLifetimeSeconds: DAY_SECONDS, accessTokenLifetimeSeconds: DAY_SECONDS });
const manager = await startResourceManager(() => cloud.latencyMs);
const proxy = await startProxy({ resolve: { ...cloud.hosts, 'management.azure.com:443': manager.address } });
const authorities = join(home, 'authorities.pem');
writeFileSync(authorities, `${cloud.ca.pem}\n${manager.ca}`);

/**
 * Runs a job on the local agent with a recorder in Node's place, and gives what it recorded: the files of the package
 * where the agent unpacked them, the working folder, and exactly the environment that the agent makes.
 */
async function record(name: string, situation: Situation): Promise<{ main: Program; post: Program }> {
  const records = join(home, 'records', name);
  mkdirSync(records, { recursive: true });
  const recorder = join(records, 'node');
  const script = `#!/bin/sh
to="${records}/$(basename "$1" .js)"
cat /proc/$$/environ > "$to.environment"
printf '%s' "$1" > "$to.script"
printf '%s' "$PWD" > "$to.folder"
`;
  writeFileSync(recorder, script);
  chmodSync(recorder, 0o755);
  const connection = { ...cloud.connections.azureRM, parameters: { ...cloud.connections.azureRM.parameters } };
  if (situation.lateBound) {
    connection.parameters['idToken'] = await cloud.issueIdToken({ connection: connection.name });
  }
  const step = {
    task: 'EntraToken@1',
    name: 'entra',
    inputs: { azureSubscription: connection.name, ...situation.inputs },
  };
  await runJob({
    ...rehearsalOptions(cloud),
    isHosted: false,
    connections: [connection],
    node: { node20: recorder, node24: recorder },
    workFolder: join(home, name, '_work'),
    pipeline: JSON.stringify({ steps: [step] }),
  });
  return { main: readRecord(join(records, 'main')), post: readRecord(join(records, 'post-job')) };
}

function readRecord(path: string): Program {
  const environment: Record<string, string> = {};
  for (const pair of readFileSync(`${path}.environment`, 'utf8').split('\0')) {
    const at = pair.indexOf('=');
    if (at > 0) {
      environment[pair.slice(0, at)] = pair.slice(at + 1);
    }
  }
  return {
    script: readFileSync(`${path}.script`, 'utf8'),
    folder: readFileSync(`${path}.folder`, 'utf8'),
    environment,
  };
}

function takeTraffic(): Traffic {
  const { requests, connectionsOpened } = cloud;
  cloud.requests = [];
  cloud.connectionsOpened = 0;
  return {
    requests: requests.length + manager.takeRequests(),
    connections: connectionsOpened,
    refusals: requests.filter(({ status }) => status !== 200).length,
  };
}

async function end(): Promise<void> {
  await Promise.all([cloud.close(), manager.close(), proxy.close()]);
  rmSync(home, { recursive: true, force: true });
  process.disconnect();
}

process.on('message', (order: Order) => {
  if (order === 'end') {
    void end();
  } else if (order === 'traffic') {
    process.send?.(takeTraffic());
  } else {
    cloud.latencyMs = order.latencyMs;
    process.send?.(takeTraffic());
  }
});
process.on('disconnect', () => process.exit(0));

const [one, ten, lateBound, tokenFile] = [
  await record('one', situations.one),
  await record('ten', situations.ten),
  await record('lateBound', situations.lateBound),
  await record('tokenFile', situations.tokenFile),
];
const { azureRM } = cloud.connections;
const ready: Ready = {
  main: { one: one.main, ten: ten.main, lateBound: lateBound.main, tokenFile: tokenFile.main },
  post: one.post,
  hosts: cloud.hosts,
  connection: { id: azureRM.id, clientId: cloud.clientId, tenantId: cloud.tenantId },
  authorityUrl: cloud.authorityUrl,
  jobToken: cloud.job.jobToken,
  caFile: cloud.caFile,
  proxy: { url: proxy.url, authorities },
  home,
};
process.send?.(ready);
