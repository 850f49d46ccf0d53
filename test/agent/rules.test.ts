import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { evaluateCondition, evaluateExpression, traceOf } from './condition.ts';
import { isCommandAllowed, isVariableSettable } from './restrictions.ts';
import { mergeResults, parseResult, type TaskResult } from './result.ts';

describe('mergeResults', () => {
  const cases: [current: TaskResult | undefined, coming: TaskResult, merged: TaskResult][] = [
    [undefined, 'Succeeded', 'Succeeded'],
    ['Succeeded', 'SucceededWithIssues', 'SucceededWithIssues'],
    ['Failed', 'Succeeded', 'Failed'],
    ['Failed', 'Canceled', 'Canceled'],
    ['Skipped', 'Failed', 'Skipped'],
    ['Skipped', 'Abandoned', 'Skipped'],
  ];
  for (const [current, coming, merged] of cases) {
    it(`makes ${current} and ${coming} into ${merged}`, () => assert.equal(mergeResults(current, coming), merged));
  }
});

describe('parseResult', () => {
  const cases: [text: string, result: TaskResult | undefined][] = [
    ['Canceled', 'Canceled'],
    ['2', 'Failed'],
    ['Cancelled', undefined],
    ['succeeded', undefined],
    ['', undefined],
  ];
  for (const [text, result] of cases) it(`reads '${text}' as ${result}`, () => assert.equal(parseResult(text), result));
});

describe('restrictions', () => {
  it('in restricted mode forbid what reaches beyond the job', () => {
    const restricted = [{}, { restrictedCommands: true }];
    const allowed = ['task.setvariable', 'task.issue', 'task.setsecret', 'task.prependpath', 'telemetry.publish'];
    const forbidden = [
      'task.uploadsummary',
      'task.uploadfile',
      'task.addattachment',
      'task.setendpoint',
      'build.addbuildtag',
    ];
    for (const command of allowed) assert.equal(isCommandAllowed(restricted, command), true, command);
    for (const command of forbidden) assert.equal(isCommandAllowed(restricted, command), false, command);
    for (const command of forbidden) assert.equal(isCommandAllowed([{}], command), true, command);
  });

  const cases: { lists: (string[] | undefined)[]; name: string; settable: boolean; why: string }[] = [
    { lists: [undefined], name: 'x', settable: true, why: 'no list allows all' },
    { lists: [[]], name: 'x', settable: false, why: 'an empty list allows none' },
    { lists: [['my*']], name: 'MyVar', settable: true, why: 'globs without regard to case' },
    { lists: [['my*']], name: 'notMine', settable: false, why: 'the whole name' },
    { lists: [['*.accessToken']], name: 'kv.accessToken', settable: true, why: 'a dot is no separator' },
    {
      lists: [
        ['a', 'b'],
        ['b', 'c'],
      ],
      name: 'b',
      settable: true,
      why: 'all lists must agree',
    },
    {
      lists: [
        ['a', 'b'],
        ['b', 'c'],
      ],
      name: 'a',
      settable: false,
      why: 'all lists must agree',
    },
  ];
  for (const { lists, name, settable, why } of cases) {
    it(`${settable ? 'let' : 'do not let'} ${name} be set by ${JSON.stringify(lists)}: ${why}`, () => {
      const restrictions = lists.map((list) => (list === undefined ? {} : { settableVariables: list }));
      assert.equal(isVariableSettable(restrictions, name), settable);
    });
  }
});

describe('a condition that does not hold', () => {
  const trace = (expression: string): string[] => {
    const variables: Record<string, string> = { branch: "it's" };
    const context = { status: 'Succeeded', variable: (name: string) => variables[name] };
    return traceOf(expression, evaluateExpression(expression, context));
  };
  const cases: [expression: string, expanded: string][] = [
    ["and(succeeded(),eq(variables.branch, 'main'))", "and(True, eq('it''s', 'main'))"],
    ["and(failed(), eq(variables['branch'], 'main'))", "and(False, eq(variables['branch'], 'main'))"],
    ["eq(variables['nope'], 'x')", "eq(Null, 'x')"],
    ['not(succeeded())', 'not(True)'],
  ];
  for (const [expression, expanded] of cases) {
    it(`shows the values of ${expression}, as far as they were needed`, () =>
      assert.deepEqual(trace(expression).slice(1), [`Expanded: ${expanded}`, 'Result: False']));
  }

  it('shows no values where there are none', () => {
    assert.deepEqual(trace('failed()'), ['Evaluating: failed()', 'Result: False']);
  });
});

describe('evaluateCondition', () => {
  const variables: Record<string, string> = { 'build.reason': 'Manual', flag: 'true', "it's": 'x' };
  const evaluate = (expression: string, status = 'Succeeded'): boolean =>
    evaluateCondition(expression, { status, variable: (name) => variables[name.toLowerCase()] });

  const cases: [expression: string, status: TaskResult, holds: boolean][] = [
    ['succeeded()', 'SucceededWithIssues', true],
    ['succeeded()', 'Failed', false],
    ['failed()', 'Failed', true],
    ['failed()', 'Canceled', false],
    ['succeededOrFailed()', 'Failed', true],
    ['succeededOrFailed()', 'Canceled', false],
    ['canceled()', 'Canceled', true],
    ['always()', 'Canceled', true],
    ["and(succeeded(), eq(variables['Build.Reason'], 'manual'))", 'Succeeded', true],
    ["or(failed(), ne(variables.flag, 'true'))", 'Succeeded', false],
    ["not(eq(variables['nope'], ''))", 'Succeeded', false],
    ['eq(variables.flag, true)', 'Succeeded', true],
    ["eq(variables.Build.Reason, 'Manual')", 'Succeeded', true],
    ["eq(variables['it''s'], 'x')", 'Succeeded', true],
    ["in('b', 'a', 'B')", 'Succeeded', true],
    ["in('c', 'a', 'b')", 'Succeeded', false],
    ['true', 'Failed', true],
    ['gt(10, 9)', 'Succeeded', true],
    ["eq(coalesce('', lower('A')), 'a')", 'Succeeded', true],
    ["eq(format('{0}-{1}', 'a', 'b'), 'a-b')", 'Succeeded', true],
    ['xor(true, true)', 'Succeeded', false],
  ];
  for (const [expression, status, holds] of cases) {
    it(`${expression} is ${holds} after ${status}`, () => assert.equal(evaluate(expression, status), holds));
  }

  for (const expression of ['', 'succeeded(', 'nope()', 'eq(a, b)', 'succeeded() and true', "'open", '#']) {
    it(`refuses '${expression}'`, () =>
      assert.throws(() => evaluate(expression), /The expression .* is not understood/));
  }
});
