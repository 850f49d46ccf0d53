import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildFolder } from '../../scripts/layout.ts';
import { agentNodes } from '../later-steps/agent-nodes.ts';
import { goToolchain, type Install, pinnedVersion, type Tool, type ToolName, tools } from './list.ts';

/** The programs of this folder, which stand in for a user's own. */
export const programs = join(dirname(fileURLToPath(import.meta.url)), 'programs');

/** Where everything is that the tools need. */
export const toolsFolder = join(buildFolder, 'tools');

/** A tool on this machine. */
export interface Installed {
  version: string;
  /** Folders for the front of `PATH`. */
  path: string[];
  environment: Record<string, string>;
}

/** Why a tool cannot be run on this machine. */
export class NotHere extends Error {}

/** Puts a tool onto this machine, once for each version. Throws {@link NotHere} where that cannot be done. */
export function install(name: ToolName, say: (text: string) => void): Installed {
  const tool: Tool = tools[name];
  const { install: how } = tool;
  if (how.from === 'PATH') return onPath(how);
  const version = pinnedVersion(tool) ?? '';
  const folder = join(toolsFolder, `${name}-${version}`);
  const stamp = join(folder, '.installed');
  const wanted = JSON.stringify(how);
  if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== wanted) {
    say(`Installing ${tool.title} ${version} from ${how.from} …`);
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    into(folder, how);
    writeFileSync(stamp, wanted);
  }
  return { version, ...placesOf(folder, how) };
}

/** The newest Node of the agent: some packages need it. */
const newestNode = agentNodes
  .filter(({ version, skip }) => version === 24 && skip === false)
  .map(({ path }) => dirname(path));

function placesOf(folder: string, how: Install): Omit<Installed, 'version'> {
  const bin = join(folder, 'bin');
  switch (how.from) {
    case 'npm':
      return {
        path: [bin, join(folder, 'node_modules', '.bin'), ...newestNode],
        environment: { NODE_PATH: join(folder, 'node_modules') },
      };
    case 'Maven':
      return { path: [], environment: { CLASSPATH: join(folder, 'lib', '*') } };
    default:
      return { path: [bin], environment: {} };
  }
}

function into(folder: string, how: Install): void {
  switch (how.from) {
    case 'PyPI':
      run('python3', ['-m', 'venv', folder]);
      run(join(folder, 'bin', 'python3'), ['-m', 'pip', 'install', '--quiet', ...how.packages]);
      return;
    case 'npm':
      writeFileSync(join(folder, 'package.json'), '{"private":true}');
      run('npm', ['install', '--no-audit', '--no-fund', '--loglevel=error', '--prefix', folder, ...how.packages]);
      mkdirSync(join(folder, 'bin'));
      for (const [command, file] of Object.entries(how.commands ?? {})) {
        const program = join(folder, 'node_modules', file);
        chmodSync(program, 0o755);
        symlinkSync(program, join(folder, 'bin', command));
      }
      return;
    case 'Go':
      if ('command' in how) {
        run('go', ['install', `${how.command}@${how.version}`], { GOBIN: join(folder, 'bin') });
      } else {
        const source = join(folder, 'source');
        cpSync(join(programs, how.program), source, { recursive: true });
        const go = (...args: string[]): void => run('go', ['-C', source, ...args]);
        go('mod', 'init', how.program);
        go('get', ...how.modules);
        go('get', '.');
        go('build', '-o', join(folder, 'bin', how.program), '.');
      }
      return;
    case 'Maven':
      writeFileSync(join(folder, 'pom.xml'), pom(how.packages));
      run('mvn', [
        '--quiet',
        '--batch-mode',
        '--file',
        folder,
        'dependency:copy-dependencies',
        '-DoutputDirectory=lib',
      ]);
  }
}

/** Runs a registry's client. What it prints is shown only where it fails. */
function run(command: string, given: string[], environment: Record<string, string> = {}): void {
  const { error, status, stdout, stderr }: SpawnSyncReturns<string> = spawnSync(command, given, {
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
    env: { ...process.env, GOTOOLCHAIN: goToolchain, GOFLAGS: '-buildvcs=false', ...environment },
  });
  if (error !== undefined) throw new NotHere(`this machine has no ${command}`);
  if (status !== 0) {
    const end = `${stdout}${stderr}`.trim().split('\n').slice(-8).join('\n');
    throw new NotHere(`${command} ${given.join(' ')} ended with ${status}:\n${end}`);
  }
}

function onPath(how: Extract<Install, { from: 'PATH' }>): Installed {
  const { error, status, stdout } = spawnSync(how.command, how.version, { encoding: 'utf8' });
  if (error !== undefined || status !== 0)
    throw new NotHere(`this machine has no ${how.command}, and no registry of packages brings it`);
  return { version: /\d+\.\d+(\.\d+)?[\w.-]*/.exec(stdout)?.[0] ?? '', path: [], environment: {} };
}

function pom(packages: readonly string[]): string {
  const dependencies = packages.map((coordinates) => {
    const [group, artifact, version] = coordinates.split(':');
    return `<dependency><groupId>${group}</groupId><artifactId>${artifact}</artifactId><version>${version}</version></dependency>`;
  });
  return `<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>local</groupId><artifactId>tool</artifactId><version>1</version>
<dependencies>${dependencies.join('')}</dependencies></project>`;
}
