import { randomUUID } from 'node:crypto';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { processCommand } from './commands.ts';
import { type Endpoint, type Environment, scriptEnvironment, taskEnvironment } from './environment.ts';
import { type HandlerData, selectHandler, type TaskDefinition } from './extension.ts';
import { expand, resolveInputs, visibleConnections } from './inputs.ts';
import type { StepRecord } from './log.ts';
import type { Machine, Program, Worker } from './machine.ts';
import type { Masker } from './masker.ts';
import type { ScriptStep, StepDefinition, TaskStep } from './pipeline.ts';
import { pause, runProcess, type StreamName, type Waits } from './process.ts';
import type { Restrictions } from './restrictions.ts';
import { expandMacros, type Variables } from './variables.ts';
import type { Workspace } from './workspace.ts';

/** A step of the job: one task or script, with what its stages share. */
export interface StepInstance {
  id: string;
  /** The reference name, under which later steps see its outputs. */
  name: string;
  displayName: string;
  definition: StepDefinition;
  task: TaskDefinition | undefined;
  /** The task's inputs as the job holds them. */
  inputs: Record<string, string>;
  taskVariables: Variables;
  restrictions: readonly Restrictions[];
}

/** What the job lends to the step that is running. */
export interface StepHost {
  masker: Masker;
  variables: Variables;
  endpoints: Endpoint[];
  prependedPath: string[];
  /** As agents before 5.277 and before 4.274.1 do; see JobOptions. */
  variablesWin: boolean;
  systemEndpointIsOpen: boolean;
  outputs: Record<string, { value: string; secret: boolean }>;
  worker: Environment;
  /** What scripts find in theirs: the agent's own, and the settings of their tools. */
  scriptEnvironment: Environment;
  /** Where tasks run, if that is not this machine; scripts run here. */
  remote: { machine: Machine; worker: Worker } | undefined;
  workspace: Workspace;
  /** The folder of Node's binary for a handler. */
  nodeFor(handler: string): string;
  forcedHandler: string | undefined;
  waits: Waits & { forceCompleteMs: number; retryMs: number };
  onProcess(pid: number, environment: Environment, terminate: () => void): void;
  /** Is told of a macro that no variable has expanded, where a shell is likely to have none of that name either. */
  onUnexpanded(macro: UnexpandedMacro): void;
}

/** A macro that a script step was started with as it stands in the pipeline. */
export interface UnexpandedMacro {
  /** The name in its brackets. */
  name: string;
  /** Its line in the pipeline, or that of its step. */
  line: number;
}

/** What is known of a process after it has ended. */
export interface Run {
  exitCode: number | null;
  rawOutput: Record<StreamName, string>;
}

/** Runs one stage of a task; rejects where the agent, not the task, says that it failed. */
export async function runTask(
  step: StepInstance & { task: TaskDefinition; definition: TaskStep },
  stage: 'pre' | 'main' | 'post',
  host: StepHost,
  record: StepRecord,
  run: Run,
  cancel: AbortSignal,
): Promise<void> {
  const { task, definition } = step;
  printBanner(record, task);
  const { name: handler, data } = selectHandler(task.stages[stage] ?? new Map(), host.forcedHandler);
  const inputs = resolveInputs(task, step.inputs, { ...host, sources: host.workspace.sources });
  const { target, workingDirectory } = handlerPaths(data, inputs, step, stage, host);
  if (!existsSync(target)) throw new Error(`File not found: '${target}'`);

  const visible = visibleConnections(task, inputs);
  const environment = taskEnvironment(stepEnvironment(definition, host), {
    inputs,
    endpoints: host.endpoints.filter(({ key, system }) => system || visible.has(key.toLowerCase())),
    taskVariables: step.taskVariables,
  });
  const there = host.remote?.machine.pathThere ?? ((path: string) => path);
  const program = {
    file: host.nodeFor(handler),
    args: [there(target)],
    cwd: there(workingDirectory),
    env: mapValues(environment, there),
  };
  await withRetries(definition.retryCount, host, record, cancel, async () => {
    const exitCode = await runProgram(program, step, host, record, run, cancel, host.remote?.worker);
    if (exitCode === null || exitCode === 0 || cancel.aborted) return;
    const invocation = `file name '${program.file}', arguments '"${program.args[0]}"'`;
    throw new Error(`Exit code ${exitCode} returned from process: ${invocation}.`);
  });
}

/** Runs a script step, as Bash@3, CmdLine@2 and PowerShell@2 do on Linux. */
export async function runScript(
  step: StepInstance & { definition: ScriptStep },
  host: StepHost,
  record: StepRecord,
  run: Run,
  cancel: AbortSignal,
): Promise<void> {
  const { definition } = step;
  const shell = shells[definition.kind];
  printBanner(record, shell.task);
  const script = expand(definition.script, host);
  reportUnexpanded(definition, script, host);
  const file = join(host.workspace.temp, `${randomUUID()}${shell.extension}`);
  writeFileSync(file, shell.contents(script), { mode: 0o600 });
  record.print('Generating script.');
  if (!script.trim().includes('\n') && !/##vso\[/i.test(script)) {
    record.print('Script contents:');
    record.print(script.trim());
  }
  record.print('========================== Starting Command Output ===========================');
  const args = shell.arguments(file);
  record.print(`[command]${shell.program} ${args.join(' ')}`);

  const folder = expand(definition.workingDirectory ?? '', host);
  const cwd = isAbsolute(folder) ? folder : join(host.workspace.sources, folder);
  const here = host.remote?.machine.pathHere ?? ((path: string) => path);
  const env = mapValues(
    scriptEnvironment({ ...stepEnvironment(definition, host), worker: host.scriptEnvironment, remote: undefined }),
    here,
  );
  const program = { file: shell.program, args, cwd, env };
  try {
    await withRetries(definition.retryCount, host, record, cancel, async () => {
      const stderrBefore = run.rawOutput.stderr.length;
      const exitCode = await runProgram(program, step, host, record, run, cancel);
      const faults = [
        ...(exitCode === null || exitCode === 0 ? [] : [`${shell.title} exited with code '${exitCode}'.`]),
        ...(definition.failOnStderr && run.rawOutput.stderr.length > stderrBefore
          ? [`${shell.title} wrote one or more lines to the standard error stream.`]
          : []),
      ];
      if (faults.length === 0 || cancel.aborted) return;
      for (const fault of faults) record.error(fault);
      record.result = 'Failed';
    });
  } finally {
    rmSync(file, { force: true });
  }
}

/** Macros of output variables in the script, and any in `env`; a script has `$(…)` of its own, which are commands. */
function reportUnexpanded(definition: ScriptStep, script: string, host: StepHost): void {
  const told = new Set<string>();
  const report = (name: string | undefined, line: number): void => {
    if (name === undefined || told.has(name.toLowerCase())) return;
    told.add(name.toLowerCase());
    host.onUnexpanded({ name, line });
  };
  for (const [name, value] of Object.entries(definition.env)) {
    const line = definition.lines[`env.${name}`] ?? definition.line;
    for (const [, macro] of expand(value, host).matchAll(/\$\(([A-Za-z_][\w.]*)\)/g)) report(macro, line);
  }
  for (const [, macro] of script.matchAll(/\$\(([A-Za-z_]\w*(?:\.\w+)+)\)/g)) report(macro, definition.line);
}

interface Shell {
  program: string;
  title: string;
  extension: string;
  contents(script: string): string;
  arguments(file: string): string[];
  task: Parameters<typeof printBanner>[1];
}

const bash: Omit<Shell, 'task'> = {
  program: 'bash',
  title: 'Bash',
  extension: '.sh',
  contents: (script) => script,
  arguments: (file) => ['--noprofile', '--norc', file],
};

/** PowerShell 7: on Linux and macOS, PowerShell@2 takes it for a `powershell` step as well. */
const powerShell: Shell = {
  program: 'pwsh',
  title: 'PowerShell',
  extension: '.ps1',
  // As the task writes it: errors end the script, and the last program's exit code is that of the step.
  contents: (script) =>
    [
      "$ErrorActionPreference = 'stop'",
      script,
      'if (!(Test-Path -LiteralPath variable:\\LASTEXITCODE)) { exit 0 } else { exit $LASTEXITCODE }',
      '',
    ].join('\n'),
  arguments: (file) => ['-NoLogo', '-NoProfile', '-NonInteractive', '-Command', `. '${file.replaceAll("'", "''")}'`],
  task: {
    friendlyName: 'PowerShell',
    description: 'Run a PowerShell script on Linux, macOS, or Windows',
    version: { text: '2.0.0' },
    author: 'Microsoft Corporation',
    help: 'https://docs.microsoft.com/azure/devops/pipelines/tasks/utility/powershell',
  },
};

const shells: Record<ScriptStep['kind'], Shell> = {
  bash: {
    ...bash,
    task: {
      friendlyName: 'Bash',
      description: 'Run a Bash script on macOS, Linux, or Windows',
      version: { text: '3.0.0' },
      author: 'Microsoft Corporation',
      help: 'https://docs.microsoft.com/azure/devops/pipelines/tasks/utility/bash',
    },
  },
  script: {
    ...bash,
    task: {
      friendlyName: 'Command line',
      description: 'Run a command line script using Bash on Linux and macOS and cmd.exe on Windows',
      version: { text: '2.0.0' },
      author: 'Microsoft Corporation',
      help: 'https://docs.microsoft.com/azure/devops/pipelines/tasks/utility/command-line',
    },
  },
  pwsh: powerShell,
  powershell: powerShell,
};

function printBanner(
  record: StepRecord,
  task: { friendlyName: string; description: string; version: { text: string }; author: string; help: string },
): void {
  const rule = '='.repeat(78);
  const lines = [
    rule,
    `Task         : ${task.friendlyName}`,
    `Description  : ${task.description}`,
    `Version      : ${task.version.text}`,
    `Author       : ${task.author}`,
    `Help         : ${task.help}`,
    rule,
  ];
  for (const line of lines) record.print(line, false);
}

function stepEnvironment(definition: StepDefinition, host: StepHost): Parameters<typeof scriptEnvironment>[0] {
  const env = Object.entries(definition.env).map(([name, value]) => [name.trim(), expand(value.trim(), host)]);
  return { ...host, env: Object.fromEntries(env) };
}

function mapValues(environment: Environment, map: (value: string) => string): Environment {
  return Object.fromEntries(Object.entries(environment).map(([name, value]) => [name, map(value)]));
}

function handlerPaths(
  data: HandlerData,
  inputs: ReadonlyMap<string, string>,
  { task }: { task: TaskDefinition },
  stage: 'pre' | 'main' | 'post',
  { variables, workspace }: StepHost,
): { target: string; workingDirectory: string } {
  const byName = new Map([...inputs].map(([name, value]) => [name.toLowerCase(), value]));
  const fill = (text: string): string => {
    // The task's own folder is filled in for the main stage alone.
    const placed = stage === 'main' ? text.replaceAll(/\$\(currentdirectory\)/gi, () => task.folder) : text;
    return variables.expand(expandMacros(placed, (name) => byName.get(name.toLowerCase())));
  };
  const workingDirectory =
    fill(data.workingDirectory) || variables.get('system.defaultWorkingDirectory') || workspace.work;
  const target = fill(data.target);
  return { target: isAbsolute(target) ? target : join(task.folder, target), workingDirectory };
}

/** Runs a program and carries out the commands that it prints; null where the step was done before the program was. */
async function runProgram(
  program: Program,
  step: StepInstance,
  host: StepHost,
  record: StepRecord,
  run: Run,
  cancel: AbortSignal,
  worker?: Worker,
): Promise<number | null> {
  const done = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const scope = {
    ...host,
    record,
    taskVariables: step.taskVariables,
    restrictions: step.restrictions,
    declaredOutputs: new Set(step.task?.outputVariables.map((name) => name.toLowerCase())),
    forceComplete: () => {
      timer ??= setTimeout(() => done.abort(), host.waits.forceCompleteMs);
    },
  };
  try {
    run.exitCode = await runProcess({
      ...program,
      start: worker && ((started) => worker.start(started)),
      onLine: (line) => {
        if (!done.signal.aborted && !processCommand(line, scope)) record.print(line);
      },
      onText: (text, stream) => {
        run.rawOutput[stream] += text;
      },
      onStart: (pid, terminate) => host.onProcess(pid, program.env, terminate),
      cancel,
      abandon: done.signal,
      waits: host.waits,
    });
    return run.exitCode;
  } finally {
    clearTimeout(timer);
  }
}

/** Runs the attempts that `retryCountOnTaskFailure` allows, with growing pauses (agent: RetryHelper.cs). */
async function withRetries(
  retries: number,
  host: StepHost,
  record: StepRecord,
  cancel: AbortSignal,
  attempt: () => Promise<void>,
): Promise<void> {
  for (let retry = 0; ; retry++) {
    const last = retry >= retries || cancel.aborted;
    const delayMs = (retry + 1) ** 2 * host.waits.retryMs;
    const announce = (fault: string): void =>
      record.warning(
        `RetryHelper encountered ${fault}, will retry (attempt #: ${retry + 1} out of ${retries}) after ${delayMs} ms`,
      );
    try {
      await attempt();
      if (last || cancel.aborted || record.result !== 'Failed') return;
      record.result = undefined;
      announce('task failure');
    } catch (error) {
      if (last || cancel.aborted) throw error;
      announce(`exception: ${error instanceof Error ? error.message : String(error)}`);
    }
    await pause(delayMs, cancel);
  }
}
