import { randomUUID } from 'node:crypto';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { isBefore, nodesOf, writeAgentFiles } from './agent-home.ts';
import { evaluateCondition } from './condition.ts';
import { inheritedEnvironment } from './environment.ts';
import { loadExtension, type TaskDefinition, taskCache } from './extension.ts';
import { expand, jobInputs, visibleConnections } from './inputs.ts';
import { CURRENT_AGENT, type JobOptions } from './job-options.ts';
import { emptyResult, type JobResult, type StepResult, together } from './job-result.ts';
import {
  dependencyValue,
  jobEndpoints,
  setAgentVariables,
  setProxyAndCertificates,
  setServerVariables,
} from './job-variables.ts';
import { type Attachment, type Stage, StepRecord } from './log.ts';
import type { Worker } from './machine.ts';
import { createMasker, type Masker } from './masker.ts';
import { killOrphans, listProcesses, type ProcessName, untilEnded } from './orphans.ts';
import { type JobDefinition, type PipelineDefinition, parsePipeline } from './pipeline.ts';
import { planSteps } from './plan-steps.ts';
import { mergeResults, type TaskResult } from './result.ts';
import { runStage, type StageJob, type StepStage } from './stage.ts';
import type { StepHost, StepInstance, UnexpandedMacro } from './step.ts';
import { Variables } from './variables.ts';
import { createWorkspace, emptyFolder, filesBelow, type Workspace } from './workspace.ts';

export type { JobOptions, ProcessInfo, ServiceConnection } from './job-options.ts';
export type { JobResult, StepResult } from './job-result.ts';
export type { Attachment, Issue, LogLine, Stage } from './log.ts';
export type { PipelineDefinition } from './pipeline.ts';
export type { TaskResult } from './result.ts';

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

class Job implements StageJob {
  readonly name: string;
  readonly options: JobOptions;
  readonly #definition: JobDefinition;
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
    this.options = options;
    this.#earlier = earlier;
    this.#steps = planSteps(definition.steps, tasks, this.#masker);
  }

  async run(): Promise<JobResult> {
    if (!this.#isWanted()) return { ...emptyResult(), result: 'Skipped' };
    const workspace = createWorkspace(this.options.workFolder);
    const lookupId = `vsts_${randomUUID()}`;
    const worker = await this.options.machine?.openWorker(lookupId);
    try {
      const processesBefore = listProcesses();
      const host = this.#prepare(workspace, lookupId, worker);
      const steps = await this.#runStages(host);
      if (worker !== undefined) await untilEnded(lookupId);
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
    const options = this.options;
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
    const nodeFor = nodesOf(workspace.home, options);
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
    const having = (stage: StepStage): StepInstance[] =>
      this.#steps.filter(({ task }) => (task === undefined ? stage === 'main' : task.stages[stage] !== undefined));
    const stages = [
      ...having('pre').map((step) => ({ step, stage: 'pre' as const })),
      ...having('main').map((step) => ({ step, stage: 'main' as const })),
      ...having('post')
        .toReversed()
        .map((step) => ({ step, stage: 'post' as const })),
    ];
    const results: StepResult[] = [];
    for (const { step, stage } of stages) results.push(await runStage(this, step, stage, host));
    return results;
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

  get result(): TaskResult | undefined {
    return this.#result;
  }

  set result(result: TaskResult) {
    this.#result = result;
    this.#variables.set('agent.jobstatus', result);
  }

  #agentRecord(name: string): StepRecord {
    return this.record(name, name, 'job');
  }

  record(name: string, displayName: string, stage: Stage): StepRecord {
    return new StepRecord(
      { name, displayName, stage },
      {
        masker: this.#masker,
        debug: this.#debug,
        onLine: (line) => {
          this.#log.push(line.text);
          this.options.onLine?.(line);
        },
      },
    );
  }
}

function usesTasks({ jobs }: PipelineDefinition): boolean {
  return jobs.some(({ steps }) => steps.some(({ kind }) => kind === 'task'));
}

function readAttachment(attachment: Attachment): void {
  try {
    attachment.content = readFileSync(attachment.path, 'utf8');
  } catch {
    // As in the agent, a file that is gone is not uploaded, and nobody is told.
  }
}
