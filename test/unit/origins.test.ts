import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { upperCaseNames } from '../../tasks/EntraTokenV1/origins/environment.ts';
import { type OriginFacts, type Origins, readOrigins } from '../../tasks/EntraTokenV1/origins/origins.ts';

const folder = mkdtempSync(join(tmpdir(), 'origins-'));
after(() => rmSync(folder, { recursive: true, force: true }));

/** What a task is started with: the variables as the agent writes them, over what the machine has. */
function read({
  variables = {},
  secrets = [],
  machine = {},
  ...facts
}: Partial<OriginFacts> & {
  variables?: Record<string, string>;
  secrets?: string[];
  machine?: Record<string, string>;
} = {}): Origins {
  const own = Object.entries(variables).map(([name, value]) => [name.replaceAll(/[. ]/g, '_').toUpperCase(), value]);
  return readOrigins({
    environment: {
      ...machine,
      ...Object.fromEntries(own),
      VSTS_PUBLIC_VARIABLES: JSON.stringify(Object.keys(variables)),
      VSTS_SECRET_VARIABLES: JSON.stringify(secrets),
    },
    platform: 'linux',
    place: { node: [], task: '' },
    workingFolder: undefined,
    ...facts,
  });
}

describe('whose a value of the environment is', () => {
  const spellings = ['AZURE_AUTHORITY_HOST', 'azure_authority_host', 'Azure.Authority Host', 'azure.authority.host'];
  for (const name of spellings) {
    it(`is the pipeline's for a variable ${name}`, () => {
      const origins = read({ variables: { [name]: 'https://evil.example' }, machine: { AZURE_AUTHORITY_HOST: 'x' } });
      assert.equal(origins.machine('AZURE_AUTHORITY_HOST'), undefined);
      assert.deepEqual(origins.environment('AZURE_AUTHORITY_HOST'), {
        value: 'https://evil.example',
        owner: 'pipeline',
      });
    });
  }

  it("is the machine's where no variable has the name", () => {
    const origins = read({ variables: { OTHER: 'x' }, machine: { AZURE_CLIENT_ID: 'pod' } });
    assert.equal(origins.machine('AZURE_CLIENT_ID'), 'pod');
  });

  it("is the pipeline's for a variable that kept its case, too", () => {
    const origins = read({ variables: { https_proxy: 'x' }, machine: { https_proxy: 'http://evil' } });
    assert.equal(origins.environment('https_proxy')?.owner, 'pipeline');
  });

  it("is the pipeline's where the agent's list is missing or no list", () => {
    for (const VSTS_PUBLIC_VARIABLES of [undefined, '', 'no JSON', '{}']) {
      const environment = { A: '1', ...(VSTS_PUBLIC_VARIABLES === undefined ? {} : { VSTS_PUBLIC_VARIABLES }) };
      assert.equal(read({ environment }).machine('A'), undefined);
    }
  });

  for (const VSTS_PUBLIC_VARIABLES of ['["INPUT_SCOPES=arm"]', '["A="]', '[]=x']) {
    it(`is nobody's to tell with the list ${VSTS_PUBLIC_VARIABLES}`, () => {
      assert.equal(read({ environment: { VSTS_PUBLIC_VARIABLES } }).variables.areForged, true);
    });
  }

  it('is not changed by what happens to the environment later, and on Windows has no case', () => {
    const environment: NodeJS.ProcessEnv = { SystemRoot: 'C:\\Windows', VSTS_PUBLIC_VARIABLES: '[]' };
    const origins = read({ environment, platform: 'win32' });
    environment['SystemRoot'] = 'D:\\evil';
    assert.equal(origins.machine('SYSTEMROOT'), 'C:\\Windows');
  });

  it('has the name that task-lib looks for on Windows, in whatever case a process set it before', () => {
    const given = { Input_Scopes: 'arm', secret_x: 's', Endpoint_Auth_1: '{}', Path: 'C:', INPUT_CLAIMS: '{}' };
    const [windows, linux] = [{ ...given }, { ...given }];
    upperCaseNames(windows, 'win32');
    upperCaseNames(linux, 'linux');
    assert.deepEqual(windows, {
      INPUT_SCOPES: 'arm',
      SECRET_X: 's',
      ENDPOINT_AUTH_1: '{}',
      Path: 'C:',
      INPUT_CLAIMS: '{}',
    });
    assert.deepEqual(linux, given);
  });

  it('is nothing for an empty text', () => {
    assert.equal(read({ machine: { A: '' } }).environment('A'), undefined);
  });
});

describe('a variable of the agent', () => {
  for (const { variables, standing } of [
    { variables: {}, standing: 'absent' },
    { variables: { 'agent.TempDirectory': '/t' }, standing: 'whole' },
    { variables: { AGENT_TEMPDIRECTORY: '/t' }, standing: 'whole' },
    { variables: { 'Agent TempDirectory': '/evil' }, standing: 'foreign' },
    { variables: { 'Agent TempDirectory': '/evil', Agent_TempDirectory: '/evil' }, standing: 'foreign' },
    { variables: { 'Agent.TempDirectory': '/t', Agent_TempDirectory: '/evil' }, standing: 'mixed' },
  ]) {
    it(`stands ${standing} among ${Object.keys(variables).join(', ') || 'none'}`, () => {
      assert.equal(read({ variables }).standing('Agent.TempDirectory'), standing);
    });
  }

  it('stands whole as a secret, and mixed beside another that has its name', () => {
    assert.equal(read({ secrets: ['system.accessToken'] }).standing('System.AccessToken'), 'whole');
    const variables = { System_AccessToken: 'x' };
    assert.equal(read({ secrets: ['system.accessToken'], variables }).standing('System.AccessToken'), 'mixed');
    assert.equal(read({ secrets: ['System AccessToken'] }).standing('System.AccessToken'), 'foreign');
  });

  it('stands whole where the machine itself has it, as some images do', () => {
    assert.equal(read({ machine: { AGENT_TEMPDIRECTORY: '/t' } }).standing('Agent.TempDirectory'), 'whole');
  });
});

describe('what else is read', () => {
  it('inputs are told from variables of such a name', () => {
    const origins = read({ variables: { 'input.scopes': 'x' }, machine: { INPUT_SCOPES: 'x', INPUT_SCOPE: 'arm' } });
    assert.deepEqual(origins.inputNames, ['SCOPE']);
    assert.deepEqual(origins.impostors('INPUT_SCOPES'), ['input.scopes']);
  });

  it('the variables of the job, and which are secret', () => {
    const { variables } = read({ variables: { tenantId: 'x' }, secrets: ['ARM_CLIENT_ID'] });
    assert.deepEqual(
      ['TENANTID', 'arm_client_id', 'other'].map((name) => [variables.has(name), variables.isSecret(name)]),
      [
        [true, false],
        [true, true],
        [false, false],
      ],
    );
  });

  for (const { machine, name } of [
    { machine: {}, name: undefined },
    // The Azure SDKs for JavaScript take it for every address.
    { machine: { HTTPS_PROXY: 'http://p' }, name: 'HTTPS_PROXY' },
    { machine: { HTTP_PROXY: 'http://p' }, name: 'HTTP_PROXY' },
    { machine: { http_proxy: 'http://p', NO_PROXY: 'localhost,.corp' }, name: 'http_proxy' },
    { machine: { http_proxy: 'http://p', NO_PROXY: 'localhost, 127.0.0.1' }, name: undefined },
    { machine: { http_proxy: 'http://p', NO_PROXY: '127.0.0.0/8' }, name: 'http_proxy' },
    { machine: { http_proxy: 'http://p', no_proxy: '*' }, name: 'http_proxy' },
    { machine: { ALL_PROXY: 'http://p', NO_PROXY: '127.0.0.1', no_proxy: '.corp' }, name: 'ALL_PROXY' },
  ]) {
    it(`the proxy of 127.0.0.1 is ${name ?? 'none'} with ${JSON.stringify(machine)}`, () => {
      assert.equal(read({ machine }).proxyOfLoopback, name);
    });
  }
});

describe("the agent's own files", () => {
  const root = join(folder, 'agent');
  const task = join(root, '_work', '_tasks', 'EntraToken_x', '1.0.0');
  mkdirSync(task, { recursive: true });
  writeFileSync(join(root, '.agent'), '\uFEFF{"agentId":1}');
  writeFileSync(join(root, '.proxy'), 'http://proxy:3128\n');
  writeFileSync(join(root, '.certificates'), '{"skipServerCertValidation":true,"CACert":"/etc/corp.pem"}');

  for (const { title, place } of [
    {
      title: 'beside the Node that runs',
      place: { node: [join(root, 'externals', 'node24', 'bin', 'node')], task: '' },
    },
    { title: 'beside the work folder of the task', place: { node: ['node'], task } },
  ]) {
    it(`are found ${title}`, () => {
      assert.deepEqual(read({ place }).agentFiles(), {
        skipsCertificateValidation: true,
        certificates: { authorities: '/etc/corp.pem', clientCertificate: undefined, clientKey: undefined },
        proxy: 'http://proxy:3128',
      });
    });
  }

  it('are found where the agent says that its folder is, but not in a folder of the job', () => {
    const variables = { 'agent.homedirectory': root };
    assert.equal(read({ variables }).agentFiles()?.skipsCertificateValidation, true);
    assert.equal(read({ variables, workingFolder: root }).agentFiles(), undefined);
    const inSources = { 'agent.homedirectory': join(root, '_work', '1', 's') };
    assert.equal(read({ variables: inSources, workingFolder: join(root, '_work') }).agentFiles(), undefined);
  });

  it('are unknown where there are none', () => {
    const place = { node: ['/__a/externals/node20_1/bin/node'], task: '/__w/_tasks/x/1' };
    assert.equal(read({ place }).agentFiles(), undefined);
    // Where there is no such folder, the agent's word counts; not that of a variable with a like name.
    const variables = { 'agent.TempDirectory': '/t' };
    assert.equal(read({ place, variables }).temporaryFolder, '/t');
    assert.equal(read({ place, variables: { 'Agent TempDirectory': '/evil' } }).temporaryFolder, undefined);
  });

  it('and the place of the task tell the temporary folder, whatever a variable says', () => {
    mkdirSync(join(root, '_work', '_temp'), { recursive: true });
    const variables = { 'agent.TempDirectory': '/evil' };
    assert.equal(read({ place: { node: [], task }, variables }).temporaryFolder, join(root, '_work', '_temp'));
  });
});

describe("the job's folders", () => {
  const work = join(folder, 'work');
  const sources = join(work, '1', 's');
  const outside = join(folder, 'outside');
  for (const path of [sources, outside]) {
    mkdirSync(path, { recursive: true });
  }
  writeFileSync(join(sources, 'ca.pem'), '');
  writeFileSync(join(outside, 'ca.pem'), '');
  symlinkSync(join(sources, 'ca.pem'), join(outside, 'link.pem'));
  symlinkSync(join(outside, 'ca.pem'), join(sources, 'link.pem'));
  const { isInJobFolders } = read({
    place: { node: [], task: join(work, '_tasks', 'x', '1') },
    workingFolder: sources,
  });

  for (const [path, isInside] of [
    [join(sources, 'ca.pem'), true],
    [join(work, '_temp', 'x'), true],
    [join(outside, 'ca.pem'), false],
    [join(outside, 'link.pem'), true],
    [join(sources, 'link.pem'), true],
    [join(outside, '..', 'work', 'x'), true],
    [`${work}-other`, false],
    ['/proc/self/environ', true],
    ['/proc/self/cwd/x', true],
    ['/dev/fd/3', true],
    ['/etc/ssl/corp.pem', false],
  ] as const) {
    it(`${isInside ? 'have' : 'do not have'} ${path.replace(folder, '')}`, () => {
      assert.equal(isInJobFolders(path), isInside);
    });
  }

  it('stay what they are where a variable names others', () => {
    const variables = { 'System.DefaultWorkingDirectory': '/elsewhere', 'Agent.WorkFolder': '/' };
    const origins = read({ variables, workingFolder: sources });
    assert.equal(origins.isInJobFolders(join(sources, 'ca.pem')), true);
    assert.equal(origins.isInJobFolders(join(outside, 'ca.pem')), false);
  });
});
