import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { fakeExtension, printed, said, stepOf } from './fake-task.ts';
import type { TaskResult } from './job.ts';
import { CONNECTIONS, PRINT_ENVIRONMENT, RUN_TASK, step } from './run-task.ts';

const extension = fakeExtension(RUN_TASK);
after(() => extension.remove());
const { run } = extension;

describe('the environment of a task', () => {
  it('has variables, secrets, inputs and visible endpoints, each in its form', async () => {
    const result = await run(
      `
steps:
- task: run@1
  name: s
  inputs: { code: '${PRINT_ENVIRONMENT}', azureSubscription: prod }
  env: { ' MAPPED ': ' $(secret.one) ', STAGE: beaten }
`,
      {
        jobToken: 'job-token',
        connections: CONNECTIONS,
        variables: { stage: 'blue', 'a.b c-d': 'x', 'system.jobId': 'job-1' },
        secretVariables: { 'secret.one': 'hidden-1' },
        environment: { FROM_AGENT: 'yes' },
        scriptEnvironment: { TOOLS: 'here' },
      },
    );
    const environment = printed(stepOf(result, 's'));
    assert.equal(environment['TOOLS'], undefined, 'is for scripts alone');
    const key = '11111111-1111-1111-1111-111111111111';
    const expected: Record<string, string | undefined> = {
      MAPPED: 'hidden-1',
      STAGE: 'blue',
      'A_B_C-D': 'x',
      SYSTEM_JOBID: 'job-1',
      SECRET_SECRET_ONE: 'hidden-1',
      SECRET_ONE: undefined,
      SECRET_SYSTEM_ACCESSTOKEN: 'job-token',
      SYSTEM_ACCESSTOKEN: undefined,
      INPUT_CONNECTEDSERVICENAMEARM: key,
      INPUT_AZURESUBSCRIPTION: undefined,
      INPUT_EMPTY: '',
      [`ENDPOINT_URL_${key}`]: 'https://management.azure.com/',
      [`ENDPOINT_AUTH_${key}`]:
        '{"parameters":{"tenantid":"tenant-1","serviceprincipalid":"client-1"},"scheme":"WorkloadIdentityFederation"}',
      [`ENDPOINT_AUTH_SCHEME_${key}`]: 'WorkloadIdentityFederation',
      [`ENDPOINT_AUTH_PARAMETER_${key}_SERVICEPRINCIPALID`]: 'client-1',
      [`ENDPOINT_DATA_${key}_SUBSCRIPTIONID`]: 'sub-blue',
      [`ENDPOINT_DATA_${key}_DOTTED_KEY_NAME`]: 'v',
      ENDPOINT_URL_SYSTEMVSSCONNECTION: 'https://dev.azure.com/example/',
      ENDPOINT_AUTH_PARAMETER_SYSTEMVSSCONNECTION_ACCESSTOKEN: 'job-token',
      ENDPOINT_DATA_SYSTEMVSSCONNECTION: undefined,
      'ENDPOINT_URL_22222222-2222-2222-2222-222222222222': undefined,
      TF_BUILD: 'True',
      'agent.jobstatus': 'Succeeded',
      AGENT_JOBSTATUS: 'Succeeded',
      TASK_DISPLAYNAME: 'Run',
      FROM_AGENT: 'yes',
      NODE_TEST_CONTEXT: undefined,
    };
    for (const [name, value] of Object.entries(expected)) assert.equal(environment[name], value, name);
    assert.deepEqual(JSON.parse(environment['VSTS_SECRET_VARIABLES'] ?? ''), ['system.accessToken', 'secret.one']);
    assert.ok(JSON.parse(environment['VSTS_PUBLIC_VARIABLES'] ?? '').includes('a.b c-d'));
    assert.match(environment['VSTS_PROCESS_LOOKUP_ID'] ?? '', /^vsts_[0-9a-f-]{36}$/);
    for (const secret of ['hidden-1', 'job-token', 'client-1']) assert.equal(result.log.join().includes(secret), false);
    assert.ok(result.log.join().includes('tenant-1'), 'the tenant is known to be harmless');
  });

  it('has no job token, and no connection of its own, where the job has none', async () => {
    const environment = printed(stepOf(await run(`steps:\n${step(PRINT_ENVIRONMENT)}`), 's'));
    const names = Object.keys(environment).filter((name) => /ACCESSTOKEN|SYSTEMVSSCONNECTION/.test(name));
    assert.deepEqual(names, []);
  });

  it('lets the later of two variables win that collide', async () => {
    const variables = { 'x.y': '1', 'x y': '2', x_y: '3' };
    const environment = printed(stepOf(await run(`steps:\n${step(PRINT_ENVIRONMENT)}`, { variables }), 's'));
    assert.equal(environment['X_Y'], '3');
  });

  it('carries the proxy and the certificates of the agent, and sets nothing for the tools', async () => {
    const result = await run(`steps:\n${step(PRINT_ENVIRONMENT)}`, {
      proxy: { url: 'http://proxy:3128', username: 'u', password: 'pr0xy', bypass: ['\\.local$'] },
      certificates: { ca: '/ca.pem', clientCert: '/c.pem', clientCertPassword: 'p4ss', skipValidation: true },
    });
    const environment = printed(stepOf(result, 's'));
    const expected = {
      AGENT_PROXYURL: 'http://proxy:3128',
      AGENT_PROXYUSERNAME: 'u',
      AGENT_PROXYPASSWORD: undefined,
      SECRET_AGENT_PROXYPASSWORD: 'pr0xy',
      AGENT_PROXYBYPASSLIST: '["\\\\.local$"]',
      AGENT_CAINFO: '/ca.pem',
      AGENT_CLIENTCERT: undefined,
      SECRET_AGENT_CLIENTCERTPASSWORD: undefined,
      AGENT_SKIPCERTVALIDATION: 'True',
      HTTPS_PROXY: undefined,
      NODE_EXTRA_CA_CERTS: undefined,
    };
    for (const [name, value] of Object.entries(expected)) assert.equal(environment[name], value, name);
  });

  it('cannot hold a null character, and the error does not show the value', async () => {
    const result = await run(`steps:\n${step('0')}`, { variables: { odd: 'left\0right' } });
    assert.equal(result.result, 'Failed');
    assert.match(result.log.join('\n'), /variable 'ODD' holds a null character/);
    assert.doesNotMatch(result.log.join('\n'), /right/);
  });
});

describe('the inputs of a task', () => {
  it('are defaulted, trimmed, expanded once from variables, then from the agent, and rooted', async () => {
    const result = await run(
      `
steps:
- task: Run@1
  name: s
  inputs:
    code: '${PRINT_ENVIRONMENT}'
    TEXT: '  $(padded)|$(nested)|$(unknown)|$(FROM_AGENT)  '
    undeclared.input: ' $(stage) '
    empty: '   '
`,
      {
        variables: { stage: 'blue', padded: ' p ', 'nested.by': 'x', nested: '$(AGENT_ONLY)' },
        environment: { FROM_AGENT: 'yes', AGENT_ONLY: 'second pass' },
      },
    );
    const environment = printed(stepOf(result, 's'));
    assert.equal(environment['INPUT_TEXT'], ' p |second pass|$(unknown)|yes', 'what a variable brings is not trimmed');
    assert.equal(environment['INPUT_UNDECLARED_INPUT'], 'blue');
    assert.equal(environment['INPUT_FLAG'], 'true');
    assert.equal(environment['INPUT_EMPTY'], '');
    assert.equal(environment['INPUT_PATH'], environment['BUILD_SOURCESDIRECTORY'], 'an empty path is the sources');
  });

  it('keep their default where the step gives none, and paths are rooted in the sources', async () => {
    const inputs = `{ code: '${PRINT_ENVIRONMENT}', path: sub/../file }`;
    const result = await run(`steps: [{ task: Run@1, name: s, inputs: ${inputs} }]`, { variables: { stage: 'blue' } });
    const environment = printed(stepOf(result, 's'));
    assert.equal(environment['INPUT_TEXT'], 'blue-default');
    assert.equal(environment['INPUT_PATH'], join(environment['BUILD_SOURCESDIRECTORY'] ?? '', 'file'));
  });

  const [prod, other] = ['11111111-1111-1111-1111-111111111111', '22222222-2222-2222-2222-222222222222'];
  const connections: [given: string, id: string, visible: number, why: string][] = [
    ['PROD', `${prod}`, 1, 'a name, without regard to case'],
    [`${other}`, `${other}`, 1, 'an ID'],
    ['prod, other', `${prod},${other}`, 2, 'a list'],
    ['$(which)', `${other}`, 1, 'a variable that holds a name'],
    ['nowhere', 'nowhere', 0, 'an unknown name stays as it is'],
    ['', '', 0, 'none'],
  ];
  for (const [given, id, visible, why] of connections) {
    it(`name connections as '${given}': ${why}`, async () => {
      const inputs = `{ code: '${PRINT_ENVIRONMENT}', azureSubscription: '${given}' }`;
      const options = { connections: CONNECTIONS, variables: { which: 'other' } };
      const result = await run(`steps: [{ task: Run@1, name: s, inputs: ${inputs} }]`, options);
      const environment = printed(stepOf(result, 's'));
      assert.equal(environment['INPUT_CONNECTEDSERVICENAMEARM'], id);
      assert.equal(Object.keys(environment).filter((name) => name.startsWith('ENDPOINT_URL_')).length, visible);
    });
  }

  it('name the connections whose parameters are masked', async () => {
    const inputs = '{ code: \'console.log("client-1 k3y")\', azureSubscription: other }';
    const result = await run(`steps: [{ task: Run@1, name: s, inputs: ${inputs} }]`, { connections: CONNECTIONS });
    assert.equal(said(stepOf(result, 's')).at(-1), 'client-1 ***');
  });
});

describe('a script', () => {
  it('sees public variables and what is mapped, and nothing of tasks', async () => {
    const result = await run(
      `
steps:
- bash: |
    node -e '${PRINT_ENVIRONMENT}'
    pwd
  env: { TOKEN: $(hidden) }
  workingDirectory: $(Agent.TempDirectory)
`,
      {
        jobToken: 'job-token',
        connections: CONNECTIONS,
        secretVariables: { hidden: 'abc' },
        variables: { shown: 'x' },
        scriptEnvironment: { TOOLS: 'here' },
      },
    );
    const bash = stepOf(result, 'Bash');
    const environment = printed(bash);
    assert.deepEqual([environment['TOKEN'], environment['SHOWN'], environment['TF_BUILD']], ['abc', 'x', 'True']);
    assert.equal(environment['TOOLS'], 'here');
    assert.equal(said(bash).at(-1), environment['AGENT_TEMPDIRECTORY']);
    const strange = Object.keys(environment).filter((name) =>
      /^(SECRET_|INPUT_|ENDPOINT_|VSTS_(PUB|SEC|TASK))/.test(name),
    );
    assert.deepEqual(strange, []);
    assert.match(environment['VSTS_PROCESS_LOOKUP_ID'] ?? '', /^vsts_/);
    assert.deepEqual(result.leftover, [], 'the script itself is gone');
  });

  it('has its macros expanded, and its commands carried out', async () => {
    const result = await run(`
steps:
- bash: |
    echo '##vso[task.setvariable variable=v;isoutput=true]one'
    echo "[$(a.v)][$(unset)]"
  name: a
- script: echo "[$(a.v)] $A_V"
`);
    assert.ok(said(stepOf(result, 'a')).includes('[][]'), 'not in the same step');
    assert.equal(said(stepOf(result, 'CmdLine')).at(-1), '[one] one');
  });

  const ends: [yaml: string, result: TaskResult, message: RegExp][] = [
    ['bash: exit 3', 'Failed', /##\[error\]Bash exited with code '3'\./],
    ['bash: echo x >&2', 'Succeeded', /^x$/m],
    ['{ bash: echo x >&2, failOnStderr: true }', 'Failed', /standard error stream/],
    ['{ bash: exit 1, continueOnError: true }', 'SucceededWithIssues', /exited with code '1'/],
    ['bash: "false; true"', 'Succeeded', /Finishing: Bash/],
    ['bash: kill -9 $$', 'Failed', /exited with code '137'/],
  ];
  for (const [yaml, result, message] of ends) {
    it(`that is '${yaml}' ends as ${result}`, async () => {
      const job = await run(`steps:\n- ${yaml}`);
      assert.equal(job.result, result);
      assert.match(job.log.join('\n'), message);
    });
  }
});
