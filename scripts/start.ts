import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { nearest } from '../tasks/EntraTokenV1/text/nearest.ts';
import { type PipelineDefinition, PipelineError } from '../test/agent/pipeline.ts';
import { renderer, summary, takesColours } from '../test/agent/render.ts';
import { type Cloud, startCloud } from '../test/cloud/cloud.ts';
import { authorityHost } from '../test/cloud/national-clouds.ts';
import { organization } from '../test/cloud/organization.ts';
import { serviceConnections } from '../test/cloud/service-connections.ts';
import { type Rehearsal, type RunInputs, readPipelineFile, runPipeline } from '../test/rehearsal.ts';
import { root } from './layout.ts';

const HELP = `Runs a pipeline with the packaged extension on this machine: no organization, no subscription, no network.

  npm start                            runs examples/quickstart.yml
  npm start -- [options] FILE          runs another pipeline

  --parameter name=value               gives a template parameter its value; once for each
  --variable name=value                sets a variable, as when a pipeline is queued; once for each
  --branch NAME                        the branch of Build.SourceBranch; default main
  --debug                              the same with System.Debug
  --help                               this text

A local agent does what the Azure Pipelines agent does with the steps. A local cloud answers over TLS under the real
names. The file is read whole before anything runs. The exit code is 0 where the job succeeded, 1 where it failed, and 2
where the file or an option is wrong; then each line says FILE:LINE: and what to change.

What runs:
  steps       task: EntraToken@1, Bash@3, CmdLine@2 and PowerShell@2 (inline); bash, script, checkout (an empty folder);
              pwsh and powershell, where PowerShell 7 is installed
  structure   steps, jobs one after the other with dependsOn and outputs, or one stage with its jobs
  values      parameters (string, number, boolean), \${{ }} with if, elseif and else, variables, $[ ], macros,
              conditions, System.*, Agent.* and Build.*
  settings    env, condition, continueOnError, enabled, timeoutInMinutes, retryCountOnTaskFailure, target

What does not: other tasks, several stages, templates and extends, \${{ each }}, parameters of other types, matrix and
deployment jobs, containers, variable groups (give their variables with --variable), a repository, artifacts.

`;

function connectionsHelp(): string {
  const authorities = {
    public: `https://${authorityHost.public}/`,
    usGov: `https://${authorityHost.usGov}/`,
    china: `https://${authorityHost.china}/`,
  };
  const all = Object.values(serviceConnections(authorities)).map(({ name, type, scheme }) => ({ name, type, scheme }));
  const named = (type: string, isFederated: boolean): string =>
    all
      .filter((one) => one.type.toLowerCase() === type.toLowerCase())
      .filter(({ scheme }) => (scheme === 'WorkloadIdentityFederation') === isFederated)
      .map(({ name }) => name)
      .join(', ');
  return `Service connections of the project ${organization.organization}/${organization.project}:
  Azure Resource Manager               ${named('AzureRM', true)}
  the same, not federated              ${named('AzureRM', false)}
  Azure DevOps                         ${all
    .filter(({ type }) => type.toLowerCase() !== 'azurerm')
    .map(({ name }) => name)
    .join(', ')}
  switched-off is disabled, group has no subscription, gov and china are in other clouds, prod-vstoken and minimal use
  the issuer https://vstoken.dev.azure.com.

Pools whose agents are pods on AKS: aks-agents, aks-bound-agents (with an identity binding).
Hosts: dev.azure.com/${organization.organization}, Microsoft Entra, management.azure.com, contoso.vault.azure.net.

Pipelines to try:
`;
}

/** Each example with what its first comment says of it. */
function examples(): string {
  const names = exampleNames();
  const width = Math.max(...names.map((name) => name.length));
  const lines = names.map((name) => {
    const says = /^#\s*(.*)/.exec(readFileSync(join(root, 'examples', name), 'utf8'))?.[1] ?? '';
    return `  ${join('examples', name.padEnd(width))}  ${says}`;
  });
  return `${lines.join('\n')}\n`;
}

function exampleNames(): string[] {
  return readdirSync(join(root, 'examples')).filter((name) => name.endsWith('.yml'));
}

/** What a pipeline missed that the job, this machine or the local cloud does not have. */
export function hints(shown: string, pipeline: PipelineDefinition, result: Rehearsal): string[] {
  const macros = new Set(result.unexpanded.map(({ name }) => name));
  const missing = result.log.flatMap((line) => /: (?:line \d+: )?([\w.-]+): command not found$/.exec(line)?.[1] ?? []);
  return [
    ...result.unexpanded.map(({ name, line }) => `${shown}:${line}: ${unexpanded(name, pipeline, result)}`),
    ...[...new Set(missing)]
      .filter((tool) => !macros.has(tool))
      .map((tool) => `This machine has no ${tool}, which a step calls.`),
    ...result.unknownHosts.map(
      (host) => `The local cloud has no ${host}: a step called it, and nothing left this machine.`,
    ),
  ];
}

/** Why a macro was left as it is: the step that sets the output has another name, or none, or sets no such output. */
function unexpanded(name: string, pipeline: PipelineDefinition, { outputs }: Rehearsal): string {
  const said = `The job has no variable ${name}, so $(${name}) was left as it is.`;
  const [step = '', ...output] = name.split('.');
  const tasks = pipeline.jobs.flatMap(({ steps }) => steps).filter(({ kind }) => kind === 'task');
  const names = tasks.flatMap((one) => one.name ?? []);
  if (output.length === 0) {
    const plain = Object.keys(outputs).find((one) => one.toLowerCase().endsWith(`.${name.toLowerCase()}`));
    return plain === undefined || names.length === 0 ? said : `${said} The output is $(${plain}).`;
  }
  if (names.some((one) => one.toLowerCase() === step.toLowerCase())) {
    const own = Object.keys(outputs)
      .filter((key) => key.toLowerCase().startsWith(`${step.toLowerCase()}.`))
      .map((key) => key.slice(step.length + 1));
    if (own.length === 0) return `${said} The step ${step} has set no outputs before it.`;
    const meant = nearest(output.join('.'), own);
    return meant === undefined
      ? `${said} The step ${step} sets ${own.join(', ')}.`
      : `${said} Did you mean $(${step}.${meant})?`;
  }
  const [first] = tasks;
  if (first === undefined) return said;
  if (names.length === 0) return `${said} The step in line ${first.line} has no name; write name: ${step} on it.`;
  return `${said} The step's name is ${names.join(', ')}: write $(${names[0]}.${output.join('.')}).`;
}

/** What is wrong with the command line, in one sentence. */
export class UsageError extends Error {}

export interface Arguments {
  help: boolean;
  debug: boolean;
  /** As it was given; undefined for the quick start. */
  file: string | undefined;
  inputs: RunInputs;
}

const OPTIONS = {
  help: { type: 'boolean', short: 'h' },
  debug: { type: 'boolean' },
  branch: { type: 'string' },
  parameter: { type: 'string', multiple: true },
  variable: { type: 'string', multiple: true },
} as const;

/** Reads the command line. Throws a UsageError. */
export function readArguments(args: string[]): Arguments {
  const { tokens } = parseArgs({ args, options: OPTIONS, strict: false, allowPositionals: true, tokens: true });
  for (const token of tokens) {
    if (token.kind !== 'option') continue;
    const names = Object.keys(OPTIONS);
    const option = Object.entries(OPTIONS).find(([name]) => name === token.name)?.[1];
    if (option === undefined) {
      const meant = nearest(token.name, names);
      throw new UsageError(
        `There is no option ${token.rawName}. ${meant === undefined ? 'npm start -- --help lists them.' : `Did you mean --${meant}?`}`,
      );
    }
    if (option.type === 'string' && (token.value === undefined || token.value === '')) {
      throw new UsageError(
        `${token.rawName} needs a value: ${token.rawName} ${token.name === 'branch' ? 'NAME' : 'name=value'}.`,
      );
    }
    if (option.type === 'boolean' && token.value !== undefined) {
      throw new UsageError(`${token.rawName} takes no value.`);
    }
  }
  const { values, positionals } = parseArgs({ args, options: OPTIONS, allowPositionals: true });
  const [file, second] = positionals;
  if (second !== undefined) {
    throw new UsageError(`One pipeline at a time: ${positionals.join(' and ')} were given.`);
  }
  return {
    help: values.help === true,
    debug: values.debug === true,
    file,
    inputs: {
      parameters: assignments('--parameter', values.parameter ?? []),
      variables: assignments('--variable', values.variable ?? []),
      ...(values.branch === undefined ? {} : { branch: values.branch }),
    },
  };
}

function assignments(option: string, texts: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    texts.map((text) => {
      const sign = text.indexOf('=');
      if (sign <= 0) throw new UsageError(`${option} ${text}: write ${option} name=value.`);
      return [text.slice(0, sign), text.slice(sign + 1)];
    }),
  );
}

/** The file to run. Throws a UsageError where there is none. */
export function fileToRun(given: string | undefined): string {
  if (given === undefined) return join(root, 'examples', 'quickstart.yml');
  const file = resolve(given);
  if (!existsSync(file)) {
    const meant = nearest(basename(given), exampleNames());
    const hint = meant === undefined ? '' : ` Did you mean ${join('examples', meant)}?`;
    throw new UsageError(`There is no pipeline ${given}.${hint}`);
  }
  if (!statSync(file).isFile()) throw new UsageError(`${given} is not a file. Name a pipeline's YAML file.`);
  return file;
}

async function run(cloud: Cloud, { file: given, debug, inputs }: Arguments): Promise<number> {
  const file = fileToRun(given);
  const shown = given ?? relative(process.cwd(), file);
  const pipeline = readPipelineFile(cloud, file, inputs, shown);
  const colours = takesColours(process.stdout);
  const bold = (text: string): string => (colours ? `\x1b[1m${text}\x1b[0m` : text);
  const show = renderer({ write: (text) => process.stdout.write(text), colours });
  process.stdout.write(`${bold(`Entra token: a local run of ${shown}`)}

The extension, packaged as users install it, runs on a local agent. A local cloud replaces Azure DevOps, Microsoft
Entra and the API that is called; nothing leaves this machine. The step asks Azure DevOps who the job is (an ID token),
has Entra exchange that for access tokens, and hands them to the later steps. Here is the log as a pipeline shows it.
`);
  for (const { line, sentence } of pipeline.notices) process.stdout.write(`\n${shown}:${line}: ${sentence}\n`);
  const result = await runPipeline(cloud, pipeline, { onLine: show, ...(debug ? { systemDebug: true } : {}) }, inputs);
  process.stdout.write(`\n${bold('Summary')}\n${summary(result, colours).join('\n')}\n`);
  for (const hint of hints(shown, pipeline, result)) process.stdout.write(`\n${hint}\n`);
  if (given === undefined) {
    process.stdout.write('\nnpm start -- --help says what else it can run; the docs begin in README.md.\n');
  }
  return result.result === 'Succeeded' || result.result === 'SucceededWithIssues' ? 0 : 1;
}

async function main(args: string[]): Promise<number> {
  const given = readArguments(args);
  if (given.help) {
    process.stdout.write(HELP + connectionsHelp() + examples());
    return 0;
  }
  fileToRun(given.file);
  const cloud = await startCloud();
  try {
    return await run(cloud, given);
  } finally {
    await cloud.close();
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    process.exitCode = await main(process.argv.slice(2));
  } catch (error) {
    if (!(error instanceof UsageError) && !(error instanceof PipelineError)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 2;
  }
}
