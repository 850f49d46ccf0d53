import { fork } from 'node:child_process';
import { constants } from 'node:os';
import { join } from 'node:path';
import type { JobOptions } from '../agent/job.ts';
import { startCloud } from '../cloud/cloud.ts';
import { surroundings } from '../hostile/run-step.ts';
import { rehearsalOptions } from '../rehearsal.ts';
import type { CrowdEnd, CrowdOrders } from './crowd-jobs.ts';
import type { Section } from './section.ts';

/** Each service takes so many requests in a second, and a burst at first. */
const PER_SECOND = 6;
const BURST = 10;
const RETRY_AFTER_SECONDS = 2;

/** One process can be the agent of so many jobs before its own work holds them up. */
const JOBS_OF_A_PROCESS = 25;

const pipeline = `steps:
  - task: EntraToken@1
    name: entra
    inputs: { azureSubscription: prod, scopes: keyVault }
`;

/** Many jobs that begin together, against services that take a few requests in a second. */
export const crowd: Section = {
  name: 'crowd',
  about: 'steps that begin at once against services that throttle: all succeed, within their budgets and the throttle',
  size: 200,
  async run(cases, report) {
    const cloud = await startCloud();
    cloud.throttle = { perSecond: PER_SECOND, burst: BURST, retryAfterSeconds: RETRY_AFTER_SECONDS };
    // All the steps of the test share the services' machine, and must not starve them.
    const environment = surroundings({ priority: constants.priority.PRIORITY_LOW });
    const options = { ...rehearsalOptions(cloud), pipeline, environment };
    const processes: Promise<CrowdEnd[]>[] = [];
    for (let left = cases; left > 0; left -= JOBS_OF_A_PROCESS) {
      processes.push(agents(options, Math.min(left, JOBS_OF_A_PROCESS)));
    }
    const ends = (await Promise.all(processes)).flat();
    await cloud.close();

    for (const [index, { result, line }] of ends.entries()) {
      report.judge(`step ${index + 1}`, result === 'Succeeded' ? [] : [line ?? 'no result']);
    }
    for (const service of ['devops', 'entra'] as const) {
      const asked = cloud.requests.filter((request) => request.service === service);
      const [first, last] = [asked[0]?.time ?? 0, asked.at(-1)?.time ?? 0];
      const granted = asked.filter(({ status }) => status === 200).length;
      const seconds = (last - first) / 1000;
      const refused = asked.length - granted;
      report.note(
        `${service}: ${asked.length} requests in ${seconds.toFixed(1)} s, ${granted} granted, ${refused} throttled`,
      );
      // On a machine that is busy with so many steps, some answers come too late for who asked.
      report.judge(`${service} granted a request to each step`, granted >= cases ? [] : [`it granted ${granted}`]);
      // Who waits as long as he is told asks no more often than this, however long the others take.
      const allowed = cases * (1 + seconds / RETRY_AFTER_SECONDS);
      report.judge(`${service} is not flooded`, asked.length <= allowed ? [] : [`it was asked ${asked.length} times`]);
    }
  },
};

function agents(options: JobOptions, jobs: number): Promise<CrowdEnd[]> {
  return new Promise((resolve, reject) => {
    const child = fork(join(import.meta.dirname, 'crowd-jobs.ts'), { execArgv: ['--import', 'tsx'] });
    child.once('message', (ends: CrowdEnd[]) => resolve(ends));
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`the agents ended with ${code}`)));
    const orders: CrowdOrders = { options, jobs };
    child.send(orders);
  });
}
