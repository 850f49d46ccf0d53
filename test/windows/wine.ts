import { spawn } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, type Readable, Writable } from 'node:stream';
import { buildFolder, root } from '../../scripts/layout.ts';
import type { Environment } from '../agent/environment.ts';
import type { Machine, Program, StartedProcess, Worker } from '../agent/machine.ts';
import { LOOKUP_ID } from '../agent/orphans.ts';

/** Where `npm run soak -- windows` installs what Windows needs. */
export const windowsFolder = process.env['ENTRA_TOKEN_WINDOWS_FOLDER'] ?? join(buildFolder, 'windows');

/** What Wine itself needs to know; nothing of it reaches the processes that it runs. */
export const wineEnvironment: Environment = {
  WINEPREFIX: join(windowsFolder, 'prefix'),
  WINEARCH: 'win64',
  WINEDEBUG: '-all',
  // Names of files are UTF-8.
  LC_ALL: 'C.UTF-8',
  // Nothing that would ask for a desktop; and the program of this folder for the one of Wine, which does nothing.
  WINEDLLOVERRIDES: 'winemenubuilder.exe=d;mscoree=d;mshtml=d;tasklist.exe=n',
};

/** The drive D: is the folder for temporary files; Z: is everything. */
const drives: readonly (readonly [drive: string, folder: string])[] = [
  ['D:', tmpdir()],
  ['Z:', ''],
];

/** What a path of this machine is called on Windows; anything else stays as it is. */
export function pathThere(path: string): string {
  const known = path.startsWith(`${tmpdir()}/`) || path.startsWith(`${root}/`);
  const [drive, folder] = drives.find(([, one]) => path.startsWith(`${one}/`)) ?? [];
  if (!known || drive === undefined || folder === undefined) return path;
  return drive + path.slice(folder.length).replaceAll('/', '\\');
}

/** What a path of Windows is called on this machine; anything else stays as it is. */
export function pathHere(path: string): string {
  for (const [drive, folder] of drives) {
    if (path.toUpperCase().startsWith(`${drive}\\`)) {
      return folder + path.slice(drive.length).replaceAll('\\', '/');
    }
  }
  return path;
}

/** Windows under Wine, with one version of Node. */
export function wineMachine(version: 20 | 24): Machine {
  return {
    os: 'Windows_NT',
    environment: {
      ALLUSERSPROFILE: 'C:\\ProgramData',
      APPDATA: 'C:\\users\\agent\\AppData\\Roaming',
      CommonProgramFiles: 'C:\\Program Files\\Common Files',
      COMPUTERNAME: 'MACHINE',
      ComSpec: 'C:\\windows\\system32\\cmd.exe',
      HOMEDRIVE: 'C:',
      HOMEPATH: '\\users\\agent',
      LOCALAPPDATA: 'C:\\users\\agent\\AppData\\Local',
      NUMBER_OF_PROCESSORS: '2',
      OS: 'Windows_NT',
      Path: 'C:\\windows\\system32;C:\\windows',
      PATHEXT: '.COM;.EXE;.BAT;.CMD',
      ProgramData: 'C:\\ProgramData',
      ProgramFiles: 'C:\\Program Files',
      PUBLIC: 'C:\\users\\Public',
      SystemDrive: 'C:',
      // As Windows spells it, in whatever case a program asks.
      SystemRoot: 'C:\\windows',
      TEMP: 'C:\\users\\agent\\AppData\\Local\\Temp',
      TMP: 'C:\\users\\agent\\AppData\\Local\\Temp',
      USERDOMAIN: 'MACHINE',
      USERNAME: 'agent',
      USERPROFILE: 'C:\\users\\agent',
      windir: 'C:\\windows',
    },
    node: { node20: nodeOnWindows(20), node24: nodeOnWindows(version) },
    pathThere,
    pathHere,
    openWorker: (lookupId) => WineWorker.open(lookupId),
  };
}

/** The versions of Node for Windows that are there. */
export type WindowsNode = 10 | 16 | 20 | 24;

/** Where the agent for Windows has one of its own. */
export function nodeFolder(version: WindowsNode): string {
  return join(windowsFolder, 'agent', 'externals', version === 20 ? 'node20_1' : `node${version}`, 'bin');
}

function nodeOnWindows(version: WindowsNode): string {
  return pathThere(join(nodeFolder(version), 'node.exe'));
}

/** Far more than the worker takes to end; now and then Wine does not let it. Milliseconds. */
const CLOSE_MS = 10_000;

class WineWorker implements Worker {
  readonly #process;
  readonly #running = new Map<number, WineProcess>();
  readonly #mark: string;
  #last = 0;

  constructor(lookupId: string) {
    this.#mark = `${LOOKUP_ID}=${lookupId}`;
    this.#process = spawn('wine', [join(windowsFolder, 'Agent.Worker.exe')], {
      env: { PATH: process.env['PATH'], HOME: process.env['HOME'], [LOOKUP_ID]: lookupId, ...wineEnvironment },
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    this.#process.stdin.on('error', () => {});
    this.#process.on('exit', () => {
      for (const running of this.#running.values()) running.failed(new Error('the worker of Windows has ended'));
    });
    this.#read(this.#process.stdout).catch(() => {});
  }

  static open(lookupId: string): Promise<WineWorker> {
    return Promise.resolve(new WineWorker(lookupId));
  }

  start({ file, args, cwd, env }: Program): Promise<StartedProcess> {
    const number = ++this.#last;
    const line = [file, ...args].map(quoted).join(' ');
    const before = new Set(processNumbers());
    const running = new WineProcess((command) => this.#send(command, number, ''));
    this.#running.set(number, running);
    // The environment of Windows is sorted, and has each name once whatever its case.
    const variables = Object.entries(env)
      .sort(([a], [b]) => (a.toUpperCase() < b.toUpperCase() ? -1 : 1))
      .map(([name, value]) => `${name}=${value}\0`);
    this.#send('S', number, `${cwd}\0${line}\0${variables.join('')}\0`);
    return running.started.then(() => {
      running.pid = this.#find(before);
      return running;
    });
  }

  async close(): Promise<void> {
    this.#process.stdin.end();
    const timer = setTimeout(() => this.#process.kill('SIGKILL'), CLOSE_MS);
    if (this.#process.exitCode === null && this.#process.signalCode === null)
      await new Promise((resolve) => this.#process.once('exit', resolve));
    clearTimeout(timer);
    // What Wine itself leaves running for a while has this pipe too.
    this.#process.stdout.destroy();
  }

  /** The process of Linux that has come since, and a number that none has where it is over already. */
  #find(before: ReadonlySet<string>): number {
    const found = processNumbers().find((entry) => {
      try {
        const isNode = /\\node\.exe$/.test(readFileSync(`/proc/${entry}/cmdline`, 'utf8').split('\0')[0] ?? '');
        return (
          isNode &&
          !before.has(entry) &&
          readFileSync(`/proc/${entry}/environ`, 'utf8').split('\0').includes(this.#mark)
        );
      } catch {
        return false;
      }
    });
    return Number(found ?? NOBODY);
  }

  #send(command: string, number: number, text: string): void {
    const payload = Buffer.from(text);
    const head = Buffer.alloc(9, command, 'latin1');
    head.writeUInt32LE(number, 1);
    head.writeUInt32LE(payload.length, 5);
    this.#process.stdin.write(Buffer.concat([head, payload]));
  }

  async #read(stream: Readable): Promise<void> {
    let open = Buffer.alloc(0);
    for await (const chunk of stream) {
      open = Buffer.concat([open, chunk]);
      while (open.length >= 9) {
        const length = open.readUInt32LE(5);
        if (open.length < 9 + length) break;
        const payload = open.subarray(9, 9 + length);
        this.#running.get(open.readUInt32LE(1))?.take(String.fromCharCode(open[0] ?? 0), payload);
        open = open.subarray(9 + length);
      }
    }
  }
}

/** Above every number that Linux gives. */
const NOBODY = 2 ** 22 + 1;

class WineProcess extends EventEmitter implements StartedProcess {
  pid: number | undefined;
  exitCode: number | null = null;
  readonly signalCode = null;
  readonly stdin = new Writable({ write: (_chunk, _encoding, done) => done() });
  readonly stdout = new PassThrough();
  readonly stderr = new PassThrough();
  readonly started: Promise<void>;
  readonly #command: (command: string) => void;
  #resolve: () => void = () => {};
  #reject: (error: Error) => void = () => {};
  #open = 3;

  constructor(command: (command: string) => void) {
    super();
    this.#command = command;
    this.started = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.on('error', () => {});
  }

  take(what: string, payload: Buffer): void {
    if (what === 'p') this.#resolve();
    if (what === 'f') this.failed(new Error(`Windows starts no process: error ${payload.toString()}`));
    if (what === 'o') this.#write(this.stdout, payload);
    if (what === 'e') this.#write(this.stderr, payload);
    if (what === 'x') {
      this.exitCode = Number(payload.toString());
      // Whoever started it is to have its listeners in place.
      setImmediate(() => {
        this.emit('exit', this.exitCode, null);
        this.#closeOne();
      });
    }
  }

  failed(error: Error): void {
    this.#reject(error);
    this.emit('error', error);
  }

  kill(signal: NodeJS.Signals): boolean {
    this.#command(signal === 'SIGINT' ? 'C' : signal === 'SIGTERM' ? 'B' : 'K');
    return true;
  }

  terminate(): void {
    this.#command('T');
  }

  unref(): void {}

  #write(stream: PassThrough, payload: Buffer): void {
    if (payload.length > 0) {
      stream.write(Buffer.from(payload));
      return;
    }
    stream.end();
    setImmediate(() => this.#closeOne());
  }

  #closeOne(): void {
    this.#open -= 1;
    if (this.#open === 0) this.emit('close');
  }
}

/** As a program of Windows takes its command line apart again. */
function quoted(argument: string): string {
  return `"${argument.replaceAll(/(\\*)"/g, '$1$1\\"').replace(/(\\+)$/, '$1$1')}"`;
}

function processNumbers(): string[] {
  return readdirSync('/proc').filter((entry) => /^\d+$/.test(entry));
}
