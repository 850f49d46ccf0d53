import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type BuildOptions, build, type Metafile, type Plugin } from 'esbuild';
import { bundleFolder, readJson, root } from './layout.ts';

/** The programs of the task; each becomes one file of the package. */
export const programs = ['step', 'clean-up', 'background'] as const;

/** What starts them, on any Node; it goes into the package as it is written. */
export const doors = ['main', 'post-job', 'newer-node'] as const;

/**
 * What libraries load but this task never runs; it is left out of the bundles, where it would cost time at the start
 * of every step. Calling it throws, so that a mistake shows in the first test. docs/decisions/left-out.md shows this list.
 */
export const leftOut: Readonly<Record<string, { readonly of: string; readonly why: string }>> = {
  jsonwebtoken: { of: 'MSAL', why: 'signs the assertions of certificates; here the assertion is the ID token' },
  './handlers/ntlm': { of: 'typed-rest-client', why: 'signs in with NTLM; the job token is a bearer token' },
  qs: { of: 'typed-rest-client', why: 'builds query strings; the address is complete when it gets there' },
  tunnel: { of: 'typed-rest-client', why: 'goes through proxies; the connection pool knows the way' },
  './toolrunner': { of: 'task-lib', why: 'runs programs; this task runs none through it' },
  './externaloutput': { of: 'task-lib', why: 'reads the output of such programs' },
  minimatch: { of: 'task-lib', why: 'searches for files; this task searches for none' },
  './lib-resource': { of: 'task-lib', why: 'holds its sentences in nine languages; the task has its own' },
};

/** Parts of Node that libraries load at their start but need late or never; loaded when they are first touched. */
const loadedLate: Readonly<Record<string, string>> = {
  child_process: 'task-lib, for running programs',
  zlib: 'typed-rest-client, for compressed answers',
};

const leaveOut: Plugin = {
  name: 'leave-out',
  setup({ onResolve, onLoad }) {
    const names = Object.keys(leftOut).map((name) => name.replace(/[./]/g, '\\$&'));
    onResolve({ filter: new RegExp(`^(?:${names.join('|')})$`) }, ({ path }) => ({ path, namespace: 'left-out' }));
    onLoad({ filter: /.*/, namespace: 'left-out' }, ({ path }) => ({
      contents: `module.exports = new Proxy({}, { get(target, name) {
        if (name === '__esModule' || name === 'then') return undefined;
        return function leftOut() { throw new Error(${JSON.stringify(`${path} is left out of the bundle`)}); };
      } });`,
    }));
  },
};

const loadLate: Plugin = {
  name: 'load-late',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: new RegExp(`^(?:${Object.keys(loadedLate).join('|')})$`) }, ({ path, importer }) =>
      importer.includes('node_modules') ? { path, namespace: 'loaded-late' } : undefined,
    );
    onLoad({ filter: /.*/, namespace: 'loaded-late' }, ({ path }) => ({
      contents: `module.exports = new Proxy({}, { get: (target, name) => require('node:${path}')[name] });`,
    }));
  },
};

/** How a program is bundled: those of the task, and what the benchmark compares them with. */
export const bundleOptions: BuildOptions = {
  bundle: true,
  platform: 'node',
  target: 'node20',
  format: 'cjs',
  minify: true,
  legalComments: 'none',
  // Escapes keep the text to one byte a character, which Node reads faster.
  charset: 'ascii',
  mainFields: ['module', 'main'],
  logLevel: 'warning',
};

/**
 * Bundles each program into one file; gives esbuild's account of what went into which.
 * @param version what the task calls itself, where that is not the repository's version
 */
export async function bundle(version?: string): Promise<Metafile> {
  rmSync(bundleFolder, { recursive: true, force: true });
  mkdirSync(bundleFolder, { recursive: true });
  const manifest = readJson('package.json');
  const homepage = String(manifest['homepage']).replace(/#.*/, '');
  const { metafile } = await build({
    ...bundleOptions,
    absWorkingDir: root,
    entryPoints: programs.map((name) => join('tasks', 'EntraTokenV1', `${name}.ts`)),
    outdir: bundleFolder,
    plugins: [leaveOut, loadLate],
    define: {
      DOCS_URL: JSON.stringify(`${homepage}/blob/main/docs`),
      TASK_VERSION: JSON.stringify(version ?? manifest['version']),
    },
    metafile: true,
  });
  writeFileSync(join(bundleFolder, 'meta.json'), JSON.stringify(metafile));
  return metafile;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await bundle();
}
