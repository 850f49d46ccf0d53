import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parsePipeline } from './pipeline.ts';

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

  const faults: [yaml: string, message: RegExp][] = [
    ['stages: []\nsteps: []', /does not know 'stages' in the pipeline/],
    ['steps: [{ powershell: x }]', /steps\[0\] is no step .*powershell/],
    ['steps: [{ bash: x, inputs: {} }]', /'inputs' in steps\[0\]/],
    ['steps: [{ bash: x, continueOnError: maybe }]', /steps\[0\].continueOnError is neither/],
    ['steps: [{ bash: x, timeoutInMinutes: soon }]', /steps\[0\].timeoutInMinutes is no number/],
    ['steps: [{ bash: x, target: ubuntu }]', /steps\[0\].target is no mapping/],
    ['steps: [{ bash: x, target: { container: c } }]', /runs no containers/],
    ['variables: [{ group: g }]\nsteps: []', /'group' in variables\[0\]/],
    // biome-ignore lint/suspicious/noTemplateCurlyInString: a template expression of Azure Pipelines
    ['steps: [{ bash: "${{ parameters.x }}" }]', /template expressions/],
    ['steps: {}', /steps is no list/],
    ['[]', /the pipeline is no mapping/],
  ];
  for (const [yaml, message] of faults) it(`refuses ${yaml}`, () => assert.throws(() => parsePipeline(yaml), message));
});
