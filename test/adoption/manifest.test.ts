import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { findChromium } from '../../scripts/browser.ts';
import { holds, inputsOfRule, visibleInputs } from '../../scripts/form.ts';
import { taskSources } from '../../scripts/imports.ts';
import { readJson, root } from '../../scripts/layout.ts';
import { readManifest } from '../../scripts/manifest.ts';
import { pictures, stalePicture, stalePictures } from '../../scripts/pictures.ts';
import { readPng } from '../../scripts/png.ts';
import type { Agent, Endpoint } from '../../tasks/EntraTokenV1/agent/agent.ts';
import { readIdToken } from '../../tasks/EntraTokenV1/id-token/id-token.ts';
import { exportFacts, exportVariables } from '../../tasks/EntraTokenV1/publish/exports.ts';
import { MEMORY } from '../../tasks/EntraTokenV1/publish/left-over.ts';
import { publish } from '../../tasks/EntraTokenV1/publish/outputs.ts';
import { publicCloud } from '../../tasks/EntraTokenV1/request/clouds.ts';
import {
  type CredentialSource,
  credentialSources,
  endpointKinds,
  exportKinds,
  type InputName,
  inputNames,
} from '../../tasks/EntraTokenV1/request/inputs.ts';
import { POD_MEMORY } from '../../tasks/EntraTokenV1/request/pod.ts';
import { type Request, readRequest } from '../../tasks/EntraTokenV1/request/request.ts';
import type { OpenSource } from '../../tasks/EntraTokenV1/source/source.ts';
import { isRecord } from '../../tasks/EntraTokenV1/text/json.ts';
import { Secret } from '../../tasks/EntraTokenV1/text/secret.ts';
import { fakeAgent } from '../unit/fake-agent.ts';

const manifest = readManifest();
const input = (name: string) => {
  const found = manifest.inputs.find((candidate) => candidate.name === name);
  assert.ok(found, `task.json has no input ${name}`);
  return found;
};

describe('the rules of the classic editor', () => {
  const values: Record<string, string> = { source: 'azureRM', exports: 'tokenFile,azcopy', flag: 'true' };
  const cases: [rule: string, holds: boolean][] = [
    ['', true],
    ['source = azureRM', true],
    ['source = azurerm', true],
    ['source = pipeline', false],
    ['source != pipeline', true],
    ['flag == true', true],
    ['exports contains azcopy', true],
    ['exports notContains azcopy', false],
    ['exports startsWith token', true],
    ['exports endsWith azcopy', true],
    ['source in azureRM, pipeline', true],
    ['source notIn azureRM, pipeline', false],
    ['missing = ""', true],
    ['source = azureRM && flag = true', true],
    ['source = azureRM && flag = false', false],
    ['source = pipeline || flag = true', true],
  ];
  for (const [rule, expected] of cases) {
    it(`'${rule}' is ${expected}`, () =>
      assert.equal(
        holds(rule, (name) => values[name] ?? ''),
        expected,
      ));
  }

  for (const rule of ['a = 1 && b = 2 || c = 3', 'a', 'a like b']) {
    it(`'${rule}' is none that the editor understands`, () => assert.throws(() => holds(rule, () => ''), SyntaxError));
  }
});

describe('the form', () => {
  const common = ['credentialSource', 'tenantId', 'scopes', 'exportIdToken', 'exportEnvironment', 'tokenEndpoint'];
  const advanced = ['authorityHost', 'claims', 'enableCae'];
  const shown: Record<CredentialSource, string[]> = {
    azureRM: [...['connectedServiceNameARM', 'kubernetesFallback'], ...['additionallyAllowedTenants', 'tokenFilePath']],
    azureDevOps: [
      ...['azureDevOpsServiceConnection', 'kubernetesFallback'],
      ...['additionallyAllowedTenants', 'tokenFilePath'],
    ],
    pipeline: ['clientId', 'kubernetesFallback', 'tokenFilePath'],
    kubernetes: ['clientId', 'tokenFilePath'],
  };
  for (const source of credentialSources) {
    it(`shows these inputs for ${source}, and no other`, () => {
      const names = visibleInputs(manifest, { credentialSource: source }).map(({ name }) => name);
      assert.deepEqual(names.sort(), [...common, ...advanced, ...shown[source]].sort());
    });
  }

  it('shows the first source where nothing was chosen', () => {
    assert.deepEqual(visibleInputs(manifest, {}), visibleInputs(manifest, { credentialSource: 'azureRM' }));
  });

  it('asks for the token file of the pod only where it can be used', () => {
    const names = visibleInputs(manifest, { kubernetesFallback: 'false' }).map(({ name }) => name);
    assert.ok(!names.includes('tokenFilePath'));
  });

  for (const [exports, expected] of [
    ['', false],
    // No tool of this export reads the file.
    ['azurePipelines', false],
    ['tokenFile', true],
    ['azurePipelines,workloadIdentity', true],
    ['terraform', true],
    ['azcopy', true],
  ] as const) {
    it(`${expected ? 'offers' : 'does not offer'} to keep the token file fresh for '${exports}'`, () => {
      const names = visibleInputs(manifest, { exportEnvironment: exports }).map(({ name }) => name);
      assert.equal(names.includes('keepTokenFileFresh'), expected);
    });
  }

  it('has rules over inputs that exist, and a group for each input', () => {
    const groups = manifest.groups.map(({ name }) => name);
    for (const { name, group, visibleRule } of manifest.inputs) {
      assert.ok(groups.includes(group), `${name} is in no group`);
      for (const other of visibleRule === '' ? [] : inputsOfRule(visibleRule)) {
        assert.ok(input(other), `${name} depends on ${other}`);
      }
    }
    assert.deepEqual(groups, ['identity', 'tokens', 'laterSteps', 'advanced']);
  });

  it('requires what its source cannot do without, and hides it for the others', () => {
    const required = manifest.inputs.filter(({ required: isRequired }) => isRequired).map(({ name }) => name);
    assert.deepEqual(required, ['credentialSource', 'connectedServiceNameARM', 'azureDevOpsServiceConnection']);
  });

  it('has help for each input that fits its bubble', () => {
    for (const { name, help, label } of manifest.inputs) {
      const shownText = help.replace(/\[([^\]]+)\]\([^)]+\)/g, '$1');
      assert.ok(shownText.length >= 20 && shownText.length <= 260, `${name}: ${shownText.length} characters of help`);
      assert.match(help, /[.)]$/, name);
      assert.ok(label.length <= 60 && !/[.:]$/.test(label), `${name}: ${label}`);
    }
  });

  it('names the task and the step briefly', () => {
    assert.ok(manifest.title.length <= 40, 'the catalogue cuts longer names');
    const names = [...manifest.instanceName.matchAll(/\$\((\w+)\)/g)].map(([, name = '']) => name);
    assert.deepEqual(names, ['credentialSource']);
    assert.notEqual(manifest.releaseNotes, '');
  });

  it('lets several exports be chosen, and written by hand', () => {
    for (const name of ['exportEnvironment', 'tokenEndpoint']) {
      assert.equal(input(name).properties.get('MultiSelectFlatList'), 'True');
      assert.equal(input(name).properties.get('EditableOptions'), 'True');
    }
  });
});

describe('task.json and the parser', () => {
  it('have the same inputs', () => {
    assert.deepEqual(manifest.inputs.map(({ name }) => name).sort(), [...inputNames].sort());
  });

  it('have the same options', () => {
    assert.deepEqual([...input('credentialSource').options.keys()], [...credentialSources]);
    assert.deepEqual([...input('exportEnvironment').options.keys()], [...exportKinds]);
    assert.deepEqual([...input('tokenEndpoint').options.keys()], [...endpointKinds]);
  });

  it('have the one alias of the interface', () => {
    const aliases = manifest.inputs
      .filter((item) => item.aliases.length > 0)
      .map((item) => [item.name, ...item.aliases]);
    assert.deepEqual(aliases, [['connectedServiceNameARM', 'azureSubscription']]);
  });

  it('agree on every default: the form left as it is says the same as no input at all', () => {
    const defaults = Object.fromEntries(manifest.inputs.map(({ name, defaultValue }) => [name, defaultValue]));
    const connection = { connectedServiceNameARM: 'c1' };
    const { job: _, ...fromForm } = readRequest(agentWith({ ...defaults, ...connection }));
    const { job: __, ...fromNothing } = readRequest(agentWith(connection));
    assert.deepEqual(fromForm, fromNothing);
    assert.equal(fromForm.source.kind, 'azureRM');
  });

  for (const source of credentialSources) {
    it(`agree that what the form shows for ${source} may be entered for it`, () => {
      // The compiler asks for a value of each input.
      const entries: Record<InputName, string> = {
        credentialSource: source,
        connectedServiceNameARM: 'c1',
        azureDevOpsServiceConnection: 'c1',
        tenantId: TENANT,
        clientId: CLIENT,
        kubernetesFallback: 'true',
        scopes: 'arm\nkv = keyVault',
        exportIdToken: 'true',
        exportEnvironment: 'tokenFile,workloadIdentity,terraform,azcopy',
        keepTokenFileFresh: 'true',
        tokenEndpoint: 'accessTokens,idTokens',
        authorityHost: 'https://login.microsoftonline.com/',
        additionallyAllowedTenants: '*',
        claims: '{}',
        enableCae: 'true',
        tokenFilePath: '/token',
      };
      const shown = visibleInputs(manifest, entries).map(({ name }) => [
        name,
        Object.entries(entries).find(([one]) => one === name)?.[1] ?? '',
      ]);
      assert.equal(readRequest(agentWith(Object.fromEntries(shown))).source.kind, source);
    });
  }
});

describe('the agents that can run the task', () => {
  // From which version on an agent runs what has this key (azure-pipelines-tasks: docs/migrateNode20.md, migrateNode24.md).
  const since: Record<string, string> = { Node20_1: '3.232.1', Node24: '4.265.0' };
  const compare = (a: string, b: string): number => a.localeCompare(b, 'en', { numeric: true });
  const task = readJson('tasks/EntraTokenV1/task.json');
  const handlersOf = (stage: string): string[] => Object.keys(isRecord(task[stage]) ? task[stage] : {});

  for (const stage of ['execution', 'postjobexecution']) {
    it(`are those that minimumAgentVersion says, by the handlers of ${stage}`, () => {
      const versions = handlersOf(stage).map(
        (handler) => since[handler] ?? assert.fail(`no version is known for ${handler}`),
      );
      // An agent passes over a handler that it does not know, and takes the next; without any, it fails the step.
      assert.equal(task['minimumAgentVersion'], versions.sort(compare)[0]);
    });
  }

  it('are named with the same version on every page', () => {
    for (const page of ['overview.md', 'README.md', ...readdirSync(join(root, 'docs')).map((name) => `docs/${name}`)]) {
      const text = page.endsWith('.md') ? readFileSync(join(root, page), 'utf8') : '';
      for (const [, version] of text.matchAll(/\bagents? (\d+\.\d+\.\d+) or later/gi)) {
        assert.equal(version, task['minimumAgentVersion'], page);
      }
    }
  });
});

describe('the variables that task.json declares', () => {
  it('list exactly the outputs that the step sets', () => {
    assert.deepEqual(manifest.outputs.map(({ name }) => name).sort(), [...everyOutput()].sort());
  });

  it('allow exactly what the step sets, and what a named line adds', () => {
    const named = ['accessToken', 'expiresOn', 'refreshOn'].map((name) => `*.${name}`);
    assert.deepEqual([...manifest.settable].sort(), [...everyOutput(), ...named, ...everyVariable()].sort());
  });

  it('tell which outputs are secret', () => {
    const secret = manifest.outputs.filter(({ description }) => description.startsWith('Secret.'));
    assert.deepEqual(secret.map(({ name }) => name).sort(), [
      'accessToken',
      'idToken',
      'idTokenRequestToken',
      'identityHeader',
    ]);
  });
});

describe('the version', () => {
  const version = String(readJson('package.json')['version']);

  it('is the same everywhere', () => {
    assert.equal(manifest.version, version);
    assert.equal(readJson('vss-extension.json')['version'], version);
    assert.equal(readJson('package-lock.json')['version'], version);
    const changelog = readFileSync(join(root, 'CHANGELOG.md'), 'utf8');
    assert.equal(/^## (\d+\.\d+\.\d+)/m.exec(changelog)?.[1], version);
  });

  it('has the task’s name for its major part', () => assert.equal(version.split('.')[0], '1'));
});

describe('vss-extension.json', () => {
  const extension = readJson('vss-extension.json');

  it('is private unless a release overrides that', () => assert.equal(extension['public'], false));

  it('has what the Marketplace page shows', () => {
    for (const key of ['name', 'description', 'publisher', 'categories', 'tags', 'icons', 'content', 'links']) {
      assert.ok(extension[key], key);
    }
    const workflow = 'https://github.com/entra-token/entra-token/actions/workflows/ci.yml';
    const imgUri = `${workflow}/badge.svg?branch=main`;
    assert.deepEqual(extension['badges'], [{ link: workflow, imgUri, description: 'Checks of the main branch' }]);
    assert.deepEqual(extension['categories'], ['Azure Pipelines']);
    assert.deepEqual(extension['scopes'], [], 'the extension asks for no permissions');
    assert.deepEqual(extension['content'], { details: { path: 'overview.md' }, license: { path: 'LICENSE' } });
    assert.ok(Array.isArray(extension['tags']) && extension['tags'].length >= 5);
    assert.ok(String(extension['description']).length <= 200, 'the Marketplace cuts longer descriptions');
  });
});

describe('the pictures', () => {
  const stale = stalePictures();
  for (const { file, sheet } of pictures()) {
    // Without Chromium, nobody can draw them anew; a change is not refused for that.
    const whyNot = stale.includes(file) && findChromium() === undefined ? stalePicture(file) : false;
    it(`${file} shows what it is drawn from`, { skip: whyNot }, () => {
      assert.ok(!stale.includes(file), stalePicture(file));
      const png = readPng(readFileSync(join(root, file)));
      assert.equal(png.width, sheet.width * (sheet.scale ?? 1));
      if (sheet.height !== undefined) {
        assert.equal(png.height, sheet.height * (sheet.scale ?? 1));
      }
    });
  }

  it('show the form of each source', () => {
    const files = pictures().map(({ file }) => file);
    for (const source of credentialSources) {
      assert.ok(files.includes(`docs/images/form-${source}.png`), source);
    }
  });
});

const TENANT = '8d3f5c1e-7a64-4b0f-9a51-2f6f0c7b4e19';
const CLIENT = '0a7d4c52-93be-4f18-8c6e-d5b1f2e3a947';

/** An agent of a job with one federated connection, which has these inputs. */
function agentWith(inputs: Record<string, string>): Agent {
  const parameters: Record<string, string> = { serviceprincipalid: CLIENT, tenantid: TENANT };
  const data: Record<string, string> = { subscriptionid: '7c0d2e9f-4b1a-4d63-8e5c-f6a7b8c9d0e1' };
  const connection: Endpoint = {
    scheme: 'WorkloadIdentityFederation',
    parameter: (name) => parameters[name.toLowerCase()],
    data: (name) => data[name.toLowerCase()],
  };
  const nothing = (): undefined => undefined;
  return {
    input: (name) => inputs[name] ?? '',
    variable: nothing,
    secretVariable: nothing,
    origins: fakeAgent({}).agent.origins,
    endpoint: (id) => (id === 'c1' ? connection : undefined),
    endpointUrl: nothing,
    mask: nothing,
    guard: nothing,
    setOutput: nothing,
    setVariable: nothing,
    setTaskVariable: nothing,
    log: nothing,
    logGroup: nothing,
    warn: nothing,
    succeed: nothing,
    fail: nothing,
  };
}

/** A request that asks for all that can be asked for, and a source that is open. */
function everything(source: CredentialSource): { request: Request; open: OpenSource } {
  const request = readRequest(
    agentWith({
      credentialSource: source,
      ...(source === 'azureRM' ? { connectedServiceNameARM: 'c1' } : { tenantId: TENANT, clientId: CLIENT }),
      ...(source === 'kubernetes' ? { tokenFilePath: '/token' } : {}),
      exportIdToken: 'true',
      exportEnvironment: exportKinds.filter((kind) => source === 'azureRM' || kind !== 'azurePipelines').join(','),
    }),
  );
  const claims = { iss: 'https://issuer', sub: 's', aud: publicCloud.idTokenAudience, iat: 1, exp: 2_000_000_000 };
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const first = readIdToken(`${part({ alg: 'none' })}.${part(claims)}.c2ln`, () => undefined);
  assert.ok(first);
  const open: OpenSource = {
    kind: source,
    first,
    skewMs: undefined,
    idToken: () => Promise.resolve(first),
    sendToEntra: () => Promise.reject(new Error('nothing is sent here')),
    renewal: undefined,
  };
  return { request, open };
}

/** The names of all outputs that the code can set: what `publish` sets, and what any file sets by a name of its own. */
function everyOutput(): Set<string> {
  const names = new Set<string>();
  const { request, open } = everything('azureRM');
  const token = {
    token: Secret.masked('token', () => undefined),
    tokenType: 'Bearer',
    expiresAt: 1,
    refreshAt: 1,
  } as const;
  const served = { url: 'http://127.0.0.1:1/', secret: token.token };
  const provided = { tokenFile: '/file', endpoint: { accessTokens: served, idTokens: served } };
  publish(request, open, new Map(request.scopes.map((line) => [line, token])), provided, {
    ...fakeAgent({}).agent,
    setOutput: (name) => names.add(name),
  });
  for (const text of taskSources().values()) {
    for (const [, name = ''] of text.matchAll(/setOutput\(\s*'(\w+)'/g)) {
      names.add(name);
    }
  }
  return names;
}

/** The names of all variables that exports can set. */
function everyVariable(): Set<string> {
  const names = new Set<string>([MEMORY, POD_MEMORY]);
  for (const source of ['azureRM', 'pipeline', 'kubernetes'] as const) {
    const { request, open } = everything(source);
    for (const name of exportVariables(exportFacts(request, open), '/file').keys()) {
      names.add(name);
    }
  }
  return names;
}
