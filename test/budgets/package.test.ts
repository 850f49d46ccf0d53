import assert from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { Metafile } from 'esbuild';
import { unzipSync } from 'fflate';
import { doors, programs } from '../../scripts/build.ts';
import { bundleFolder, root } from '../../scripts/layout.ts';
import { packagedExtension } from '../rehearsal.ts';

const vsix = readFileSync(packagedExtension());
const files = unzipSync(vsix);
const KB = 1000;

describe('the package', () => {
  it('holds the programs, the manifests, the pictures and the texts, and nothing else', () => {
    assert.deepEqual(Object.keys(files).sort(), [
      ...[...[...doors, ...programs].map((name) => `${name}.js`), 'icon.png', 'task.json']
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

  const limits: readonly [file: (typeof programs)[number], bytes: number, why: string][] = [
    ['step', 600 * KB, 'an agent downloads and Node parses it for every step'],
    ['background', 300 * KB, 'it lives as long as the job, and has MSAL but not task-lib'],
    ['clean-up', 10 * KB, 'it runs for every step, also for one that wrote no file'],
  ];
  for (const [name, limit, why] of limits) {
    it(`has a ${name}.js of less than ${limit / KB} KB: ${why}`, () => {
      const { length } = files[`EntraTokenV1/${name}.js`] ?? assert.fail(`no ${name}.js`);
      assert.ok(length > 0 && length < limit, `${length} bytes`);
    });
  }

  it('starts them by files as they are written, a few lines each where Node is new enough', () => {
    for (const name of doors) {
      const written = readFileSync(join(root, 'tasks', 'EntraTokenV1', `${name}.js`));
      assert.deepEqual(Buffer.from(files[`EntraTokenV1/${name}.js`] ?? []), written);
      assert.ok(name === 'newer-node' || written.length < 400, `${name}.js has ${written.length} bytes`);
    }
  });

  it('has no program of more than 600 KB, whatever it is called', () => {
    const sizes = programs.map((name) => files[`EntraTokenV1/${name}.js`]?.length ?? Number.NaN);
    assert.ok(
      sizes.every((size) => size < 600 * KB),
      sizes.join(', '),
    );
  });
});

/** The libraries that are meant to be in the programs, and what these need in turn. */
const inTheStep = [
  '@azure/msal-common',
  '@azure/msal-node',
  'azure-devops-node-api',
  'azure-pipelines-task-lib',
  'semver',
  'typed-rest-client',
];

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

  it('were packaged as esbuild made them, so that its account is of these very files', () => {
    for (const name of programs) {
      assert.equal(statSync(join(bundleFolder, `${name}.js`)).size, files[`EntraTokenV1/${name}.js`]?.length, name);
    }
  });

  it('of the step hold the two libraries of the services, task-lib, and only what these need', () => {
    const found = new Set(programs.filter((name) => name !== 'clean-up' && name !== 'background').flatMap(packagesIn));
    assert.deepEqual([...found].sort(), inTheStep);
  });

  it('that runs in the background holds no task-lib', () => {
    // Beside the size: a second process with task-lib rewrites the key of the step that is running.
    assert.deepEqual(
      packagesIn('background'),
      inTheStep.filter((name) => name !== 'azure-pipelines-task-lib' && name !== 'semver'),
    );
  });

  it('of the post-job stage holds no library at all, and loads of Node only files and paths', () => {
    assert.deepEqual(packagesIn('clean-up'), []);
    const output = Object.entries(meta.outputs).find(([path]) => path.endsWith('/clean-up.js'))?.[1];
    const modules = new Set(output?.imports.map(({ path }) => path.replace(/^node:/, '')));
    assert.deepEqual([...modules].sort(), ['fs', 'path']);
  });
});
