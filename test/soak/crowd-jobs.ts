import { type JobOptions, runJob } from '../agent/job.ts';

/** What the process of some of a crowd's agents is told, and what it tells of each job. */
export interface CrowdOrders {
  options: JobOptions;
  jobs: number;
}
export interface CrowdEnd {
  result: string | undefined;
  /** The red line. */
  line: string | undefined;
}

/** Agents in a process of their own, so that their work does not hold up the services. */
process.once('message', async ({ options, jobs }: CrowdOrders) => {
  const ends = await Promise.all(
    Array.from({ length: jobs }, async (): Promise<CrowdEnd> => {
      const { steps } = await runJob(options);
      const main = steps.find(({ stage }) => stage === 'main');
      return { result: main?.result, line: main?.issues.find(({ type }) => type === 'error')?.message };
    }),
  );
  process.send?.(ends, () => process.exit(0));
});
