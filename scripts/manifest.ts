import { readJson } from './layout.ts';

/** An input of task.json, with what the classic editor and the documentation read of it. */
export interface ManifestInput {
  readonly name: string;
  readonly aliases: readonly string[];
  readonly type: string;
  readonly label: string;
  readonly group: string;
  readonly defaultValue: string;
  readonly required: boolean;
  readonly options: ReadonlyMap<string, string>;
  readonly properties: ReadonlyMap<string, string>;
  readonly visibleRule: string;
  readonly help: string;
}

export interface ManifestGroup {
  readonly name: string;
  readonly title: string;
  readonly isExpanded: boolean;
  readonly visibleRule: string;
}

export interface Manifest {
  readonly id: string;
  readonly name: string;
  readonly title: string;
  readonly description: string;
  readonly version: string;
  readonly instanceName: string;
  readonly releaseNotes: string;
  readonly help: string;
  readonly groups: readonly ManifestGroup[];
  readonly inputs: readonly ManifestInput[];
  readonly outputs: readonly { readonly name: string; readonly description: string }[];
  readonly settable: readonly string[];
}

type Json = Readonly<Record<string, unknown>>;

/** Reads task.json. Throws where a part that every task has is missing. */
export function readManifest(): Manifest {
  const task = readJson('tasks/EntraTokenV1/task.json');
  const { Major, Minor, Patch } = object(task['version']);
  return {
    id: text(task['id']),
    name: text(task['name']),
    title: text(task['friendlyName']),
    description: text(task['description']),
    version: `${Major}.${Minor}.${Patch}`,
    instanceName: text(task['instanceNameFormat']),
    releaseNotes: text(task['releaseNotes']),
    help: text(task['helpMarkDown']),
    groups: list(task['groups']).map((group) => ({
      name: text(group['name']),
      title: text(group['displayName']),
      isExpanded: group['isExpanded'] === true,
      visibleRule: text(group['visibleRule'] ?? ''),
    })),
    inputs: list(task['inputs']).map((input) => ({
      name: text(input['name']),
      aliases: Array.isArray(input['aliases']) ? input['aliases'].map(text) : [],
      type: text(input['type']),
      label: text(input['label']),
      group: text(input['groupName']),
      defaultValue: text(input['defaultValue'] ?? ''),
      required: input['required'] === true,
      options: texts(input['options']),
      properties: texts(input['properties']),
      visibleRule: text(input['visibleRule'] ?? ''),
      help: text(input['helpMarkDown'] ?? ''),
    })),
    outputs: list(task['outputVariables']).map((output) => ({
      name: text(output['name']),
      description: text(output['description']),
    })),
    settable: strings(object(object(task['restrictions'])['settableVariables'])['allowed']),
  };
}

function object(value: unknown): Json {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new TypeError('task.json: an object is missing');
  }
  return Object.fromEntries(Object.entries(value));
}

function list(value: unknown): Json[] {
  if (!Array.isArray(value)) {
    throw new TypeError('task.json: a list is missing');
  }
  return value.map(object);
}

function text(value: unknown): string {
  if (typeof value !== 'string') {
    throw new TypeError('task.json: a text is missing');
  }
  return value;
}

function strings(value: unknown): string[] {
  if (!Array.isArray(value)) {
    throw new TypeError('task.json: a list is missing');
  }
  return value.map(text);
}

function texts(value: unknown): Map<string, string> {
  return new Map(Object.entries(value === undefined ? {} : object(value)).map(([key, item]) => [key, text(item)]));
}
