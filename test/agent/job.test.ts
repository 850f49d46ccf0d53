import assert from 'node:assert/strict';
import { existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { fakeExtension, printed, said, stepOf } from './fake-task.ts';
import type { LogLine, ServiceConnection, TaskResult } from './job.ts';

const PRINT_ENVIRONMENT = 'console.log(JSON.stringify(process.env))';
const CONNECTIONS: ServiceConnection[] = [
  {
    id: '11111111-1111-1111-1111-111111111111',
    name: 'prod',
    type: 'AzureRM',
    url: 'https://management.azure.com',
    scheme: 'WorkloadIdentityFederation',
    parameters: { tenantid: 'tenant-1', serviceprincipalid: 'client-1' },
    data: { subscriptionId: 'sub-$(stage)', 'dotted.key name': 'v' },
  },
  {
    id: '22222222-2222-2222-2222-222222222222',
    name: 'other',
    type: 'AzureRM',
    url: 'https://example.com/x',
    scheme: 'ServicePrincipal',
    parameters: { serviceprincipalkey: 'k3y' },
  },
];

const extension = fakeExtension({
  inputs: [
    { name: 'connectedServiceNameARM', aliases: ['azureSubscription'], type: 'connectedService:AzureRM' },
    { name: 'text', type: 'string', defaultValue: '  $(stage)-default  ' },
    { name: 'flag', type: 'boolean', defaultValue: true },
    { name: 'path', type: 'filePath' },
    { name: 'empty', type: 'string' },
  ],
  outputVariables: [{ name: 'declared' }],
});
after(() => extension.remove());
const { run } = extension;

/** A step that runs JavaScript, in YAML. */
function step(code: string, more = ''): string {
  return `- task: Run@1\n  name: s\n  inputs: { code: ${JSON.stringify(code)} }\n${more}`;
}

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

describe('commands', () => {
  const effects: { name: string; code: string; result: TaskResult; lines: RegExp[]; none?: RegExp }[] = [
    {
      name: 'an error that is logged does not fail the step',
      code: 'console.log("##vso[task.logissue type=error]bad")',
      result: 'Succeeded',
      lines: [/^##\[error\]bad$/],
    },
    {
      name: 'an unknown event fails the step',
      code: 'console.log("##vso[task.nope]")',
      result: 'Failed',
      lines: [/Unable to process command '##vso\[task.nope\]' successfully/],
    },
    {
      name: 'an unknown area is a warning',
      code: 'console.log("##vso[foo.bar]x")',
      result: 'Succeeded',
      lines: [/^##\[warning\]Cannot find command extension for ##vso\[foo\.command\]/],
      none: /^##vso/,
    },
    {
      name: 'what is no command is printed, with a warning',
      code: 'console.log("a ##vso b")',
      result: 'Succeeded',
      lines: [/contains logging command keyword '##vso'/, /^a ##vso b$/],
    },
    {
      name: 'an area of another kind of job fails the step, and is printed',
      code: 'console.log("##vso[release.updatereleasename]x")',
      result: 'Failed',
      lines: [/release commands are not supported for build flow/, /^##vso\[release/],
    },
    {
      name: 'Cancelled is no result',
      code: 'console.log("##vso[task.complete result=Cancelled;]x")',
      result: 'Failed',
      lines: [/Command doesn't have valid result value/],
    },
    {
      name: 'the worst result counts, up to Failed',
      code: '"Failed Succeeded".split(" ").forEach(r => console.log("##vso[task.complete result=" + r + "]x"))',
      result: 'Failed',
      lines: [],
    },
    {
      name: 'commands on stderr count, and stderr is no failure',
      code: 'console.error("##vso[task.complete result=SucceededWithIssues]x"); console.error("text")',
      result: 'SucceededWithIssues',
      lines: [/^text$/],
    },
    {
      name: 'a carriage return starts a line, and so a command',
      code: 'process.stdout.write("progress\\r##vso[task.complete result=Failed]x")',
      result: 'Failed',
      lines: [/^progress$/],
    },
    {
      name: 'an exit code beats a result',
      code: 'console.log("##vso[task.complete result=Succeeded]x"); process.exitCode = 5',
      result: 'Failed',
      lines: [/^##\[error\]Exit code 5 returned from process: file name '.*', arguments '".*main.js"'\.$/],
    },
    {
      name: 'a secret of several lines is refused',
      code: 'console.log("##vso[task.setvariable variable=v;issecret=true]a%0Ab")',
      result: 'Failed',
      lines: [/Secrets cannot contain multiple lines/],
    },
    {
      name: 'setsecret takes several lines',
      code: 'console.log("##vso[task.setsecret]a%0Ab")',
      result: 'Succeeded',
      lines: [],
    },
    {
      name: 'a variable needs a name',
      code: 'console.log("##vso[task.setvariable ]x")',
      result: 'Failed',
      lines: [/Required field 'variable' is missing/],
    },
    {
      name: 'a variable of the agent is read-only',
      code: 'console.log("##vso[task.setvariable variable=agent.TempDirectory]/x")',
      result: 'Failed',
      lines: [/Overwriting readonly variable 'agent.TempDirectory' is not permitted/],
    },
    {
      name: 'a space after the semicolon makes it another property',
      code: 'console.log("##vso[task.setvariable variable=v; issecret=true]visible"); console.log("visible")',
      result: 'Succeeded',
      lines: [/^visible$/],
    },
    {
      name: 'a file to upload must be there',
      code: 'console.log("##vso[task.uploadsummary]/nowhere.md")',
      result: 'Failed',
      lines: [/attachment file does not exist/],
    },
    {
      name: 'telemetry of third parties is dropped',
      code: 'console.log("##vso[telemetry.publish]x")',
      result: 'Succeeded',
      lines: [],
    },
    {
      name: 'an issue at a place in the sources is rewritten',
      code: 'console.log("##vso[task.logissue type=warning;sourcepath=a.cs;linenumber=3;code=C1]odd%0Aindeed")',
      result: 'Succeeded',
      lines: [/^##\[warning\]a\.cs\(3,\): warning C1: odd$/, /^indeed$/],
    },
    {
      name: 'debug lines are not printed without system.debug',
      code: 'console.log("##vso[task.debug]detail")',
      result: 'Succeeded',
      lines: [],
      none: /detail/,
    },
  ];
  for (const { name, code, result, lines, none } of effects) {
    it(name, async () => {
      const job = await run(`steps:\n${step(code)}`);
      const only = stepOf(job, 's');
      assert.equal(only.result, result, only.lines.join('\n'));
      for (const line of lines)
        assert.ok(
          said(only).some((one) => line.test(one)),
          `${line} in ${said(only).join('\n')}`,
        );
      if (lines.length === 0) assert.deepEqual(said(only), []);
      if (none !== undefined)
        assert.equal(
          said(only).some((one) => none.test(one)),
          false,
        );
    });
  }

  it('set variables, outputs and secrets for later steps', async () => {
    const code = [
      'variable=plain]1',
      'variable=out;isoutput=true]2',
      'variable=declared]3',
      'variable=hidden;issecret=true]4-secret',
      'variable=hiddenOut;issecret=true;isoutput=true]5-secret',
      'variable=camelCase;preservecase=true]6',
    ].map((line) => `console.log("##vso[task.setvariable ${line}")`);
    const result = await run(`
steps:
${step(`${code.join(';')}; console.log("4-secret", process.env.PLAIN)`)}
- task: Run@1
  name: t
  inputs: { code: '${PRINT_ENVIRONMENT}', text: $(s.hiddenOut) $(declared) }
`);
    assert.deepEqual(said(stepOf(result, 's')), ['*** undefined']);
    const environment = printed(stepOf(result, 't'));
    const expected: Record<string, string | undefined> = {
      PLAIN: '1',
      S_OUT: '2',
      OUT: undefined,
      S_DECLARED: '3',
      DECLARED: undefined,
      SECRET_HIDDEN: '4-secret',
      HIDDEN: undefined,
      SECRET_S_HIDDENOUT: '5-secret',
      camelCase: '6',
      CAMELCASE: undefined,
      INPUT_TEXT: '5-secret $(declared)',
    };
    for (const [name, value] of Object.entries(expected)) assert.equal(environment[name], value, name);
    assert.deepEqual(stepOf(result, 's').outputs, { out: '2', declared: '3', hiddenOut: '5-secret' });
    assert.deepEqual(result.outputs, {
      's.out': { value: '2', secret: false },
      's.declared': { value: '3', secret: false },
      's.hiddenOut': { value: '5-secret', secret: true },
    });
    assert.deepEqual(result.variables['s.out'], { value: '2', secret: false, readOnly: true });
    assert.deepEqual(result.variables['s.declared'], { value: '3', secret: false, readOnly: false });
  });

  it('give a variable that mentions a secret its value, and its secrecy, in the next step', async () => {
    const code = "console.log('##vso[task.setvariable variable=a]$' + '(hidden)')";
    const result = await run(`steps:\n${step(code)}\n- bash: echo "$(a)" "$A"`, { secretVariables: { hidden: 'abc' } });
    assert.match(stepOf(result, 'Bash').rawOutput.stdout, /^abc \n$/);
    assert.equal(result.variables['a']?.secret, true);
  });

  it('overwrite an output of an earlier step only with a warning, where read-only is not enforced', async () => {
    const overwrite = 'echo "##vso[task.setvariable variable=a.v]new"';
    const yaml = `steps:\n- bash: echo "##vso[task.setvariable variable=v;isoutput=true]old"\n  name: a\n- bash: ${overwrite}`;
    const strict = await run(yaml.replace(overwrite, `'${overwrite}'`));
    assert.equal(strict.result, 'Failed');
    assert.equal(strict.variables['a.v']?.value, 'old');
    const lenient = await run(yaml.replace(overwrite, `'${overwrite}'`), { enforceReadOnly: false });
    assert.equal(lenient.result, 'Succeeded');
    assert.equal(lenient.variables['a.v']?.value, 'new');
    assert.equal(stepOf(lenient, 'Bash').issues[0]?.type, 'warning');
  });

  it("change endpoints and PATH for later steps, but never the job's own connection", async () => {
    const id = '11111111-1111-1111-1111-111111111111';
    const lines = [
      `##vso[task.setendpoint id=${id};field=authParameter;key=token]t0ken`,
      `##vso[task.setendpoint id=${id};field=url]https://changed.example/`,
      '##vso[task.setendpoint id=00000000-0000-0000-0000-000000000000;field=url]https://evil.example/',
      '##vso[task.prependpath]/first',
      '##vso[task.prependpath]/second',
    ];
    const result = await run(
      `
steps:
${step(`${JSON.stringify(lines)}.forEach((line) => console.log(line)); console.log("t0ken")`)}
- task: Run@1
  name: t
  inputs: { code: '${PRINT_ENVIRONMENT}', azureSubscription: prod }
`,
      { connections: CONNECTIONS, jobToken: 'job-token' },
    );
    const environment = printed(stepOf(result, 't'));
    assert.equal(environment[`ENDPOINT_AUTH_PARAMETER_${id}_TOKEN`], 't0ken');
    assert.equal(environment[`ENDPOINT_URL_${id}`], 'https://changed.example/');
    assert.equal(environment['ENDPOINT_URL_SYSTEMVSSCONNECTION'], 'https://dev.azure.com/example/');
    assert.match(environment['PATH'] ?? '', /^\/second:\/first:/);
    assert.ok(said(stepOf(result, 's')).includes('***'));
  });

  it('are restricted by the task and by the pipeline, with a warning alone', async () => {
    const lines = [
      '##vso[task.setvariable variable=myVar]1',
      '##vso[task.setvariable variable=other]2',
      '##vso[task.setvariable variable=other;issecret=true]k3y',
      '##vso[task.uploadfile]/etc/hostname',
      '##vso[task.settaskvariable variable=free]3',
      '##vso[task.prependpath]/x',
    ];
    const code = `${JSON.stringify(lines)}.forEach((line) => console.log(line)); console.log("k3y")`;
    const result = await run(`steps:\n${step(code, '  target: { commands: restricted, settableVariables: [my*] }')}`);
    const only = stepOf(result, 's');
    assert.equal(only.result, 'Succeeded');
    assert.equal(result.variables['myVar']?.value, '1');
    assert.equal(result.variables['other'], undefined);
    assert.deepEqual(only.attachments, []);
    assert.deepEqual(
      only.issues.map(({ message }) => message.replace(/ policy.*/, '')),
      [
        "Setting variable 'other' has been disabled by the task or build definition.",
        "Setting variable 'other' has been disabled by the task or build definition.",
        '##vso[task.uploadfile] is not allowed in this step due to',
        "Setting variable 'PATH' has been disabled by the task or build definition.",
      ],
    );
    assert.equal(said(only).at(-1), '***', 'a secret is masked even where it may not be set');
  });

  it('keep the first ten issues of a type, mask their messages and not their data', async () => {
    const code =
      'for (let n = 0; n < 12; n++) console.log("##vso[task.logissue type=error;code=abc]abc" + n); ' +
      'console.log("##vso[task.issue type=warning]w"); console.log("##vso[task.setprogress value=70]half"); ' +
      'console.log("##vso[task.setprogress value=30]")';
    const only = stepOf(await run(`steps:\n${step(code)}`, { secretVariables: { s: 'abc' } }), 's');
    assert.equal(only.issues.length, 11);
    assert.deepEqual(only.issues[0], { type: 'error', message: '***0', data: { type: 'error', code: 'abc' } });
    assert.equal(said(only).filter((line) => line.startsWith('##[error]')).length, 12);
    assert.equal(only.progress, 70);
  });

  it('are shown, masked, with system.debug', async () => {
    const code =
      'console.log("##vso[task.debug]more"); console.log("##vso[task.setvariable variable=v;issecret=true]abc")';
    const result = await run(`steps:\n${step(code)}`, { systemDebug: true });
    assert.deepEqual(said(stepOf(result, 's')), [
      '##[debug]more',
      '##[debug]Processed: ##vso[task.setvariable variable=v;issecret=true]***',
    ]);
  });

  it('attach files, which are read at the end of the job', async () => {
    const code = `
      const file = process.env.AGENT_TEMPDIRECTORY + "/note.md"; fs.writeFileSync(file, "early");
      console.log("##vso[task.uploadsummary]" + file);
      console.log("##vso[task.addattachment type=t;name=n]" + file);
      fs.writeFileSync(file, "late")`;
    const result = await run(`steps:\n${step(`const fs = require("fs"); ${code.replaceAll('\n', ' ')}`)}`);
    assert.deepEqual(
      stepOf(result, 's').attachments.map(({ type, name, content }) => [type, name, content]),
      [
        ['DistributedTask.Core.Summary', 'note.md', 'late'],
        ['t', 'n', 'late'],
      ],
    );
    assert.deepEqual(result.leftover, ['note.md']);
  });

  it('end a step that says it is done, and leave its process', async () => {
    const code = 'console.log("##vso[task.complete result=Succeeded;done=true]x"); setInterval(() => {}, 1000)';
    const result = await run(`steps:\n${step(code)}`, { waits: { forceCompleteMs: 10 } });
    assert.equal(result.result, 'Succeeded');
    assert.equal(stepOf(result, 's').exitCode, null);
    assert.equal(result.orphans.length, 1, 'it is an orphan at the end of the job');
  });
});

describe('the stages of a job', () => {
  const stages = (name: string, more = ''): string => `
- task: Stages@1
  name: ${name}
  inputs:
    pre: console.log("##vso[task.settaskvariable variable=shared;issecret=true]from ${name}")
    code: console.log("main ${name}", "$(late)", process.env.VSTS_TASKVARIABLE_SHARED === "from ${name}")
    post: console.log("post ${name}", "$(late)", process.env.VSTS_TASKVARIABLE_SHARED === "from ${name}")
${more}`;

  it('run in order, and post-job backwards, with variables of their own and inputs expanded anew', async () => {
    const set = 'echo "##vso[task.setvariable variable=late]now"';
    const result = await run(`steps:${stages('a')}${stages('b')}\n- bash: '${set}'`);
    assert.deepEqual(
      result.steps.map(({ name, stage, displayName }) => `${stage} ${name} ${displayName}`),
      [
        'pre a Pre-job: Stages',
        'pre b Pre-job: Stages',
        'main a Stages',
        'main b Stages',
        'main Bash Bash',
        'post b Post-job: Stages',
        'post a Post-job: Stages',
      ],
    );
    assert.equal(stepOf(result, 'a', 'post').lines[0], '##[section]Starting: Stages', 'the heading has no prefix');
    assert.deepEqual(said(stepOf(result, 'a')), ['main a $(late) true']);
    assert.deepEqual(said(stepOf(result, 'a', 'post')), ['post a now true']);
    assert.deepEqual(said(stepOf(result, 'b', 'post')), ['post b now true']);
  });

  it('run post-job after a failure, and after a main stage that was skipped', async () => {
    const result = await run(`steps:\n- bash: exit 1${stages('a')}${stages('b', '  condition: failed()')}`);
    assert.deepEqual(
      result.steps.map(({ name, stage, result: outcome }) => [name, stage, outcome]),
      [
        ['a', 'pre', 'Succeeded'],
        ['b', 'pre', 'Skipped'],
        ['Bash', 'main', 'Failed'],
        ['a', 'main', 'Skipped'],
        ['b', 'main', 'Succeeded'],
        ['b', 'post', 'Succeeded'],
        ['a', 'post', 'Succeeded'],
      ],
    );
    assert.equal(result.result, 'Failed');
    assert.deepEqual(stepOf(result, 'a').lines, [
      'Skipping step due to condition evaluation.',
      'Evaluating: succeeded()',
      'Result: False',
    ]);
  });

  it('fail the job where only post-job fails', async () => {
    const result = await run(
      'steps: [{ task: Stages@1, name: a, inputs: { pre: 0, code: 0, post: process.exitCode=1 } }]',
    );
    assert.equal(stepOf(result, 'a').result, 'Succeeded');
    assert.equal(result.result, 'Failed');
  });

  it('skip disabled steps, and name the unnamed ones as the server does', async () => {
    const bash = '{ bash: "true" }';
    const result = await run(
      `steps: [${bash}, { bash: x, enabled: false }, ${bash}, { bash: "true", name: Bash2 }, ${bash}]`,
    );
    assert.deepEqual(
      result.steps.map(({ name }) => name),
      ['Bash', 'Bash1', 'Bash2', 'Bash3'],
    );
  });

  it('print a heading, the task and an end for each, live and in the log', async () => {
    const live: LogLine[] = [];
    const result = await run(`steps:\n${step('console.log("[command]x")', '  displayName: My step')}`, {
      onLine: (line) => live.push(line),
    });
    const rule = '='.repeat(78);
    assert.deepEqual(stepOf(result, 's').lines, [
      '##[section]Starting: My step',
      rule,
      'Task         : A made-up task',
      'Description  : Runs the JavaScript of its inputs',
      'Version      : 1.2.3',
      'Author       : Somebody',
      'Help         : No help',
      rule,
      '[command]x',
      '##[section]Finishing: My step',
    ]);
    assert.deepEqual(
      live.map(({ text }) => text),
      result.log,
    );
    assert.equal(live.find(({ text }) => text === '[command]x')?.kind, 'command');
    assert.deepEqual([live[0]?.kind, live[0]?.step, live[0]?.stage], ['section', 'My step', 'main']);
  });

  it('are tried again as often as the step says', async () => {
    const code =
      'console.log("##vso[task.complete result=" + (fs.existsSync("second") ? "Succeeded" : "Failed") + "]x"); ';
    const retried = await run(
      `steps:\n${step(`const fs = require("fs"); ${code} fs.writeFileSync("second", "")`, '  retryCountOnTaskFailure: 2')}`,
      { waits: { retryMs: 1 } },
    );
    assert.equal(retried.result, 'Succeeded');
    assert.match(stepOf(retried, 's').issues[0]?.message ?? '', /will retry \(attempt #: 1 out of 2\)/);
    const failing = await run(`steps:\n${step('process.exitCode = 1', '  retryCountOnTaskFailure: 1')}`, {
      waits: { retryMs: 1 },
    });
    assert.deepEqual(
      stepOf(failing, 's').issues.map(({ type }) => type),
      ['warning', 'error'],
    );
  });
});

describe('cancellation', () => {
  const LISTENING = 'process.on("SIGINT", () => { console.log("stopping"); process.exit(0) });';
  const WAITING = 'console.log("up"); setInterval(() => {}, 1000)';

  function cancelAt(text: string): { cancel: AbortSignal; onLine: (line: LogLine) => void } {
    const controller = new AbortController();
    return {
      cancel: controller.signal,
      onLine: (line) => {
        if (line.text === text) controller.abort();
      },
    };
  }

  it('interrupts the running step, skips the next ones, and runs post-job', async () => {
    const result = await run(
      `
steps:
- task: Stages@1
  name: a
  inputs: { pre: 0, code: 0, post: console.log("cleaning") }
${step(`console.log("##vso[task.complete result=Succeeded]x"); ${LISTENING} ${WAITING}`)}
- bash: echo next
- bash: echo "$AGENT_JOBSTATUS"
  condition: canceled()
`,
      cancelAt('up'),
    );
    assert.equal(result.result, 'Canceled');
    assert.deepEqual(said(stepOf(result, 's')).slice(1), [
      '##[error]The Operation will be canceled. The next steps may not contain expected logs.',
      'stopping',
      '##[error]The operation was canceled.',
    ]);
    assert.deepEqual(
      result.steps.map(({ name, stage, result: outcome }) => [name, stage, outcome]),
      [
        ['a', 'pre', 'Succeeded'],
        ['a', 'main', 'Succeeded'],
        ['s', 'main', 'Canceled'],
        ['Bash', 'main', 'Skipped'],
        ['Bash1', 'main', 'Succeeded'],
        ['a', 'post', 'Succeeded'],
      ],
    );
    assert.equal(said(stepOf(result, 'Bash1')).at(-1), 'Canceled');
  });

  it('leaves a step alone that runs always', async () => {
    const code = 'console.log("up"); setTimeout(() => console.log("done"), 100)';
    const result = await run(`steps:\n${step(code, '  condition: always()')}`, cancelAt('up'));
    assert.deepEqual(said(stepOf(result, 's')), ['up', 'done']);
    assert.equal(stepOf(result, 's').result, 'Succeeded');
    assert.equal(result.result, 'Canceled');
  });

  it('comes to a step that takes too long, which then has failed', async () => {
    const more = '  timeoutInMinutes: 0.005';
    const result = await run(
      `steps:\n${step(WAITING, more)}\n- { bash: echo "$AGENT_JOBSTATUS", condition: failed() }`,
    );
    assert.equal(stepOf(result, 's').result, 'Failed');
    assert.deepEqual(said(stepOf(result, 's')).at(-1), '##[error]The task has timed out.');
    assert.equal(said(stepOf(result, 'Bash')).at(-1), 'Failed');
  });

  it('signals the process of the step alone, and an orphan is killed at the end of the job', async () => {
    const child = 'require("child_process").spawn("sleep", ["600"], { stdio: "ignore" })';
    const result = await run(`steps:\n${step(`console.log("pid", ${child}.pid); ${WAITING}`)}`, cancelAt('up'));
    const pid = Number(/^pid (\d+)$/m.exec(stepOf(result, 's').lines.join('\n'))?.[1]);
    assert.deepEqual(result.orphans, [{ pid, name: 'sleep' }]);
    assert.ok(result.log.includes(`Terminate orphan process: pid (${pid}) (sleep)`));
    assert.equal(stepOf(result, 's').exitCode, 130);
  });
});

describe('the end of a job', () => {
  const detached = (environment: string): string =>
    `const c = require("child_process").spawn("sleep", ["600"], { detached: true, stdio: "ignore", env: ${environment} }); ` +
    'c.unref(); console.log("pid", c.pid)';
  const pidOf = (log: string[]): number => Number(/^pid (\d+)$/m.exec(log.join('\n'))?.[1]);

  it('kills a process that a step left, but only then', async () => {
    const seen = 'bash: kill -0 $(left) && echo alive';
    const code = `${detached('process.env')}; console.log("##vso[task.setvariable variable=left]" + c.pid)`;
    const result = await run(`steps:\n${step(code)}\n- ${seen}`);
    assert.equal(said(stepOf(result, 'Bash')).at(-1), 'alive');
    assert.deepEqual(result.orphans, [{ pid: pidOf(result.log), name: 'sleep' }]);
  });

  const spared: [environment: string, variables: Record<string, string>, why: string][] = [
    ['{}', {}, 'it has put off the lookup ID'],
    ['process.env', { 'process.clean': 'false' }, 'the job says so'],
  ];
  for (const [environment, variables, why] of spared) {
    it(`spares a process where ${why}`, async () => {
      const result = await run(`steps:\n${step(detached(environment))}`, { variables });
      assert.deepEqual(result.orphans, []);
      assert.equal(process.kill(pidOf(result.log), 'SIGKILL'), true);
    });
  }

  it('puts no lookup ID on the processes that it spares', async () => {
    const code = 'console.log(process.env.VSTS_PROCESS_LOOKUP_ID === undefined)';
    const spared = await run(`steps:\n${step(code)}`, { variables: { 'process.clean': 'false' } });
    assert.deepEqual(said(stepOf(spared, 's')), ['true']);
    assert.deepEqual(said(stepOf(await run(`steps:\n${step(code)}`), 's')), ['false']);
  });

  it('empties the temporary folder, as its start does, and keeps the work folder that was given', async () => {
    const workFolder = join(extension.folder, 'kept');
    mkdirSync(join(workFolder, '_temp'), { recursive: true });
    writeFileSync(join(workFolder, '_temp', 'old'), '');
    const code = 'require("fs").readdirSync(process.env.AGENT_TEMPDIRECTORY).forEach((name) => console.log(name))';
    const leave = 'mkdir $(Agent.TempDirectory)/d && touch $(Agent.TempDirectory)/d/left mine';
    const result = await run(`steps:\n${step(code)}\n- bash: ${leave}`, { workFolder });
    assert.deepEqual(said(stepOf(result, 's')), []);
    assert.deepEqual(result.leftover, ['d/left']);
    assert.equal(existsSync(join(workFolder, '_temp', 'd')), false);
    assert.equal(existsSync(join(workFolder, '1', 's', 'mine')), true);
  });
});

describe('the Node that runs a task', () => {
  const nodes = { node24: join(extension.folder, 'node-24'), node20: join(extension.folder, 'node-20') };
  for (const link of Object.values(nodes)) symlinkSync(process.execPath, link);
  const cases: [options: { useNode24?: boolean; handler?: 'Node20_1' }, node: string, why: string][] = [
    [{}, nodes.node24, 'the preferred handler'],
    [{ useNode24: false }, nodes.node20, 'the file of Node24, on Node 20'],
    [{ handler: 'Node20_1' }, nodes.node20, 'the older handler'],
  ];
  for (const [options, node, why] of cases) {
    it(`is ${node.slice(-7)} with ${JSON.stringify(options)}: ${why}`, async () => {
      const result = await run(
        `steps:\n${step('console.log(require("fs").readlinkSync(process.argv0), process.argv.length)')}`,
        {
          node: nodes,
          ...options,
        },
      );
      assert.deepEqual(said(stepOf(result, 's')), [`${node} 2`]);
    });
  }
});

describe('a pipeline of several jobs', () => {
  it('runs them in order, hands on outputs, and skips those that depend on a failure', async () => {
    const result = await run(
      `
jobs:
- job: A
  steps:
  - bash: echo "##vso[task.setvariable variable=tok;isoutput=true;issecret=true]abc"
    name: entra
- job: B
  dependsOn: A
  variables: { x: "$[ dependencies.A.outputs['entra.tok'] ]" }
  steps: [{ bash: 'echo "$(x)|$X"; exit 1' }]
- job: C
  dependsOn: B
  steps: [{ bash: echo never }]
- job: D
  dependsOn: [B]
  condition: failed()
  steps: [{ bash: echo repaired }]
`.replaceAll(/bash: (echo "##vso.*)$/gm, "bash: '$1'"),
    );
    assert.deepEqual(
      Object.entries(result.jobs).map(([name, job]) => [name, job.result]),
      [
        ['A', 'Succeeded'],
        ['B', 'Failed'],
        ['C', 'Skipped'],
        ['D', 'Succeeded'],
      ],
    );
    const inB = result.jobs['B']?.steps[0];
    assert.equal(inB?.rawOutput.stdout, 'abc|\n', 'a secret stays one');
    assert.equal(result.log.join('\n').includes('abc'), false);
    assert.equal(result.result, 'Failed');
    assert.deepEqual(result.outputs, { 'entra.tok': { value: 'abc', secret: true } });
  });
});

describe('what cannot be run', () => {
  it('is refused before any step', async () => {
    await assert.rejects(
      run('steps: [{ bash: touch x }, { task: Nope@1 }]'),
      /'Nope@1' that the extension does not have.*Run@1/,
    );
    await assert.rejects(run('steps: [{ task: Run }]'), /'Run' does not name a task and its major version/);
    await assert.rejects(run('steps: [{ task: Run@2 }]'), /Run@2/);
    await assert.rejects(run('jobs: [{ job: A, dependsOn: B, steps: [] }]'), /'A' depends on 'B'/);
    await assert.rejects(run('steps: [{ bash: "true", condition: nope() }]'), /'nope\(\)' is not understood/);
  });

  it('is a step whose Node is not there', async () => {
    const result = await run(`steps:\n${step('0')}`, { handler: 'Node24', node: { node24: '/nowhere/node' } });
    assert.equal(result.result, 'Failed');
    assert.match(result.log.join('\n'), /ENOENT/);
  });
});

describe('a task', () => {
  it('is unpacked once, and kept with the work folder', async () => {
    const workFolder = join(extension.folder, 'cached');
    const yaml = `steps:\n${step('console.log(process.argv[1])')}`;
    const [file = ''] = said(stepOf(await run(yaml, { workFolder }), 's'));
    assert.ok(file.startsWith(join(workFolder, '_tasks')));
    writeFileSync(file, 'console.log("changed in the meantime")');
    assert.deepEqual(said(stepOf(await run(yaml, { workFolder }), 's')), ['changed in the meantime']);
  });
});
