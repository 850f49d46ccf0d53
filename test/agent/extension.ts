import { createHash, randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { dirname, join, posix } from 'node:path';
import { strFromU8, unzipSync } from 'fflate';
import type { Restrictions } from './restrictions.ts';

export interface InputDefinition {
  name: string;
  aliases: string[];
  type: string;
  defaultValue: string;
}

/** The entry of one stage for one kind of Node. */
export interface HandlerData {
  target: string;
  workingDirectory: string;
}

/** A task as its task.json describes it, with the folder where it was unpacked. */
export interface TaskDefinition {
  id: string;
  name: string;
  version: { major: number; text: string };
  friendlyName: string;
  description: string;
  author: string;
  help: string;
  inputs: InputDefinition[];
  outputVariables: string[];
  restrictions: Restrictions;
  /** By the names of the handlers; a stage that the task does not have is absent. */
  stages: { pre?: Map<string, HandlerData>; main?: Map<string, HandlerData>; post?: Map<string, HandlerData> };
  folder: string;
}

/** Preferred first (agent: TaskManager.cs). */
const NODE_HANDLERS = ['Node24', 'Node20_1', 'Node16', 'Node10', 'Node'];

/** Tasks outlive the job, as in an agent: in the given work folder, or in one of this user's. */
export function taskCache(workFolder: string | undefined): string {
  const cache =
    workFolder === undefined ? join(tmpdir(), `local-agent-tasks-${userInfo().username}`) : join(workFolder, '_tasks');
  mkdirSync(cache, { recursive: true, mode: 0o700 });
  return cache;
}

/**
 * Reads the tasks of a packaged extension, which is unpacked once into a folder named by its content. Throws where the
 * file is no package or holds no task.
 */
export function loadExtension(vsix: string, cache: string): TaskDefinition[] {
  const packed = readFileSync(vsix);
  const files = Object.entries(unzipSync(packed)).filter(([path]) => !path.endsWith('/'));
  const outside = files.find(([path]) => path.includes('\\') || path.split('/').includes('..') || path.startsWith('/'));
  if (outside !== undefined) throw new Error(`${vsix} has a bad path in it: ${outside[0]}`);
  const manifests = files.filter(([path]) => posix.basename(path) === 'task.json' && path.includes('/'));
  if (manifests.length === 0) throw new Error(`${vsix} holds no task: there is no task.json in any of its folders.`);

  const folder = join(cache, createHash('sha256').update(packed).digest('hex'));
  const taskFolders = manifests.map(([path]) => posix.dirname(path));
  const inTasks = files.filter(([path]) => taskFolders.some((taskFolder) => path.startsWith(`${taskFolder}/`)));
  if (!existsSync(folder)) unpack(inTasks, folder);
  return manifests.map(([path, content]) => readTask(strFromU8(content), join(folder, dirname(path))));
}

/** The task that `name@major` refers to, in the newest version of that major; names without regard to case. */
export function findTask(tasks: readonly TaskDefinition[], reference: string): TaskDefinition {
  const [, name, major] = /^([^@]+)@(\d+)$/.exec(reference.trim()) ?? [];
  if (name === undefined) throw new Error(`'${reference}' does not name a task and its major version, as Name@1 does.`);
  // A qualified reference ends in the task's name: publisher.extension.contribution.Name@1.
  const plain = name.split('.').at(-1)?.toLowerCase();
  const found = tasks
    .filter((task) => task.name.toLowerCase() === plain || task.id.toLowerCase() === name.toLowerCase())
    .filter((task) => String(task.version.major) === major)
    .sort((a, b) => b.version.text.localeCompare(a.version.text, 'en', { numeric: true }))[0];
  if (found === undefined) {
    const known = tasks.map((task) => `${task.name}@${task.version.major}`).join(', ');
    throw new Error(`The pipeline refers to a task '${reference}' that the extension does not have. It has: ${known}.`);
  }
  return found;
}

/** The handler that the agent prefers, or the one asked for. */
export function selectHandler(
  handlers: ReadonlyMap<string, HandlerData>,
  forced?: string,
): { name: string; data: HandlerData } {
  for (const name of forced === undefined ? NODE_HANDLERS : [forced]) {
    const data = handlers.get(name);
    if (data !== undefined) return { name, data };
  }
  throw new Error(
    'The current operating system is not capable of running this task. That typically means the task was written for ' +
      `another operating system or another kind of agent: it has ${[...handlers.keys()].join(', ') || 'no handler'}.`,
  );
}

/** Writes all files, and only then gives the folder its name. */
function unpack(files: readonly [path: string, content: Uint8Array][], folder: string): void {
  const fresh = `${folder}.${randomUUID()}`;
  for (const [path, content] of files) {
    mkdirSync(join(fresh, dirname(path)), { recursive: true });
    writeFileSync(join(fresh, path), content);
  }
  try {
    renameSync(fresh, folder);
  } catch (error) {
    rmSync(fresh, { recursive: true, force: true });
    // Another job may have unpacked the same package in the meantime.
    if (!existsSync(folder)) throw error;
  }
}

function readTask(text: string, folder: string): TaskDefinition {
  const task = object(JSON.parse(text.replace(/^\uFEFF/, '')));
  const version = object(task['version']);
  const restrictions = object(task['restrictions']);
  const settable = object(restrictions['settableVariables'])['allowed'];
  return {
    id: string(task['id']),
    name: string(task['name']),
    version: {
      major: Number(version['Major'] ?? version['major']),
      text: ['Major', 'Minor', 'Patch'].map((part) => string(version[part] ?? version[part.toLowerCase()])).join('.'),
    },
    friendlyName: string(task['friendlyName']),
    description: string(task['description']),
    author: string(task['author']),
    help: string(task['helpUrl'] ?? task['helpMarkDown']),
    inputs: list(task['inputs']).map((input) => ({
      name: string(object(input)['name']).trim(),
      aliases: list(object(input)['aliases']).map(string),
      type: string(object(input)['type']),
      defaultValue: string(object(input)['defaultValue']).trim(),
    })),
    outputVariables: list(task['outputVariables'] ?? task['OutputVariables']).map((output) =>
      string(object(output)['name']),
    ),
    restrictions: {
      restrictedCommands: string(object(restrictions['commands'])['mode']).toLowerCase() === 'restricted',
      ...(Array.isArray(settable) ? { settableVariables: settable.map(string) } : {}),
    },
    stages: {
      ...stage('pre', task['prejobexecution']),
      ...stage('main', task['execution']),
      ...stage('post', task['postjobexecution']),
    },
    folder,
  };
}

function stage(name: 'pre' | 'main' | 'post', block: unknown): TaskDefinition['stages'] {
  if (block === undefined) return {};
  const handlers = Object.entries(object(block)).map(([handler, data]): [string, HandlerData] => [
    handler,
    { target: string(object(data)['target']), workingDirectory: string(object(data)['workingDirectory']) },
  ]);
  return { [name]: new Map(handlers) };
}

function object(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}

function list(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

/** A JSON value as the agent's string properties take it: `true` is "true", nothing is empty. */
function string(value: unknown): string {
  return value === undefined || value === null ? '' : String(value);
}
