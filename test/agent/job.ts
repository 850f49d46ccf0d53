import { randomUUID } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { isBefore, placeNodes, writeAgentFiles } from './agent-home.ts';
import { evaluateCondition, evaluateExpression, isTrue, traceOf } from './condition.ts';
import type { Environment } from './environment.ts';
import { findTask, loadExtension, type TaskDefinition } from './extension.ts';
import { expand, jobInputs, visibleConnections } from './inputs.ts';
import {
  dependencyValue,
  jobEndpoints,
  setAgentVariables,
  setProxyAndCertificates,
  setServerVariables,
} from './job-variables.ts';
import { type Attachment, type Issue, type LogLine, type Stage, StepRecord } from './log.ts';
import type { Machine, Worker } from './machine.ts';
import { createMasker, type Masker } from './masker.ts';
import { killOrphans, listProcesses, type ProcessName } from './orphans.ts';
import { type JobDefinition, type PipelineDefinition, parsePipeline, type StepDefinition } from './pipeline.ts';
import { mergeResults, type TaskResult } from './result.ts';
import { type Run, runScript, runTask, type StepHost, type StepInstance, type UnexpandedMacro } from './step.ts';
import { Variables } from './variables.ts';
import { createWorkspace, emptyFolder, filesBelow, type Workspace } from './workspace.ts';

export type { Attachment, Issue, LogLine, Stage } from './log.ts';
export type { PipelineDefinition } from './pipeline.ts';
export type { TaskResult } from './result.ts';

/** A service connection, as the server would put it into the job. */
export interface ServiceConnection {
  /** Lower case, with dashes. */
  id: string;
  /** The name by which the pipeline knows it. */
  name: string;
  /** `AzureRM`, `WorkloadIdentityUser`, … */
  type: string;
  url: string;
  /** `WorkloadIdentityFederation`, `ServicePrincipal`, … */
  scheme: string;
  /** Authorization parameters. The agent masks all of them but a few that are known to be harmless. */
  parameters: Record<string, string>;
  data?: Record<string, string>;
}

export interface JobOptions {
  /** YAML text, or what {@link parsePipeline} made of one. */
  pipeline: string | PipelineDefinition;
  /** The packaged extension. */
  vsix: string;
  /** The address of the job's own connection, and `System.CollectionUri`. */
  collectionUri: string;
  /** The job's access token, in its own connection and in `System.AccessToken`; absent, the job has neither. */
  jobToken?: string;
  /** Those of the project. As from the server, a job gets the ones that the inputs of its steps name. */
  connections?: ServiceConnection[];
  /** Public variables that the server sends: system, build, and the user's. */
  variables?: Record<string, string>;
  secretVariables?: Record<string, string>;
  /** Added to the agent's own environment, which every process inherits. */
  environment?: Record<string, string>;
  /** Added to the environment of scripts alone, for the tools that they run. Tasks see nothing of it. */
  scriptEnvironment?: Record<string, string>;
  /** Where tasks run, if that is not this machine. */
  machine?: Machine;
  /** Node's binaries; by default the one that runs this, or those of the machine. */
  node?: { node24?: string; node20?: string };
  /**
   * What an agent on Alpine starts instead of both, as long as no variable tells it to use another (agent:
   * NodeHandler.cs). Of the others, it has those that are given.
   */
  node10?: string;
  /** Whether the handler Node24 runs on Node 24; if not, its file runs on Node 20. Default true. */
  useNode24?: boolean;
  /** Takes this handler instead of the preferred one. */
  handler?: 'Node24' | 'Node20_1';
  systemDebug?: boolean;
  /** True for an agent of Microsoft's, which runs one job on a fresh machine. Default false. */
  isHosted?: boolean;
  proxy?: { url: string; username?: string; password?: string; bypass?: string[] };
  certificates?: {
    ca?: string;
    clientCert?: string;
    clientCertKey?: string;
    clientCertArchive?: string;
    clientCertPassword?: string;
    skipValidation?: boolean;
  };
  /**
   * The agent's version; by default {@link CURRENT_AGENT}. Before 5.278.0 it does not mask the ID token of a connection,
   * before 5.277.0 variables win over inputs and connections in the environment of a task, and before 4.274.1
   * `task.setendpoint` changes the job's own connection.
   */
  agentVersion?: string;
  /** False hides the agent's own files from the step, as a job container does. Default true. */
  hasAgentFiles?: boolean;
  /** Whether overwriting a read-only variable fails the step; else it is a warning. Default true. */
  enforceReadOnly?: boolean;
  /** Kept afterwards; by default a fresh one is made and removed. */
  workFolder?: string;
  /** Each line as it is written, masked. */
  onLine?: (line: LogLine) => void;
  /** Cancels the job. */
  cancel?: AbortSignal;
  /** Milliseconds from SIGINT to SIGTERM, and from there to SIGKILL. Default 7500 and 2500. */
  signalTimeouts?: { interruptMs: number; terminateMs: number };
  /**
   * Milliseconds, each with the agent's own value as the default: for streams that are still held after the end of a
   * process (5000), for a process after `task.complete` with `done` (5000), and the unit of the pauses between retries
   * (1000).
   */
  waits?: { streamMs?: number; forceCompleteMs?: number; retryMs?: number };
  /** Is told of each process of a step as soon as it is there. */
  onProcess?: (info: ProcessInfo) => void;
}

/** A process that the agent has started for a stage of a step. */
export interface ProcessInfo {
  pid: number;
  step: string;
  stage: 'pre' | 'main' | 'post';
  /** What it was started with; the system shows that of a process only a moment after its start. */
  environment: Readonly<Record<string, string>>;
  /** Ends that process alone and at once, as somebody else than the agent may. */
  terminate(): void;
}

/** How one stage of one step ended. */
export interface StepResult {
  /** The name of the job. */
  job: string;
  /** The reference name, given or generated. */
  name: string;
  displayName: string;
  stage: 'pre' | 'main' | 'post';
  result: TaskResult;
  /** The first ten errors and the first ten warnings. */
  issues: Issue[];
  /** The masked log. */
  lines: string[];
  /** What the process printed, before masking, with its commands. */
  rawOutput: { stdout: string; stderr: string };
  /** Null where no process ran to its end. */
  exitCode: number | null;
  durationMs: number;
  /** The text of `task.complete` or `task.setprogress`. */
  currentOperation?: string;
  progress: number;
  /** The output variables that this stage has set, not masked. */
  outputs: Record<string, string>;
  attachments: Attachment[];
}

export interface JobResult {
  result: TaskResult;
  steps: StepResult[];
  /** The whole masked log. */
  log: string[];
  /** By the names under which they were set last, after the last expansion. */
  variables: Record<string, { value: string; secret: boolean; readOnly: boolean }>;
  /** By `step.name`. */
  outputs: Record<string, { value: string; secret: boolean }>;
  /** The processes that were still there at the end of the job, and were killed. */
  orphans: ProcessName[];
  /** Files that were still in the agent's temporary folder at the end of the job, relative to it. */
  leftover: string[];
  /** Macros that scripts were started with, because the job had no variable of that name. */
  unexpanded: UnexpandedMacro[];
  /** Where the pipeline has several jobs: each on its own, by name. What is above is then all of them together. */
  jobs: Record<string, JobResult>;
}

/**
 * Runs a pipeline as an agent would, with no server. Rejects where the pipeline or the package cannot be understood;
 * everything that goes wrong in a step is in the result.
 */
export async function runJob(options: JobOptions): Promise<JobResult> {
  const pipeline = typeof options.pipeline === 'string' ? parsePipeline(options.pipeline) : options.pipeline;
  const tasks = usesTasks(pipeline) ? loadExtension(options.vsix, taskCache(options.workFolder)) : [];
  const results = new Map<string, JobResult>();
  const jobs = pipeline.jobs.map((definition) => new Job(definition, options, tasks, results));
  for (const job of jobs) results.set(job.name, await job.run());
  const [only] = results.values();
  return results.size === 1 && only !== undefined ? only : together(results);
}

/** The newest agent, by whose rules jobs run unless they say otherwise. */
export const CURRENT_AGENT = '5.278.0';

class Job {
  readonly name: string;
  readonly #definition: JobDefinition;
  readonly #options: JobOptions;
  readonly #earlier: ReadonlyMap<string, JobResult>;
  readonly #masker: Masker = createMasker();
  readonly #variables = new Variables(this.#masker);
  readonly #log: string[] = [];
  readonly #steps: StepInstance[];
  readonly #unexpanded: UnexpandedMacro[] = [];
  #debug = false;
  #result: TaskResult | undefined;

  constructor(
    definition: JobDefinition,
    options: JobOptions,
    tasks: readonly TaskDefinition[],
    earlier: ReadonlyMap<string, JobResult>,
  ) {
    this.name = definition.name;
    this.#definition = definition;
    this.#options = options;
    this.#earlier = earlier;
    this.#steps = planSteps(definition.steps, tasks, this.#masker);
  }

  async run(): Promise<JobResult> {
    if (!this.#isWanted()) return { ...emptyResult(), result: 'Skipped' };
    const workspace = createWorkspace(this.#options.workFolder);
    const lookupId = `vsts_${randomUUID()}`;
    const worker = await this.#options.machine?.openWorker(lookupId);
    try {
      const processesBefore = listProcesses();
      const host = this.#prepare(workspace, lookupId, worker);
      const steps = await this.#runStages(host);
      const orphans = this.#finalize(workspace, lookupId, processesBefore);
      for (const { attachments } of steps) for (const attachment of attachments) readAttachment(attachment);
      const leftover = filesBelow(workspace.temp);
      emptyFolder(workspace.temp);
      return {
        result: this.#result ?? 'Succeeded',
        steps,
        log: this.#log,
        variables: Object.fromEntries(
          this.#variables.all().map(({ name, value, secret, readOnly }) => [name, { value, secret, readOnly }]),
        ),
        outputs: host.outputs,
        orphans,
        leftover,
        unexpanded: this.#unexpanded,
        jobs: {},
      };
    } finally {
      await worker?.close();
      workspace.remove();
    }
  }

  /** Whether the jobs before it let this one run. */
  #isWanted(): boolean {
    const { dependsOn, condition, variables } = this.#definition;
    const results = dependsOn.map((name) => this.#earlier.get(name)?.result);
    const status = results
      .map((result) => (result === undefined || result === 'Skipped' ? 'Failed' : result))
      .reduce<TaskResult>(mergeResults, 'Succeeded');
    return evaluateCondition(condition ?? 'succeeded()', {
      status,
      variable: (wanted) => variables.find(({ name }) => name.toLowerCase() === wanted.toLowerCase())?.value,
      dependency: (path) => dependencyValue(this.#earlier, path)?.value,
    });
  }

  #prepare(workspace: Workspace, lookupId: string, remoteWorker: Worker | undefined): StepHost {
    const options = this.#options;
    const { machine, hasAgentFiles = true, agentVersion = CURRENT_AGENT } = options;
    const there = machine?.pathThere ?? ((path: string) => path);
    const worker = { ...(machine?.environment ?? inheritedEnvironment()), ...options.environment };
    setServerVariables(this.#variables, this.#masker, options, this.#definition, this.#earlier);
    const { remove: _, ...folders } = workspace;
    const seen = Object.fromEntries(Object.entries(folders).map(([name, path]) => [name, there(path)]));
    setAgentVariables(
      this.#variables,
      { ...workspace, ...seen },
      {
        jobName: this.#definition.displayName,
        lookupId,
        isHosted: options.isHosted ?? false,
        os: machine?.os,
        agentVersion,
      },
    );
    setProxyAndCertificates(this.#variables, options);
    for (const warning of this.#variables.recalculate()) this.#agentRecord('Initialize job').warning(warning);
    this.#debug = this.#variables.get('system.debug')?.toLowerCase() === 'true';
    const named = new Set<string>();
    for (const step of this.#steps) {
      const { definition, task } = step;
      if (definition.kind !== 'task' || task === undefined) continue;
      step.inputs = jobInputs(task, definition.inputs, options.connections ?? [], this.#variables);
      for (const id of visibleConnections(task, new Map(Object.entries(step.inputs)))) named.add(id);
    }
    const connections = (options.connections ?? []).filter(({ id }) => named.has(id.toLowerCase()));
    const endpoints = jobEndpoints({ ...options, connections }, this.#masker);
    for (const { data } of endpoints) {
      for (const [key, value] of Object.entries(data))
        data[key] = expand(value, { variables: this.#variables, worker });
    }
    const nodeFor = this.#placeNodes(workspace);
    if (hasAgentFiles) writeAgentFiles(workspace.home, options);
    return {
      masker: this.#masker,
      variables: this.#variables,
      endpoints,
      prependedPath: [],
      outputs: {},
      worker,
      scriptEnvironment: { ...inheritedEnvironment(), ...options.environment, ...options.scriptEnvironment },
      remote: machine && remoteWorker && { machine, worker: remoteWorker },
      workspace,
      variablesWin: isBefore(agentVersion, '5.277.0'),
      systemEndpointIsOpen: isBefore(agentVersion, '4.274.1'),
      nodeFor,
      forcedHandler: options.handler,
      waits: {
        interruptMs: 7500,
        terminateMs: 2500,
        ...options.signalTimeouts,
        streamMs: options.waits?.streamMs ?? 5000,
        forceCompleteMs: options.waits?.forceCompleteMs ?? 5000,
        retryMs: options.waits?.retryMs ?? 1000,
      },
      onProcess: () => {},
      onUnexpanded: (macro) => this.#unexpanded.push(macro),
    };
  }

  /** All pre-job stages, all main ones, then the post-job ones from the last step to the first. */
  async #runStages(host: StepHost): Promise<StepResult[]> {
    const having = (stage: 'pre' | 'main' | 'post'): StepInstance[] =>
      this.#steps.filter(({ task }) => (task === undefined ? stage === 'main' : task.stages[stage] !== undefined));
    const stages = [
      ...having('pre').map((step) => ({ step, stage: 'pre' as const })),
      ...having('main').map((step) => ({ step, stage: 'main' as const })),
      ...having('post')
        .toReversed()
        .map((step) => ({ step, stage: 'post' as const })),
    ];
    const results: StepResult[] = [];
    for (const { step, stage } of stages) results.push(await this.#runStage(step, stage, host));
    return results;
  }

  async #runStage(step: StepInstance, stage: 'pre' | 'main' | 'post', host: StepHost): Promise<StepResult> {
    const started = performance.now();
    const prefix = { pre: 'Pre-job: ', main: '', post: 'Post-job: ' }[stage];
    const record = this.#record(step.name, `${prefix}${step.displayName}`, stage);
    const run: Run = { exitCode: null, rawOutput: { stdout: '', stderr: '' } };
    for (const warning of this.#variables.recalculate()) record.warning(warning);

    const condition = stage === 'post' ? 'always()' : (step.definition.condition ?? 'succeeded()');
    const evaluate = () =>
      evaluateExpression(condition, {
        status: this.#result ?? 'Succeeded',
        variable: (name) => this.#variables.get(name),
      });
    const stop = new AbortController();
    const onCancel = (): void => {
      this.#setResult('Canceled');
      if (isTrue(evaluate().value)) return;
      record.error('The Operation will be canceled. The next steps may not contain expected logs.');
      stop.abort();
    };
    const { cancel } = this.#options;
    if (cancel?.aborted === true) this.#setResult('Canceled');
    else cancel?.addEventListener('abort', onCancel);

    try {
      const evaluation = evaluate();
      if (isTrue(evaluation.value)) {
        await this.#runBody(step, stage, host, record, run, stop);
      } else {
        record.print(['Skipping step due to condition evaluation.', ...traceOf(condition, evaluation)].join('\n'));
        record.result = 'Skipped';
      }
    } catch (error) {
      record.error(messageOf(error));
      record.result = 'Failed';
    } finally {
      cancel?.removeEventListener('abort', onCancel);
    }

    const result = record.result ?? 'Succeeded';
    if (result === 'SucceededWithIssues' || result === 'Failed') this.#setResult(mergeResults(this.#result, result));
    return {
      job: this.#definition.name,
      name: step.name,
      displayName: record.displayName,
      stage,
      result,
      issues: record.issues,
      lines: record.lines,
      rawOutput: run.rawOutput,
      exitCode: run.exitCode,
      durationMs: performance.now() - started,
      ...(record.currentOperation === undefined ? {} : { currentOperation: record.currentOperation }),
      progress: record.progress,
      outputs: record.outputs,
      attachments: record.attachments,
    };
  }

  async #runBody(
    step: StepInstance,
    stage: 'pre' | 'main' | 'post',
    jobHost: StepHost,
    record: StepRecord,
    run: Run,
    stop: AbortController,
  ): Promise<void> {
    const { definition, task } = step;
    // The record is named after its stage; the heading in its log is not.
    record.section(`Starting: ${step.displayName}`);
    const timer = definition.timeoutMs === undefined ? undefined : setTimeout(() => stop.abort(), definition.timeoutMs);
    const host: StepHost = {
      ...jobHost,
      onProcess: (pid, environment, terminate) =>
        this.#options.onProcess?.({ pid, step: step.name, stage, environment, terminate }),
    };
    const taskNames = {
      'task.displayname': step.displayName,
      'task.publishTelemetry': 'False',
      'task.skipTranslatorForCheckout': 'False',
      'system.taskInstanceId': step.id,
      'system.taskDisplayName': step.displayName,
      'system.taskInstanceName': step.name,
    };
    try {
      await this.#variables.scoped(taskNames, async () => {
        if (definition.kind !== 'task') await runScript({ ...step, definition }, host, record, run, stop.signal);
        else if (task !== undefined)
          await runTask({ ...step, task, definition }, stage, host, record, run, stop.signal);
      });
      if (stop.signal.aborted) throw new Error('The operation was canceled.');
    } catch (error) {
      if (stop.signal.aborted && this.#options.cancel?.aborted !== true) {
        record.error('The task has timed out.');
        record.result = 'Failed';
      } else {
        record.error(stop.signal.aborted ? 'The operation was canceled.' : messageOf(error));
        record.result = stop.signal.aborted ? 'Canceled' : 'Failed';
      }
    } finally {
      clearTimeout(timer);
    }
    if (record.commandResult !== undefined) record.result = mergeResults(record.result, record.commandResult);
    if (record.result === 'Failed' && definition.continueOnError) record.result = 'SucceededWithIssues';
    record.section(`Finishing: ${step.displayName}`);
  }

  /** Puts Node's binaries where the agent has them, and says which it starts for a handler. */
  #placeNodes({ home }: Workspace): StepHost['nodeFor'] {
    const { node, node10, machine, hasAgentFiles = true, useNode24 = true } = this.#options;
    if (node10 !== undefined) {
      const place = placeNodes(home, { node10, node20_1: node?.node20, node24: node?.node24 });
      return () => place('node10');
    }
    const node20 = node?.node20 ?? machine?.node.node20 ?? process.execPath;
    const node24 = node?.node24 ?? machine?.node.node24 ?? process.execPath;
    if (machine !== undefined || !hasAgentFiles) {
      return (handler) => (handler === 'Node24' && useNode24 ? node24 : node20);
    }
    const place = placeNodes(home, { node20_1: node20, node24 });
    return (handler) => place(handler === 'Node24' && useNode24 ? 'node24' : 'node20_1');
  }

  /** Ends what the steps left running (agent: JobExtension.cs). */
  #finalize(workspace: Workspace, lookupId: string, before: readonly ProcessName[]): ProcessName[] {
    const record = this.#agentRecord('Finalize Job');
    record.section('Starting: Finalize Job');
    record.print('Cleaning up task key');
    rmSync(join(workspace.work, '.taskkey'), { force: true });
    let orphans: ProcessName[] = [];
    if (this.#variables.get('process.clean')?.toLowerCase() !== 'false') {
      record.print('Start cleaning up orphan processes.');
      orphans = killOrphans(lookupId, before, ({ pid, name }) => {
        record.print(`Terminate orphan process: pid (${pid}) (${name})`);
      });
    }
    record.section('Finishing: Finalize Job');
    return orphans;
  }

  #setResult(result: TaskResult): void {
    this.#result = result;
    this.#variables.set('agent.jobstatus', result);
  }

  #agentRecord(name: string): StepRecord {
    return this.#record(name, name, 'job');
  }

  #record(name: string, displayName: string, stage: Stage): StepRecord {
    return new StepRecord(
      { name, displayName, stage },
      {
        masker: this.#masker,
        debug: this.#debug,
        onLine: (line) => {
          this.#log.push(line.text);
          this.#options.onLine?.(line);
        },
      },
    );
  }
}

/** What a bare agent would have in its environment, and nothing else of the process that runs this. */
function inheritedEnvironment(): Environment {
  const names =
    process.platform === 'win32'
      ? [
          'Path',
          'SystemRoot',
          'SystemDrive',
          'ComSpec',
          'PATHEXT',
          'TEMP',
          'TMP',
          'USERPROFILE',
          'APPDATA',
          'LOCALAPPDATA',
        ]
      : ['PATH', 'HOME', 'USER', 'LOGNAME', 'SHELL', 'LANG', 'LC_ALL', 'TZ', 'TMPDIR'];
  return Object.fromEntries(
    names.flatMap((name): [string, string][] => {
      const value = process.env[name];
      return value === undefined ? [] : [[name, value]];
    }),
  );
}

function usesTasks({ jobs }: PipelineDefinition): boolean {
  return jobs.some(({ steps }) => steps.some(({ kind }) => kind === 'task'));
}

/** Tasks outlive the job, as in an agent: in the given work folder, or in one of this user's. */
export function taskCache(workFolder: string | undefined): string {
  const cache =
    workFolder === undefined ? join(tmpdir(), `local-agent-tasks-${userInfo().username}`) : join(workFolder, '_tasks');
  mkdirSync(cache, { recursive: true, mode: 0o700 });
  return cache;
}

/** The names of the tasks behind script steps, which unnamed ones are called by. */
const scriptTaskNames: Record<StepDefinition['kind'], string> = {
  task: 'Task',
  bash: 'Bash',
  script: 'CmdLine',
  pwsh: 'PowerShell',
  powershell: 'PowerShell',
};

/** Gives each step that is enabled its task and its names; unnamed steps are named as the server does. */
function planSteps(steps: readonly StepDefinition[], tasks: readonly TaskDefinition[], masker: Masker): StepInstance[] {
  const taken = new Set(steps.flatMap(({ name }) => (name === undefined ? [] : [name.toLowerCase()])));
  return steps
    .filter(({ enabled }) => enabled)
    .map((definition) => {
      const task = definition.kind === 'task' ? findTask(tasks, definition.task) : undefined;
      const kind = task?.name ?? scriptTaskNames[definition.kind];
      let name = definition.name ?? kind;
      for (let counter = 1; definition.name === undefined && taken.has(name.toLowerCase()); counter++) {
        name = `${kind}${counter}`;
      }
      taken.add(name.toLowerCase());
      return {
        id: randomUUID(),
        name,
        displayName: definition.displayName ?? kind,
        definition,
        task,
        inputs: {},
        taskVariables: new Variables(masker),
        restrictions: [...(task === undefined ? [] : [task.restrictions]), definition.restrictions],
      };
    });
}

function readAttachment(attachment: Attachment): void {
  try {
    attachment.content = readFileSync(attachment.path, 'utf8');
  } catch {
    // As in the agent, a file that is gone is not uploaded, and nobody is told.
  }
}

function emptyResult(): JobResult {
  return {
    result: 'Succeeded',
    steps: [],
    log: [],
    variables: {},
    outputs: {},
    orphans: [],
    leftover: [],
    unexpanded: [],
    jobs: {},
  };
}

function together(results: ReadonlyMap<string, JobResult>): JobResult {
  const all = [...results.values()];
  return {
    result: all
      .map(({ result }) => result)
      .filter((result) => result !== 'Skipped')
      .reduce<TaskResult>(mergeResults, 'Succeeded'),
    steps: all.flatMap(({ steps }) => steps),
    log: all.flatMap(({ log }) => log),
    variables: Object.assign({}, ...all.map(({ variables }) => variables)),
    outputs: Object.assign({}, ...all.map(({ outputs }) => outputs)),
    orphans: all.flatMap(({ orphans }) => orphans),
    leftover: all.flatMap(({ leftover }) => leftover),
    unexpanded: all.flatMap(({ unexpanded }) => unexpanded),
    jobs: Object.fromEntries(results),
  };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
