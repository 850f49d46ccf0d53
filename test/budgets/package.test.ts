import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, describe, it } from 'node:test';
import type { Metafile } from 'esbuild';
import { unzipSync } from 'fflate';
import { entryFiles, libraries, programs, sharedFiles } from '../../scripts/build.ts';
import { bundleFolder, root } from '../../scripts/layout.ts';
import { packagedExtension } from '../rehearsal.ts';

const vsix = readFileSync(packagedExtension());
const files = unzipSync(vsix);
const KB = 1000;
const libraryNames = Object.keys(libraries);

describe('the package', () => {
  it('holds the programs, the manifests, the pictures and the texts, and nothing else', () => {
    assert.deepEqual(Object.keys(files).sort(), [
      ...[...[...entryFiles, ...programs, ...sharedFiles].map((name) => `${name}.js`), 'icon.png', 'task.json']
        .map((name) => `EntraTokenV1/${name}`)
        .sort(),
      'LICENSE',
      'THIRD-PARTY-NOTICES.txt',
      '[Content_Types].xml',
      'extension.vsixmanifest',
      'extension.vsomanifest',
      'images/icon.png',
      'overview.md',
    ]);
  });

  it('is smaller than 600 KB', () => {
    assert.ok(vsix.length < 600 * KB, `${vsix.length} bytes`);
  });

  const limits: readonly [file: string, bytes: number, why: string][] = [
    ['step', 130 * KB, 'Node reads it before the first request'],
    ['explanation', 40 * KB, 'it is read where something fails'],
    ['azure-pipelines-task-lib', 80 * KB, 'Node reads it before the first request'],
    ['azure-devops-node-api', 40 * KB, 'Node reads it before the first request'],
    ['msal-node', 160 * KB, 'Node reads it while Azure DevOps answers'],
    ['background', 120 * KB, 'it lives as long as the job'],
    ['clean-up', 10 * KB, 'it runs for every step, also for one that wrote no file'],
  ];
  for (const [name, limit, why] of limits) {
    it(`has a ${name}.js of less than ${limit / KB} KB: ${why}`, () => {
      const { length } = files[`EntraTokenV1/${name}.js`] ?? assert.fail(`no ${name}.js`);
      assert.ok(length > 0 && length < limit, `${length} bytes`);
    });
  }

  it('starts them by files as they are written, a few lines each where Node is new enough', () => {
    for (const name of entryFiles) {
      const written = readFileSync(join(root, 'tasks', 'EntraTokenV1', `${name}.js`));
      assert.deepEqual(Buffer.from(files[`EntraTokenV1/${name}.js`] ?? []), written);
      assert.ok(name === 'newer-node' || written.length < 400, `${name}.js has ${written.length} bytes`);
    }
  });

  it('has such a limit for each program and library', () => {
    assert.deepEqual(limits.map(([name]) => name).sort(), [...programs, ...sharedFiles].sort());
  });
});

/** What is meant to be in the file of each library: it, and what it needs in turn. */
const inTheLibraries: Readonly<Record<string, readonly string[]>> = {
  'azure-devops-node-api': ['azure-devops-node-api', 'typed-rest-client'],
  'azure-pipelines-task-lib': ['azure-pipelines-task-lib'],
  'msal-node': ['@azure/msal-common', '@azure/msal-node'],
};

describe('the programs', () => {
  const meta: Metafile = JSON.parse(readFileSync(join(bundleFolder, 'meta.json'), 'utf8'));

  /** The packages of which there is code in a program; a stand-in for a part that is left out is none. */
  function packagesIn(name: string): string[] {
    const output = Object.entries(meta.outputs).find(([path]) => path.endsWith(`/${name}.js`))?.[1];
    assert.ok(output, `esbuild made no ${name}.js`);
    const found = Object.entries(output.inputs).flatMap(([path, { bytesInOutput }]) => {
      const place = path.lastIndexOf('node_modules/');
      const [, name] = /^((?:@[^/]+\/)?[^/]+)/.exec(path.slice(place + 'node_modules/'.length)) ?? [];
      return place < 0 || bytesInOutput === 0 || name === undefined ? [] : [name];
    });
    return [...new Set(found)].sort();
  }

  /** The files that a program loads. */
  function filesOf(name: string): string[] {
    const output = Object.entries(meta.outputs).find(([path]) => path.endsWith(`/${name}.js`))?.[1];
    const loaded = output?.imports.flatMap(({ path }) => /^\.\/(.+)\.js$/.exec(path)?.[1] ?? []);
    return [...new Set(loaded)].sort();
  }

  it('and the files that they share were packaged as esbuild made them, so that its account is of these very files', () => {
    for (const name of [...programs, ...sharedFiles]) {
      assert.equal(statSync(join(bundleFolder, `${name}.js`)).size, files[`EntraTokenV1/${name}.js`]?.length, name);
    }
  });

  it('load the libraries of the services and of the agent, which hold only what these need', () => {
    assert.deepEqual(filesOf('step'), [...Object.keys(inTheLibraries), 'explanation'].sort());
    assert.deepEqual(Object.fromEntries(libraryNames.map((name) => [name, packagesIn(name)])), inTheLibraries);
    assert.deepEqual(programs.flatMap(packagesIn), [], 'nothing of a library is in a program itself');
  });

  it('take from task-lib what its file gives, and no more', () => {
    const source = readFileSync(join(root, 'tasks', 'EntraTokenV1', 'agent', 'agent.ts'), 'utf8');
    const used = new Set([...source.matchAll(/\btl\.(\w+)/g)].map(([, name]) => name));
    assert.deepEqual(libraries['azure-pipelines-task-lib']?.[0]?.names, [...used].sort());
  });

  it('that runs in the background loads no task-lib', () => {
    assert.deepEqual(filesOf('background'), ['azure-devops-node-api', 'msal-node']);
  });

  it('load what explains a failure when something fails, and not before', () => {
    const text = readFileSync(join(bundleFolder, 'step.js'), 'latin1');
    const loads = text.match(/require\("\.\/explanation\.js"\)/g) ?? [];
    const inFunctions = text.match(/\(\.\.\.\w+\)=>require\("\.\/explanation\.js"\)\./g) ?? [];
    assert.ok(loads.length > 5);
    assert.equal(inFunctions.length, loads.length);
  });

  it('of the post-job stage holds no library at all, and loads of Node only files and paths', () => {
    const output = Object.entries(meta.outputs).find(([path]) => path.endsWith('/clean-up.js'))?.[1];
    const modules = new Set(output?.imports.map(({ path }) => path.replace(/^node:/, '')));
    assert.deepEqual([...modules].sort(), ['fs', 'path']);
  });
});

describe('the package, unpacked', () => {
  const parent = mkdtempSync(join(tmpdir(), 'unpacked-'));
  after(() => rmSync(parent, { recursive: true }));
  const task = join(parent, 'task');
  const temporary = join(parent, 'temp');
  mkdirSync(task);
  mkdirSync(temporary);
  for (const [path, content] of Object.entries(files)) {
    if (path.startsWith('EntraTokenV1/')) writeFileSync(join(task, basename(path)), content);
  }

  /** A step without inputs, which fails; as the agent runs it, but outside a job. */
  function step(): string {
    const { stdout, stderr } = spawnSync(process.execPath, [join(task, 'main.js')], {
      cwd: temporary,
      env: { PATH: process.env['PATH'], SystemRoot: process.env['SystemRoot'], AGENT_TEMPDIRECTORY: temporary },
      encoding: 'utf8',
    });
    assert.equal(stderr, '');
    return stdout;
  }

  it('writes no file of its own: the library’s key for the values of the step is none either', () => {
    assert.match(step(), /result=Failed;\]ET_[A-Z_]+: /);
    assert.deepEqual(readdirSync(temporary), []);
  });

  for (const name of ['azure-pipelines-task-lib', 'explanation']) {
    it(`says what to do where ${name}.js is missing`, () => {
      const [path, away] = [join(task, `${name}.js`), join(parent, `${name}.js`)];
      renameSync(path, away);
      try {
        const said = step();
        assert.match(said, /code=ET_UNEXPECTED\]ET_UNEXPECTED: .* missing or damaged .* _tasks .*run the job again/);
        assert.match(said, /##vso\[task\.complete result=Failed\]/);
      } finally {
        renameSync(away, path);
      }
    });
  }
});
