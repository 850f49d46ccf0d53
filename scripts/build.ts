import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type BuildOptions, build, type Metafile, type Plugin } from 'esbuild';
import { bundleFolder, readJson, root } from './layout.ts';

/** The programs of the task; each becomes one file of the package. */
export const programs = ['step', 'clean-up', 'background'] as const;

/**
 * The libraries, each a file of its own that the programs share, with what they use of it. It is read and compiled when
 * it is needed, and not with the program.
 */
export const libraries: Readonly<
  Record<string, readonly { readonly from: string; readonly names: readonly string[] }[]>
> = {
  'azure-pipelines-task-lib': [
    {
      from: 'azure-pipelines-task-lib/task.js',
      names: [
        'command',
        'getEndpointAuthorization',
        'getEndpointUrl',
        'getInput',
        'getVariable',
        'setSecret',
        'setStdStream',
        'setTaskVariable',
        'setVariable',
      ],
    },
  ],
  'azure-devops-node-api': [
    { from: 'azure-devops-node-api/AdoHttpClientBases.js', names: ['AdoHttpClient', 'AdoRestClient'] },
    { from: 'azure-devops-node-api/handlers/bearertoken.js', names: ['BearerCredentialHandler'] },
  ],
  'msal-node': [{ from: '@azure/msal-node', names: ['ConfidentialClientApplication'] }],
};

/**
 * What a step needs only where something fails: a file of its own that is loaded then. Its modules hold nothing that the
 * step changes, so the background process can have them too, within its own file: it must not depend on a file that an
 * update of the task may have removed.
 */
export const explanation: Readonly<Record<string, readonly string[]>> = {
  'failure/catalogue.ts': [
    'certificateFault',
    'codeOfAadsts',
    'codeOfDevOpsNumber',
    'codeOfNodeError',
    'entryOf',
    'isTransientNodeError',
    'knownAadsts',
  ],
  'publish/difference.ts': ['difference'],
  'publish/missing-credential.ts': ['creationCommands', 'credentialName', 'listCommands', 'powerShellCommands'],
};

/** Files that no program begins with: what stands in them, and from where. */
const shared: typeof libraries = {
  ...libraries,
  explanation: Object.entries(explanation).map(([module, names]) => ({
    from: `./tasks/EntraTokenV1/${module}`,
    names,
  })),
};

/** All that the programs load of the package. */
export const sharedFiles: readonly string[] = Object.keys(shared);

/** What starts them, on any Node; it goes into the package as it is written. */
export const entryFiles = ['main', 'post-job', 'newer-node'] as const;

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
  semver: { of: 'task-lib', why: 'compares versions; a comparison of three numbers takes its place' },
  './vault': {
    of: 'task-lib',
    why: 'encrypts the values that the step is given, with a key that it writes into the job’s temporary folder; they are kept in memory alone',
  },
  './OnBehalfOfClient.mjs': {
    of: 'MSAL',
    why: 'exchanges a user’s token; this task has the client credentials flow alone',
  },
  './UsernamePasswordClient.mjs': { of: 'MSAL', why: 'signs in with a password' },
  './UserFederatedIdentityCredentialClient.mjs': { of: 'MSAL', why: 'gets a token for a user' },
  '../protocol/Authorize.mjs': { of: 'MSAL', why: 'begins a sign-in in a browser' },
  './client/AuthorizationCodeClient.mjs': { of: 'MSAL', why: 'completes a sign-in in a browser' },
  './client/RefreshTokenClient.mjs': { of: 'MSAL', why: 'renews a user’s token' },
  './client/SilentFlowClient.mjs': { of: 'MSAL', why: 'reads a user’s token from the cache' },
  './serializer/Serializer.mjs': { of: 'MSAL', why: 'saves its cache' },
  './serializer/Deserializer.mjs': { of: 'MSAL', why: 'loads its cache' },
};

/** Parts of Node that are needed late or never: loaded when they are first touched, and not with what imports them. */
const loadedLate: Readonly<Record<string, { readonly for: string; readonly functions?: readonly string[] }>> = {
  child_process: { for: 'task-lib, for running programs' },
  zlib: { for: 'typed-rest-client, for compressed answers' },
  'node:child_process': {
    for: 'the background process, icacls.exe, tasklist.exe and ps',
    functions: ['spawn', 'spawnSync'],
  },
  'node:fs/promises': { for: 'the pod’s token', functions: ['open', 'stat'] },
};

/** What takes the place of a module that task-lib does need. */
const standIns: Readonly<Record<string, string>> = {
  // All that it asks of semver: whether one version, of Node or of the agent, is before another.
  semver: `
    const numbers = (version) => version.split(/[.+-]/).map(Number);
    exports.lt = (version, other) => {
      const [theirs, ours] = [numbers(other), numbers(version)];
      const at = [0, 1, 2].find((place) => ours[place] !== theirs[place]);
      return at !== undefined && ours[at] < theirs[at];
    };
  `,
  // As in the library, names are compared without their case, and an empty value takes a name away.
  './vault': `
    exports.Vault = class {
      #values = new Map();
      storeSecret(name, value) {
        const key = (name || '').toLowerCase();
        const isGiven = key !== '' && Boolean(value);
        isGiven ? this.#values.set(key, value) : this.#values.delete(key);
        return isGiven;
      }
      retrieveSecret(name) {
        return this.#values.get((name || '').toLowerCase());
      }
    };
  `,
};

const leaveOut: Plugin = {
  name: 'leave-out',
  setup({ onResolve, onLoad, resolve }) {
    const names = Object.keys(leftOut).map((name) => name.replace(/[./]/g, '\\$&'));
    onResolve({ filter: new RegExp(`^(?:${names.join('|')})$`) }, async ({ path, pluginData, ...from }) => {
      if (pluginData === 'as it is') {
        return undefined;
      }
      const found = path.endsWith('.mjs') ? await resolve(path, { ...from, pluginData: 'as it is' }) : undefined;
      return { path, namespace: 'left-out', pluginData: found?.path, sideEffects: false };
    });
    onLoad({ filter: /.*/, namespace: 'left-out' }, ({ path, pluginData }) => {
      const failing = `function leftOut() { throw new Error(${JSON.stringify(`${path} is left out of the bundle`)}); }`;
      const standIn = standIns[path];
      if (standIn !== undefined) {
        return { contents: standIn };
      }
      if (typeof pluginData === 'string') {
        return {
          contents: exportsOf(pluginData)
            .map((name) => `export ${failing.replace('leftOut', name)}`)
            .join('\n'),
        };
      }
      return {
        contents: `module.exports = new Proxy({}, { get(target, name) {
          if (name === '__esModule' || name === 'then') return undefined;
          return ${failing};
        } });`,
      };
    });
  },
};

/** The names that a module of MSAL exports. */
function exportsOf(path: string): string[] {
  const [, names = ''] = /^export \{ (.*) \};$/m.exec(readFileSync(path, 'utf8')) ?? [];
  return names.split(', ');
}

/** MSAL’s package does not say, as its common part does, that what nobody uses of it may be left out. */
const shakeMsal: Plugin = {
  name: 'shake-msal',
  setup({ onResolve, resolve }) {
    onResolve({ filter: /^\./ }, async ({ path, pluginData, ...from }) =>
      pluginData !== 'as it is' && from.importer.includes('@azure/msal-node')
        ? { ...(await resolve(path, { ...from, pluginData: 'as it is' })), sideEffects: false }
        : undefined,
    );
  },
};

const loadLate: Plugin = {
  name: 'load-late',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: new RegExp(`^(?:${Object.keys(loadedLate).join('|')})$`) }, ({ path, importer, namespace }) =>
      namespace === 'loaded-late' || importer.includes('node_modules') === path.startsWith('node:')
        ? undefined
        : { path, namespace: 'loaded-late' },
    );
    onLoad({ filter: /.*/, namespace: 'loaded-late' }, ({ path }) => {
      const part = `require('node:${path.replace('node:', '')}')`;
      const functions = loadedLate[path]?.functions;
      return {
        contents:
          functions === undefined
            ? `module.exports = new Proxy({}, { get: (target, name) => ${part}[name] });`
            : functions.map((name) => `export const ${name} = (...given) => ${part}.${name}(...given);`).join('\n'),
      };
    });
  },
};

/** In the programs, an import of a library is one of its file. */
const shareLibraries: Plugin = {
  name: 'share-libraries',
  setup({ onResolve }) {
    for (const [name, parts] of Object.entries(libraries)) {
      for (const { from } of parts) {
        onResolve({ filter: new RegExp(`^${from.replace(/[./]/g, '\\$&')}$`) }, () => ({
          path: `./${name}.js`,
          external: true,
        }));
      }
    }
  },
};

const TASK = join(root, 'tasks', 'EntraTokenV1');

/** In the step, a function of these modules loads their file when it is called. */
const explainLate: Plugin = {
  name: 'explain-late',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^\.\.?\/.*\.ts$/ }, ({ path, resolveDir }) => {
      const module = relative(TASK, join(resolveDir, path)).replaceAll('\\', '/');
      return Object.hasOwn(explanation, module) ? { path: module, namespace: 'explained-late' } : undefined;
    });
    onResolve({ filter: /^\.\/explanation\.js$/ }, ({ path }) => ({ path, external: true }));
    onLoad({ filter: /.*/, namespace: 'explained-late' }, ({ path }) => ({
      contents: (explanation[path] ?? [])
        .map((name) => `export const ${name} = (...given) => require('./explanation.js').${name}(...given);`)
        .join('\n'),
    }));
  },
};

/** The file of a library, or of what explains a failure: what the programs use of it. */
const libraryEntries: Plugin = {
  name: 'library-entries',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^library:/ }, ({ path }) => ({ path, namespace: 'library' }));
    onLoad({ filter: /.*/, namespace: 'library' }, ({ path }) => ({
      contents: (shared[path.replace('library:', '')] ?? [])
        .map(({ from, names }) => `export { ${names.join(', ')} } from '${from}';`)
        .join('\n'),
      resolveDir: root,
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
  // Of what is loaded late too, as a file of CommonJS: Node's loader of ES modules takes longer to start.
  supported: { 'dynamic-import': false },
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
  const common = { ...bundleOptions, absWorkingDir: root, outdir: bundleFolder, metafile: true } as const;
  const define = {
    DOCS_URL: JSON.stringify(`${homepage}/blob/main/docs`),
    TASK_VERSION: JSON.stringify(version ?? manifest['version']),
  };
  const built = await Promise.all([
    ...programs.map((name) =>
      build({
        ...common,
        entryPoints: [join(TASK, `${name}.ts`)],
        plugins: [shareLibraries, ...(name === 'step' ? [explainLate] : []), loadLate],
        define,
      }),
    ),
    build({
      ...common,
      entryPoints: Object.keys(shared).map((name) => ({ in: `library:${name}`, out: name })),
      plugins: [libraryEntries, leaveOut, shakeMsal, loadLate],
    }),
  ]);
  const metafile = {
    inputs: Object.assign({}, ...built.map(({ metafile: { inputs } }) => inputs)),
    outputs: Object.assign({}, ...built.map(({ metafile: { outputs } }) => outputs)),
  };
  writeFileSync(join(bundleFolder, 'meta.json'), JSON.stringify(metafile));
  return metafile;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await bundle();
}
