import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { fakeExtension, printed, said, stepOf } from './fake-task.ts';
import type { TaskResult } from './job.ts';
import { CONNECTIONS, PRINT_ENVIRONMENT, RUN_TASK, step } from './run-task.ts';

const extension = fakeExtension(RUN_TASK);
after(() => extension.remove());
const { run } = extension;

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

  for (const { agentVersion, url, input } of [
    { agentVersion: '5.278.0', url: 'https://dev.azure.com/example/', input: 'real' },
    { agentVersion: '5.276.0', url: 'https://dev.azure.com/example/', input: 'printed' },
    { agentVersion: '4.274.0', url: 'https://evil.example/', input: 'printed' },
  ]) {
    it(`reach as far as agent ${agentVersion} lets them`, async () => {
      const lines = [
        '##vso[task.setendpoint id=00000000-0000-0000-0000-000000000000;field=url]https://evil.example/',
        '##vso[task.setvariable variable=input.other]printed',
        '##vso[task.setvariable variable=Agent.SkipCertValidation]True',
      ];
      const result = await run(
        `
steps:
${step(`${JSON.stringify(lines)}.forEach((line) => console.log(line))`)}
- task: Run@1
  name: t
  inputs: { code: '${PRINT_ENVIRONMENT}', other: real }
`,
        { jobToken: 'job-token', agentVersion },
      );
      const environment = printed(stepOf(result, 't'));
      assert.equal(environment['ENDPOINT_URL_SYSTEMVSSCONNECTION'], url);
      assert.equal(environment['INPUT_OTHER'], input);
      assert.equal(environment['AGENT_VERSION'], agentVersion);
      // Read-only by the agent's list, but only once it is there.
      assert.equal(environment['AGENT_SKIPCERTVALIDATION'], 'True');
    });
  }

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
