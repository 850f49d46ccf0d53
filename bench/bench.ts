import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { root } from '../scripts/layout.ts';
import { LOOKUP_ID } from '../test/agent/orphans.ts';
import { refreshersOf } from '../test/later-steps/processes.ts';
import { packagedExtension } from '../test/rehearsal.ts';
import { type Contender, contenders, latencies, type NodeVersion, nodeBinary, nodes } from './contenders.ts';
import { LocalCloud } from './local-cloud.ts';
import { peakMemory, residentMemory, spread, time } from './measure.ts';
import { installPeers } from './peers.ts';
import { plot } from './plot.ts';
import { type Figure, judge, type Memory, type Results, tables } from './results.ts';
import { scaleTables } from './scale.ts';
import type { Ready } from './situation.ts';

const HELP = `Measures the packaged task against what it cannot be faster than, and against what else gives a token.

  npm run bench                     prints tables of wall time, processor time, memory, requests, sizes and ratios
  npm run bench -- --runs 40        takes more runs of each (20)
  npm run bench -- --only a,b       measures these alone (the floor is the measure of the others: floor,task)
  npm run bench -- --json           prints the results as JSON
  npm run bench -- --plot FILE      draws the wall times as well (SVG)
  npm run bench -- --document       writes the tables and the picture of docs/performance.md
  npm run bench -- --scale          prints the simulation of a thousand jobs alone, and measures nothing;
                                    with --document it writes docs/scale.md

The exit code is 1 where a target was missed.
`;

const MEMORY_RUNS = 5;

const { values } = parseArgs({
  options: {
    help: { type: 'boolean', short: 'h' },
    runs: { type: 'string', default: '20' },
    only: { type: 'string' },
    json: { type: 'boolean' },
    plot: { type: 'string' },
    document: { type: 'boolean' },
    scale: { type: 'boolean' },
  },
});

/** Every contender once at every latency and on every Node, so often; what is noise then strikes all alike. */
async function measure(all: readonly Contender[], cloud: LocalCloud, runs: number): Promise<Figure[]> {
  const taken = all.flatMap((contender) =>
    contender.nodes.flatMap((node) =>
      contender.latencies.map((latencyMs) => ({
        contender,
        node,
        latencyMs,
        wall: [] as number[],
        processor: [] as number[],
        requests: new Set<number>(),
      })),
    ),
  );
  // The first round warms the services and the disk's cache; it is not counted.
  for (let round = 0; round <= runs; round++) {
    for (const latencyMs of latencies) {
      await cloud.setLatency(latencyMs);
      const now = taken.filter((it) => it.latencyMs === latencyMs && round % it.contender.every === 0);
      // Each round begins with another one, so that none always follows the same neighbour.
      const start = round % now.length;
      for (const it of [...now.slice(start), ...now.slice(0, start)]) {
        const times = await time(it.contender.command(it.node));
        const traffic = await cloud.traffic();
        if (traffic.refusals > 0 || times.output.includes('result=Failed')) {
          throw new Error(`${it.contender.name} did not get its token:\n${times.output}`);
        }
        if (round > 0) {
          it.wall.push(times.wallMs);
          it.processor.push(times.processorMs);
          it.requests.add(traffic.requests);
        }
      }
    }
    progress(`round ${round} of ${runs}`);
  }
  return taken.map(({ contender, node, latencyMs, wall, processor, requests }) => {
    if (requests.size !== 1) {
      throw new Error(`${contender.name} made now ${[...requests].join(', now ')} requests`);
    }
    return {
      contender: contender.name,
      node,
      latencyMs,
      runs: wall.length,
      wallMs: spread(wall),
      processorMs: spread(processor),
      requests: Math.max(...requests),
    };
  });
}

async function measureMemory(all: readonly Contender[], cloud: LocalCloud): Promise<Memory[]> {
  await cloud.setLatency(0);
  const memory: Memory[] = [];
  for (const { name, command, nodes: on } of all) {
    for (const node of on) {
      const peaks: number[] = [];
      for (let run = 0; run < MEMORY_RUNS; run++) {
        peaks.push((await peakMemory(command(node))) / 1024);
      }
      memory.push({ contender: name, node, peak: spread(peaks) });
    }
    progress(`memory of ${name}`);
  }
  return memory;
}

/** Has a step start its background process, and looks at that process after some idle seconds. */
async function measureRefresher(ready: Ready, node: NodeVersion): Promise<Results['refresher'][number]> {
  const { script, folder, environment } = ready.main.tokenFile;
  const child = spawn(nodeBinary(node), [script], {
    cwd: folder,
    env: environment,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  await once(child, 'close');
  const [background] = refreshersOf(environment[LOOKUP_ID] ?? '');
  if (background === undefined) {
    throw new Error(`the step started no background process:\n${output}`);
  }
  const { pid } = background;
  await sleep(5000);
  const { resident, peak } = residentMemory(pid);
  process.kill(pid, 'SIGKILL');
  return { node, resident: resident / 1024, peak: peak / 1024 };
}

async function run(): Promise<Results> {
  installPeers();
  const load = loadavg()[0] ?? 0;
  const cloud = await LocalCloud.start();
  try {
    const only = values.only?.split(',');
    const all = (await contenders(cloud.ready)).filter(({ name }) => only?.includes(name) ?? true);
    const figures = await measure(all, cloud, Number(values.runs));
    const memory = await measureMemory(all, cloud);
    const refresher: Results['refresher'][number][] = [];
    for (const node of only === undefined ? nodes : []) {
      refresher.push(await measureRefresher(cloud.ready, node));
    }
    const [processor] = cpus();
    return {
      date: new Date().toISOString().slice(0, 10),
      machine: `${cpus().length} cores (${processor?.model.trim() ?? 'unknown'}), Linux`,
      load: [round(load), round(loadavg()[0] ?? 0)],
      figures,
      memory,
      sizes: all.flatMap(({ name, size }) => (size === undefined ? [] : [{ contender: name, bytes: size }])),
      refresher,
      package: statSync(packagedExtension()).size,
      titles: Object.fromEntries(all.map(({ name, title }) => [name, title])),
      withoutNode: all.filter(({ runsOnNode }) => !runsOnNode).map(({ name }) => name),
    };
  } finally {
    await cloud.end();
  }
}

function round(figure: number): number {
  return Math.round(figure * 10) / 10;
}

function progress(text: string): void {
  if (process.stderr.isTTY) {
    process.stderr.write(`\r\x1b[K${text}`);
  }
}

/** Puts a text between the two markers of a page. Throws where they are missing. */
function document(page: string, name: string, text: string): void {
  const path = join(root, 'docs', page);
  const before = readFileSync(path, 'utf8');
  const marked = new RegExp(`(<!-- ${name}: .* -->)[\\s\\S]*?(<!-- ${name} end -->)`);
  if (!marked.test(before)) {
    throw new Error(`${page} has no markers for '${name}'`);
  }
  writeFileSync(
    path,
    before.replace(marked, (_, begin: string, end: string) => `${begin}\n\n${text}\n${end}`),
  );
}

if (values.help) {
  process.stdout.write(HELP);
} else if (values.scale) {
  const text = scaleTables();
  process.stdout.write(text);
  if (values.document) {
    document('scale.md', 'scale', text);
  }
} else {
  const results = await run();
  progress('');
  process.stdout.write(values.json ? `${JSON.stringify(results, null, 2)}\n` : tables(results));
  if (values.plot !== undefined) {
    writeFileSync(values.plot, plot(results));
  }
  if (values.document) {
    document('performance.md', 'measured', tables(results));
    writeFileSync(join(root, 'docs', 'images', 'performance.svg'), plot(results));
  }
  process.exitCode = judge(results).every(({ holds }) => holds) ? 0 : 1;
}
