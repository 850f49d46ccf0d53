import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PipelineError, parsePipeline } from './pipeline.ts';

describe('parsePipeline', () => {
  it('reads steps, with every value as the text it was written as', () => {
    const { jobs } = parsePipeline(`
      trigger: none
      pool: { vmImage: ubuntu-latest }
      variables: { version: 1.10, yes: true }
      steps:
      - checkout: none
      - task: Some.Task@1
        name: t
        inputs:
          number: 0x10
          text: |
            two
            lines
        env: { A: $(x) }
        condition: always()
        continueOnError: true
        timeoutInMinutes: 2
        retryCountOnTaskFailure: 12
        target: { commands: restricted, settableVariables: [a, b*] }
      - bash: echo 1
        enabled: false
      - script: echo 2
        failOnStderr: true
        target: { settableVariables: none }
    `);
    const [job] = jobs;
    assert.ok(job);
    assert.deepEqual(
      job.variables.map(({ name, value }) => [name, value]),
      [
        ['version', '1.10'],
        ['yes', 'true'],
      ],
    );
    const [task, bash, script] = job.steps;
    assert.ok(task?.kind === 'task' && bash?.kind === 'bash' && script?.kind === 'script');
    assert.deepEqual(task, {
      kind: 'task',
      task: 'Some.Task@1',
      line: 7,
      lines: { 'inputs.number': 10, 'inputs.text': 11, 'env.A': 14 },
      inputs: { number: '0x10', text: 'two\nlines\n' },
      name: 't',
      displayName: undefined,
      env: { A: '$(x)' },
      condition: 'always()',
      continueOnError: true,
      enabled: true,
      timeoutMs: 120_000,
      retryCount: 10,
      restrictions: { restrictedCommands: true, settableVariables: ['a', 'b*'] },
    });
    assert.equal(bash.enabled, false);
    assert.equal(script.failOnStderr, true);
    assert.deepEqual(script.restrictions.settableVariables, []);
  });

  it('reads jobs, with the variables of the pipeline and their own', () => {
    const { jobs } = parsePipeline(`
      variables: [{ name: a, value: 1 }]
      jobs:
      - job: A
        steps: [{ bash: "true" }]
      - job: B
        dependsOn: A
        variables: [{ name: b, value: "$[ dependencies.A.outputs['s.x'] ]", readonly: true }]
        steps: []
    `);
    assert.deepEqual(
      jobs.map(({ name, dependsOn, variables }) => ({ name, dependsOn, variables: variables.map((one) => one.name) })),
      [
        { name: 'A', dependsOn: [], variables: ['a'] },
        { name: 'B', dependsOn: ['A'], variables: ['a', 'b'] },
      ],
    );
  });

  it('reads the jobs of one stage, with the variables around them', () => {
    const { jobs } = parsePipeline(`
      variables: { a: 1 }
      stages:
      - stage: S
        variables: { b: 2 }
        jobs:
        - job: A
          pool: { name: p }
          variables: { c: 3 }
          steps: [{ bash: "true" }]
    `);
    assert.deepEqual(
      jobs.map(({ name, pool, variables }) => ({ name, pool, variables: variables.map((one) => one.name) })),
      [{ name: 'A', pool: 'p', variables: ['a', 'b', 'c'] }],
    );
  });

  it('reads the shell tasks as the steps that stand for them', () => {
    const { jobs } = parsePipeline(`
      steps:
      - task: PowerShell@2
        inputs: { targetType: inline, pwsh: true, script: Get-Date }
      - task: CmdLine@2
        inputs: { script: date }
    `);
    assert.deepEqual(
      jobs[0]?.steps.map((step) => (step.kind === 'task' ? step.task : [step.kind, step.script])),
      [
        ['pwsh', 'Get-Date'],
        ['script', 'date'],
      ],
    );
  });

  it('says what it leaves out and a run may miss', () => {
    const { notices } = parsePipeline('variables:\n- group: shared\nsteps: [{ bash: "true" }]');
    assert.deepEqual(
      notices.map(({ line, sentence }) => [line, /--variable name=value/.test(sentence)]),
      [[2, true]],
    );
  });

  const faults: [yaml: string, message: RegExp][] = [
    ['', /^p\.yml:1: The file is empty/],
    ['[]', /:1: A pipeline has to be a mapping/],
    ['steps:\n\t- bash: x', /:2: A tab is used/],
    ['steps:\n- bash: a: b', /:2: .*second colon/],
    ['steps: [&x { bash: x }, *x]', /:1: Azure Pipelines does not support YAML anchors/],
    ['steps: [', /:1: This is not valid YAML/],
    ['name: x', /:1: The pipeline has none of steps, jobs and stages/],
    ['steps: []\njobs: []', /:2: The pipeline has steps|jobs and steps/],
    ['steps:', /:1: There are no steps/],
    ['stpes: []\nsteps: [{ bash: x }]', /:1: 'stpes' is not a key of the pipeline\. Did you mean 'steps'\?/],
    ['steps:\n- bash: x\n  evn: {}', /:3: 'evn' is not a key of a bash step\. Did you mean 'env'\?/],
    ['steps: [{ bash: x, inputs: {} }]', /'inputs' is not a key of a bash step/],
    ['steps:\n- name: x', /:2: A step needs one of task, bash, script, pwsh, powershell, checkout/],
    ['steps:\n- template: x.yml', /:2: The local agent does not support 'template'/],
    ['extends: { template: x }\nsteps: [{ bash: x }]', /:1: The local agent does not support 'extends'/],
    ['strategy: { matrix: {} }\nsteps: [{ bash: x }]', /does not support 'strategy': it runs each job once/],
    ['steps: [{ bash: x, continueOnError: maybe }]', /continueOnError is true or false, and not 'maybe'/],
    ['steps: [{ bash: x, timeoutInMinutes: soon }]', /timeoutInMinutes is a number/],
    ['steps: [{ bash: x, target: ubuntu }]', /has no container 'ubuntu'/],
    ['steps: [{ bash: x, target: { container: c } }]', /has no containers/],
    ['steps: [{ bash: x, name: "a b" }]', /The name of a step has letters/],
    ['steps:\n- { bash: x, name: a }\n- { bash: x, name: A }', /:3: Two steps have the name 'A'/],
    ['steps:\n- bash: x\n  condition: eq(1)', /:3: The expression 'eq\(1\)' is not understood/],
    ['variables: { a: "$[ nope() ]" }\nsteps: [{ bash: x }]', /:1: The expression 'nope\(\)' is not understood/],
    ['steps: [{ task: Bash@3, inputs: { filePath: x.sh } }]', /write targetType: inline/],
    ['stages:\n- { stage: A, jobs: [{ steps: [{ bash: x }] }] }\n- { stage: B }', /:3: The local agent runs one stage/],
    ['jobs:\n- { job: B, dependsOn: A, steps: [{ bash: x }] }', /:2: The job 'B' depends on 'A'/],
    ['jobs: [{ deployment: A }]', /does not support 'deployment'/],
  ];
  for (const [yaml, message] of faults) {
    it(`refuses ${JSON.stringify(yaml)}`, () =>
      assert.throws(
        () => parsePipeline(yaml, { file: 'p.yml' }),
        (error) => error instanceof PipelineError && message.test(error.message),
      ));
  }

  it('names every fault of a file, each in a line of its own', () => {
    const yaml = 'steps:\n- bash: x\n  evn: {}\n- bash: y\n  enabled: maybe\n';
    assert.throws(() => parsePipeline(yaml, { file: 'p.yml' }), /^PipelineError: p\.yml:3: .*\np\.yml:5: .*$|p\.yml:3/);
  });
});

describe('template expressions', () => {
  const yaml = `
parameters:
- { name: who, default: world, values: [world, moon] }
- { name: loud, type: boolean, default: false }
- { name: count, type: number, default: 2 }
variables:
  greeting: hello \${{ parameters.who }}
steps:
- bash: \${{ variables.greeting }} \${{ parameters.count }} \${{ parameters.loud }}
- \${{ if eq(parameters.loud, true) }}:
  - bash: loud
- \${{ elseif eq(parameters.who, 'moon') }}:
  - bash: moon
- \${{ else }}:
  - bash: quiet
  - bash: env
    env:
      \${{ if ne(parameters.who, 'world') }}:
        A: 1
      B: 2
`;
  const scripts = (parameters: Record<string, string>) =>
    parsePipeline(yaml, { parameters }).jobs[0]?.steps.map((step) => (step.kind === 'task' ? '' : step.script));

  it('are replaced by their values, and branches by what they hold', () => {
    assert.deepEqual(scripts({}), ['hello world 2 False', 'quiet', 'env']);
    assert.deepEqual(scripts({ WHO: 'moon', count: '3' }), ['hello moon 3 False', 'moon']);
    assert.deepEqual(scripts({ loud: 'true' }), ['hello world 2 True', 'loud']);
  });

  it('may stand between the keys of a mapping', () => {
    const [, , step] = parsePipeline(yaml).jobs[0]?.steps ?? [];
    assert.deepEqual(step?.env, { B: '2' });
  });

  const faults: [parameters: Record<string, string>, head: string, message: RegExp][] = [
    [{ who: 'mars' }, '', /:3: --parameter who is 'mars', and can be world, moon/],
    [{ loud: 'yes' }, '', /:4: --parameter loud is 'yes', and can be true or false/],
    [{ count: 'many' }, '', /:5: --parameter count is 'many', which is not a number/],
    [{ whom: 'x' }, '', /:2: --parameter whom: the pipeline has no parameter of that name. Did you mean 'who'\?/],
    [{}, '- { name: must }', /The parameter 'must' has no default; give its value with --parameter must=value/],
    [{}, '- { name: list, type: object, default: [] }', /does not support parameters of the type 'object'/],
  ];
  for (const [parameters, more, message] of faults) {
    it(`are refused with ${JSON.stringify(parameters)} ${more}`, () =>
      assert.throws(() => parsePipeline(yaml.replace('variables:', `${more}\nvariables:`), { parameters }), message));
  }

  for (const [step, message] of [
    [`- bash: \${{ parameters.x }}`, /:2: The pipeline has no parameter 'x'/],
    [`- \${{ each x in parameters.y }}:\n  - bash: x`, /:2: The local agent does not support \$\{\{ each \}\}/],
    [`- \${{ else }}:\n  - bash: x`, /:2: This \$\{\{ else \}\} does not follow/],
    [`- bash: \${{ succeeded() }}`, /succeeded\(\) is for conditions/],
  ] as const) {
    it(`refuse ${step}`, () => assert.throws(() => parsePipeline(`steps:\n${step}`), message));
  }
});
