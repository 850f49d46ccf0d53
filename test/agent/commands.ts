import { statSync } from 'node:fs';
import { basename, isAbsolute, relative } from 'node:path';
import { type Command, escapeText, parseCommand, unescapeText } from './command.ts';
import type { Endpoint } from './environment.ts';
import type { StepRecord } from './log.ts';
import type { Masker } from './masker.ts';
import { isCommandAllowed, isVariableSettable, type Restrictions } from './restrictions.ts';
import { mergeResults, parseResult } from './result.ts';
import type { VariableFlags, Variables } from './variables.ts';

/** All that a step's commands can reach. */
export interface CommandScope {
  record: StepRecord;
  masker: Masker;
  variables: Variables;
  /** Shared by the stages of one step. */
  taskVariables: Variables;
  restrictions: readonly Restrictions[];
  /** Names, in lower case, that task.json declares in `outputVariables`: they are outputs in any case. */
  declaredOutputs: ReadonlySet<string>;
  /** The step's visible and invisible endpoints: `setendpoint` reaches them all. */
  endpoints: Endpoint[];
  /** As in agents before 4.274.1: `setendpoint` reaches the job's own connection too. */
  systemEndpointIsOpen: boolean;
  /** Folders that were put in front of PATH, for the whole job. */
  prependedPath: string[];
  /** Outputs of the job, as `step.name`. */
  outputs: Record<string, { value: string; secret: boolean }>;
  /** The step says that it is done, whether or not its process ends. */
  forceComplete: () => void;
}

type Handler = (command: Command, scope: CommandScope) => void;

const DOCUMENTATION = 'Please reference documentation (http://go.microsoft.com/fwlink/?LinkId=817296)';

/**
 * Carries out the command in a line of output, if there is one. Returns false where the line is to be printed instead
 * (agent: WorkerCommandManager.cs).
 */
export function processCommand(line: string, scope: CommandScope): boolean {
  const { record, variables } = scope;
  const decodePercents = variables.get('DECODE_PERCENTS')?.toLowerCase() !== 'false';
  const command = parseCommand(line, decodePercents);
  if (command === undefined) {
    if (line.includes('##vso')) {
      record.warning(
        `'${line}' contains logging command keyword '##vso', but it's not a legal command. ` +
          'Please see the list of accepted commands: https://go.microsoft.com/fwlink/?LinkId=817296',
      );
    }
    return false;
  }

  const area = AREAS.get(command.area.toLowerCase());
  if (area === undefined) {
    record.warning(`Cannot find command extension for ##vso[${command.area}.command]. ${DOCUMENTATION}`);
    return true;
  }
  const hostType = variables.get('system.hosttype') ?? 'build';
  if (area.hostTypes?.includes(hostType.toLowerCase()) === false) {
    record.error(`${command.area} commands are not supported for ${hostType} flow. ${DOCUMENTATION}`);
    record.commandResult = mergeResults(record.commandResult, 'Failed');
    return false;
  }

  try {
    execute(command, area.events, scope);
  } catch (error) {
    record.error(`Unable to process command '${line}' successfully. ${DOCUMENTATION}`);
    record.error(error instanceof Error ? error.message : String(error));
    record.commandResult = 'Failed';
  }
  if (`${command.area}.${command.event}`.toLowerCase() !== 'task.debug') {
    record.debug(`Processed: ${unescapeText(line, decodePercents)}`);
  }
  return true;
}

function execute(command: Command, events: Record<string, Handler>, scope: CommandScope): void {
  const event = command.event.toLowerCase();
  const handler = Object.hasOwn(events, event) ? events[event] : undefined;
  if (handler === undefined) {
    throw new Error(`##vso[${command.area}.${command.event}] is not a recognized command. ${DOCUMENTATION}`);
  }
  if (isCommandAllowed(scope.restrictions, `${command.area}.${command.event}`.toLowerCase())) {
    handler(command, scope);
  } else {
    scope.record.warning(
      `##vso[${command.area}.${command.event}] is not allowed in this step due to policy restrictions. ${DOCUMENTATION}`,
    );
  }
}

function setVariable({ properties, data }: Command, scope: CommandScope): void {
  const { record, masker, variables } = scope;
  const name = properties.get('variable') ?? '';
  if (name === '') throw missing("Required field 'variable' is missing in ##vso[task.setvariable] command.");
  const secret = flag(properties.get('issecret'));
  const output = flag(properties.get('isoutput'));
  refuseReadOnly(name, variables, scope);
  if (secret) {
    refuseMultilineSecret(data, variables);
    masker.add(escapeText(data));
  }
  if (!isVariableSettable(scope.restrictions, name)) {
    record.warning(`Setting variable '${name}' has been disabled by the task or build definition.`);
    return;
  }

  const flags: VariableFlags = { secret, preserveCase: flag(properties.get('preservecase')) };
  const readOnly = flag(properties.get('isreadonly'));
  if (output || scope.declaredOutputs.has(name.toLowerCase())) {
    if (record.name === '') throw missing('RefName');
    refuseSecond(`${record.name}.${name}`, scope);
    record.outputs[name] = data;
    scope.outputs[`${record.name}.${name}`] = { value: data, secret };
    variables.set(`${record.name}.${name}`, data, { ...flags, readOnly: output || readOnly });
  } else {
    variables.set(name, data, { ...flags, readOnly });
  }
}

function setTaskVariable({ properties, data }: Command, scope: CommandScope): void {
  const name = properties.get('variable') ?? '';
  if (name === '') throw missing("Required field 'variable' is missing in ##vso[task.settaskvariable] command.");
  const secret = flag(properties.get('issecret'));
  refuseReadOnly(name, scope.taskVariables, scope);
  if (secret) refuseMultilineSecret(data, scope.variables);
  scope.taskVariables.set(name, data, {
    secret,
    readOnly: flag(properties.get('isreadonly')),
    preserveCase: flag(properties.get('preservecase')),
  });
}

function complete({ properties, data }: Command, { record, forceComplete }: CommandScope): void {
  const result = parseResult(properties.get('result') ?? '');
  if (result === undefined) throw new Error("Command doesn't have valid result value.");
  record.result = mergeResults(record.result, result);
  record.advance(100, data);
  if (['1', 'true', '$true'].includes((properties.get('done') ?? '').trim().toLowerCase())) forceComplete();
}

function logIssue({ properties, data }: Command, { record, variables }: CommandScope): void {
  const text = properties.get('type');
  if (text === undefined) {
    record.warning("Can't create TaskIssue from logging event.");
    return;
  }
  const type = text.toLowerCase();
  if (type !== 'error' && type !== 'warning') throw new Error(`issue type ${text} is not an expected issue type.`);

  let message = data;
  const source = properties.get('sourcepath');
  if (source !== undefined) {
    const path = relativeToSources(source, variables);
    properties.set('sourcepath', path);
    const place = `${path}(${properties.get('linenumber') ?? ''},${properties.get('columnnumber') ?? ''})`;
    message = `${place}: ${text} ${properties.get('code') ?? ''}: ${data}`;
  }
  // Only tasks of the agent's own server are given a correlation ID, so no task here may name a source.
  properties.delete('source');
  properties.delete('correlationid');
  record.issue(type, message, Object.fromEntries(properties));
}

function relativeToSources(path: string, variables: Variables): string {
  const sources = variables.get('build.sourcesdirectory');
  if (sources === undefined || !isAbsolute(path) || statSync(path, { throwIfNoEntry: false }) === undefined)
    return path;
  const inside = relative(sources, path);
  return inside.startsWith('..') || isAbsolute(inside) ? path : inside;
}

function setProgress({ properties, data }: Command, { record }: CommandScope): void {
  const value = properties.get('value') ?? '';
  record.advance(/^\s*[+-]?\d+\s*$/.test(value) ? Number(value) : 0, data);
}

/** Checks what the agent checks; the records themselves are for the portal. */
function logDetail({ properties }: Command): void {
  if (!/^[{(]?[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}[)}]?$/i.test(properties.get('id') ?? '')) {
    throw missing("Can't update timeline record, timeline record id is not provided.");
  }
}

function uploadAs(type: string): Handler {
  return ({ event, data }, scope) => {
    if (data === '') throw new Error(`Cannot run ${event}, file location is not specified.`);
    attach(type, basename(data), data, scope);
  };
}

function addAttachment({ properties, data }: Command, scope: CommandScope): void {
  const type = properties.get('type') ?? '';
  const name = properties.get('name') ?? '';
  if (type === '') throw missing("Can't add task attachment, attachment type is not provided.");
  if (name === '') throw missing("Can't add task attachment, attachment name is not provided.");
  attach(type, name, data, scope);
}

function attach(type: string, name: string, path: string, { record }: CommandScope): void {
  for (const [what, text] of Object.entries({ Type: type, Name: name })) {
    if (/[/\0]/.test(text)) throw new Error(`${what} contains invalid characters. (\\0, /)`);
  }
  if (statSync(path, { throwIfNoEntry: false })?.isFile() !== true) {
    throw missing(
      'Cannot upload task attachment file, attachment file location is not specified or attachment file does not exist ' +
        'on disk.',
    );
  }
  record.attachments.push({ type, name, path });
}

function setEndpoint(
  { properties, data }: Command,
  { record, masker, endpoints, systemEndpointIsOpen }: CommandScope,
): void {
  if (data === '') throw missing('Enter a valid value for setendpoint.');
  const field = (properties.get('field') ?? '').toLowerCase();
  if (field === '') throw missing("Required field 'field' is missing in ##vso[task.setendpoint] command.");
  if (field === 'authparameter') masker.add(data);
  const id = (properties.get('id') ?? '').toLowerCase();
  if (id === '') throw missing("Required field 'id' is missing in ##vso[task.setendpoint] command.");
  const system = id === '00000000-0000-0000-0000-000000000000';
  const endpoint = endpoints.find((one) => (system ? one.system : one.key.toLowerCase() === id));
  if (endpoint === undefined) throw missing(`Service connection '${id}' is not declared for this job.`);
  if (endpoint.system && !systemEndpointIsOpen) {
    record.warning(`Modification of system endpoint '${endpoint.name}' is not allowed via setendpoint command.`);
    return;
  }

  if (field === 'url') {
    if (!URL.canParse(data)) throw missing("Invalid value for field 'url' in ##vso[task.setendpoint] command.");
    endpoint.url = data;
    return;
  }
  const key = properties.get('key') ?? '';
  if (key === '') throw missing("Required field 'key' is missing in ##vso[task.setendpoint] command.");
  if (field === 'dataparameter') endpoint.data[key] = data;
  else if (field === 'authparameter') endpoint.parameters[key] = data;
  else throw new Error("Invalid value for 'field' in ##vso[task.setendpoint]: url, dataParameter or authParameter.");
}

function prependPath({ data }: Command, scope: CommandScope): void {
  if (!isVariableSettable(scope.restrictions, 'PATH')) {
    scope.record.warning("Setting variable 'PATH' has been disabled by the task or build definition.");
    return;
  }
  if (data === '') throw missing('prependpath');
  const others = scope.prependedPath.filter((folder) => folder !== data);
  scope.prependedPath.splice(0, scope.prependedPath.length, ...others, data);
}

/** The server of a local job has no store for it, so what is checked is that the command is complete. */
function requires(...names: string[]): Handler {
  return ({ area, event, properties }) => {
    for (const name of names) {
      if ((properties.get(name) ?? '') === '') throw new Error(`##vso[${area}.${event}] needs the property '${name}'.`);
    }
  };
}

function publishTelemetry(command: Command, scope: CommandScope): void {
  if (scope.variables.get('task.publishTelemetry')?.toLowerCase() === 'false') return;
  requires('area', 'feature')(command, scope);
}

function updateBuildNumber({ data }: Command, { variables }: CommandScope): void {
  if (data === '') throw new Error('Build number is required.');
  variables.set('build.buildNumber', data);
}

interface Area {
  /** In lower case; absent means every type. */
  hostTypes?: readonly string[];
  events: Record<string, Handler>;
}

const AREAS: ReadonlyMap<string, Area> = new Map<string, Area>([
  [
    'task',
    {
      events: {
        setvariable: setVariable,
        setsecret: ({ data }, { masker }) => masker.add(data),
        settaskvariable: setTaskVariable,
        complete,
        logissue: logIssue,
        issue: logIssue,
        setprogress: setProgress,
        debug: ({ data }, { record }) => record.debug(data),
        logdetail: logDetail,
        uploadsummary: uploadAs('DistributedTask.Core.Summary'),
        uploadfile: uploadAs('DistributedTask.Core.FileAttachment'),
        addattachment: addAttachment,
        setendpoint: setEndpoint,
        prependpath: prependPath,
      },
    },
  ],
  ['telemetry', { events: { publish: publishTelemetry } }],
  [
    'artifact',
    {
      hostTypes: ['build', 'release'],
      events: { associate: requires('artifactname'), upload: requires('artifactname', 'containerfolder') },
    },
  ],
  [
    'build',
    {
      hostTypes: ['build'],
      events: {
        uploadlog: requires(),
        uploadsummary: requires(),
        updatebuildnumber: updateBuildNumber,
        addbuildtag: requires(),
      },
    },
  ],
  ['results', { events: { publish: requires('type'), publishtoevidencestore: requires() } }],
  ['codecoverage', { hostTypes: ['build'], events: { publish: requires() } }],
  ['release', { hostTypes: ['release'], events: { updatereleasename: requires() } }],
]);

function refuseReadOnly(name: string, among: Variables, { record, variables }: CommandScope): void {
  if (!among.isReadOnly(name)) return;
  const text = `Overwriting readonly variable '${name}' is not permitted.`;
  if (variables.get('agent.readOnlyVariables')?.toLowerCase() === 'true') {
    throw new Error(
      `${text} See https://github.com/microsoft/azure-pipelines-yaml/blob/master/design/readonly-variables.md for details.`,
    );
  }
  record.warning(`${text} This will be an error in the future.`);
}

/** Agents that protect outputs refuse one that is set already, by an earlier attempt at the same step too (agent: #5665). */
function refuseSecond(output: string, { variables, outputs }: CommandScope): void {
  const flagged = variables.get('DistributedTask.Agent.ProtectReadOnlyVariableNames')?.toLowerCase() === 'true';
  if (flagged && Object.hasOwn(outputs, output)) {
    throw new Error(`Overwriting readonly variable '${output}' is not permitted.`);
  }
}

function refuseMultilineSecret(value: string, variables: Variables): void {
  // The agent asks for its own system's line break, so on Windows a bare \n passes.
  const lineBreak = process.platform === 'win32' ? '\r\n' : '\n';
  const allowed = variables.get('SYSTEM_UNSAFEALLOWMULTILINESECRET')?.toLowerCase() === 'true';
  if (value.includes(lineBreak) && !allowed) throw new Error('Secrets cannot contain multiple lines');
}

/** As .NET's Boolean.TryParse, with false for what is neither. */
function flag(text: string | undefined): boolean {
  return text?.trim().toLowerCase() === 'true';
}

/** As .NET prints an ArgumentNullException whose text was given in place of the parameter's name. */
function missing(text: string): Error {
  return new Error(`Value cannot be null. (Parameter '${text}')`);
}
