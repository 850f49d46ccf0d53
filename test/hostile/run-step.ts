import { join } from 'node:path';
import { type JobOptions, type JobResult, runJob, type StepResult } from '../agent/job.ts';
import { type Cloud, type CloudOptions, type Fault, startCloud } from '../cloud/cloud.ts';
import { testMachine } from '../on-windows.ts';
import { rehearsalOptions } from '../rehearsal.ts';
import { type KnownSecret, leaksOf, secretsOf } from './leaks.ts';

/** How many times faster the clock of a step runs that has to wait for the end of its budget. */
export const FAST = 5;

export interface StepOptions {
  faults?: Fault[];
  /** Inputs beside the connection and the scope; a name with `undefined` takes one of these two away. */
  inputs?: Record<string, string | undefined>;
  /** YAML of steps that come after. */
  later?: string;
  job?: Partial<JobOptions>;
  /** Host names to addresses, for the step's own name service. */
  names?: Record<string, string[]>;
  /** Let the step's clock run {@link FAST} times as fast. */
  fastClock?: boolean;
  /** What the step must not show, beside the tokens. */
  secrets?: KnownSecret[];
}

/** How one step ended, and what the services saw of it. */
export interface Ended {
  job: JobResult;
  main: StepResult;
  result: StepResult['result'];
  /** The code of the red line, if there is one. */
  code: string | undefined;
  /** The red line. */
  line: string;
  /** One for each announcement of another try. */
  retries: string[];
  requests: { devops: number; entra: number };
  /** Where it shows what it must not. */
  leaks: string[];
}

/** Lets in so many at a time. */
class Gate {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(places: number) {
    this.#free = places;
  }

  /** Waits for a place; what it gives leaves it to the next, and does so once. */
  async enter(): Promise<() => void> {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    let isIn = true;
    return () => {
      if (!isIn) return;
      isIn = false;
      const next = this.#waiting.shift();
      if (next === undefined) this.#free += 1;
      else next();
    };
  }
}

/**
 * A step that starts keeps a processor busy, and its tries have ten seconds each: were twenty to start at once, those of
 * the others would run out. One that has said something waits for a service, or is soon over.
 */
const starts = new Gate(2);

/** Runs one EntraToken step of the packaged extension, with System.Debug on. The cloud serves no other step meanwhile. */
export async function runStep(cloud: Cloud, options: StepOptions = {}): Promise<Ended> {
  cloud.requests = [];
  cloud.faults = options.faults ?? [];
  const inputs = { azureSubscription: 'prod', scopes: 'keyVault', ...options.inputs };
  const input = (value: string) => JSON.stringify(value);
  const yaml = [
    'steps:',
    '  - task: EntraToken@1',
    '    name: entra',
    '    inputs:',
    ...Object.entries(inputs).flatMap(([name, value]) =>
      value === undefined ? [] : [`      ${name}: ${input(value)}`],
    ),
    options.later ?? '',
  ].join('\n');
  const base = rehearsalOptions(cloud);
  const begun = await starts.enter();
  let isRunning = false;
  const job = await runJob({
    ...base,
    pipeline: yaml,
    systemDebug: true,
    ...options.job,
    onProcess: (info) => {
      options.job?.onProcess?.(info);
      isRunning = true;
    },
    onLine: (line) => {
      options.job?.onLine?.(line);
      if (isRunning) begun();
    },
    variables: { ...base.variables, ...options.job?.variables },
    environment: { ...base.environment, ...surroundings(options), ...options.job?.environment },
  }).finally(begun);
  const main = job.steps.find(({ name, stage }) => name === 'entra' && stage === 'main');
  if (main === undefined) throw new Error('the job ran no step of the task');
  const line = main.issues.find(({ type }) => type === 'error')?.message ?? '';
  return {
    job,
    main,
    result: main.result,
    code: /^(ET_[A-Z_]+): /.exec(line)?.[1],
    line,
    retries: main.lines.filter((text) => /trying again in \d/.test(text)),
    requests: {
      devops: cloud.requests.filter(({ service }) => service === 'devops').length,
      entra: cloud.requests.filter(({ service }) => service === 'entra').length,
    },
    leaks: leaksOf(job, [...secretsOf(cloud, job), ...(options.secrets ?? [])]),
  };
}

/** What a step's process is told of a name service, a clock and a priority of the test's choice. */
export function surroundings(options: {
  names?: Record<string, string[]>;
  fastClock?: boolean;
  priority?: number;
}): Record<string, string> {
  const { names, fastClock, priority } = options;
  const told = {
    ...(names === undefined ? {} : { TEST_NAMES: JSON.stringify(names) }),
    ...(fastClock ? { TEST_CLOCK: String(FAST) } : {}),
    ...(priority === undefined ? {} : { TEST_PRIORITY: String(priority) }),
  };
  if (Object.keys(told).length === 0) return {};
  const file = join(import.meta.dirname, 'surroundings.cjs');
  // A backslash would escape what follows it.
  const there = testMachine()?.pathThere(file).replaceAll('\\', '/') ?? file;
  return { NODE_OPTIONS: `--require ${there}`, ...told };
}

/** Clouds for tests that run side by side: each has one to itself for as long as it takes. */
export class Clouds {
  readonly #options: CloudOptions;
  readonly #free: Cloud[] = [];
  readonly #all: Cloud[] = [];

  constructor(options: CloudOptions = {}) {
    this.#options = options;
  }

  /** Lends a cloud without faults, and takes it back when the work is done. */
  async lend<T>(work: (cloud: Cloud) => Promise<T>): Promise<T> {
    let cloud = this.#free.pop();
    if (cloud === undefined) {
      cloud = await startCloud(this.#options);
      this.#all.push(cloud);
    }
    try {
      return await work(cloud);
    } finally {
      cloud.faults = [];
      this.#free.push(cloud);
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#all.map((cloud) => cloud.close()));
  }
}

/** The text of a step that ended well or badly, once: what every step owes, whatever it met. */
export function faultsOf({ main, result, line, code, leaks }: Ended): string[] {
  const completions = main.rawOutput.stdout.match(/^##vso\[task\.complete /gm)?.length ?? 0;
  const errors = main.issues.filter(({ type }) => type === 'error').length;
  return [
    ...(completions === 1 ? [] : [`${completions} results were reported`]),
    ...(main.exitCode === 0 ? [] : [`the exit code is ${main.exitCode}`]),
    ...(result === 'Succeeded' && errors > 0 ? [`it succeeded with ${errors} errors`] : []),
    ...(result === 'Failed' && errors !== 1 ? [`it failed with ${errors} errors`] : []),
    ...(result === 'Failed' && code === undefined ? [`its red line has no code: ${line}`] : []),
    ...(code === 'ET_UNEXPECTED' ? [`it did not know what happened: ${line}`] : []),
    ...leaks,
  ];
}
