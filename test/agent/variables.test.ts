import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createMasker } from './masker.ts';
import { expandMacros, Variables } from './variables.ts';

function variablesOf(values: Record<string, string>, masker = createMasker()): Variables {
  const variables = new Variables(masker);
  for (const [name, value] of Object.entries(values)) variables.set(name, value);
  return variables;
}

describe('expandMacros', () => {
  const values: Record<string, string> = { v: 'value', a: '$(v)', 'step.out': 'o', empty: '' };
  const cases: [text: string, expanded: string, why: string][] = [
    ['<$(v)>', '<value>', 'a macro is replaced'],
    ['$(v)$(v)', 'valuevalue', 'side by side'],
    ['$(a)', '$(v)', 'what was put in is not looked at again'],
    ['$(unknown)', '$(unknown)', 'an unknown macro stays'],
    ['$($(v)', '$(value', 'the search goes on inside of an unknown macro'],
    ['$( v )', '$( v )', 'names are not trimmed'],
    ['$()', '$()', 'no name'],
    ['$(v', '$(v', 'no end'],
    ['$(step.out)', 'o', 'an output of a step'],
    ['[$(empty)]', '[]', 'an empty value'],
  ];
  for (const [text, expanded, why] of cases) {
    it(`makes ${text} into ${expanded}: ${why}`, () =>
      assert.equal(
        expandMacros(text, (name) => values[name]),
        expanded,
      ));
  }
});

describe('Variables', () => {
  it('knows names without regard to case, and keeps the latest spelling', () => {
    const variables = variablesOf({ 'My.Name': '1', 'my.NAME': '2' });
    assert.equal(variables.expand('$(MY.name)'), '2');
    assert.deepEqual(
      variables.all().map(({ name }) => name),
      ['my.NAME'],
    );
  });

  it('keeps a secret secret when it is set again', () => {
    const masker = createMasker();
    const variables = variablesOf({}, masker);
    variables.set('v', 'old', { secret: true });
    variables.set('V', 'new');
    assert.equal(variables.find('v')?.secret, true);
    assert.equal(masker.mask('old new'), '*** ***');
  });

  it('keeps a read-only variable read-only, and knows those of the agent', () => {
    const variables = variablesOf({});
    variables.set('v', '1', { readOnly: true });
    variables.set('v', '2');
    variables.set('agent.tempDirectory', '/t');
    assert.deepEqual(
      // One of the agent's that is not there yet is nobody's: whoever sets it first has it.
      ['v', 'AGENT.tempdirectory', 'Agent.SkipCertValidation', 'other'].map((name) => variables.isReadOnly(name)),
      [true, true, false, false],
    );
  });

  it('expands values through all levels, but only when it recalculates', () => {
    const variables = variablesOf({ a: '<$(b)>', b: '[$(c)$(nope)]', c: 'end' });
    assert.equal(variables.get('a'), '<$(b)>');
    assert.deepEqual(variables.recalculate(), []);
    assert.equal(variables.get('a'), '<[end$(nope)]>');
    variables.set('c', 'new');
    variables.recalculate();
    assert.equal(variables.get('a'), '<[new$(nope)]>', 'from what was set, not from what it was expanded to');
  });

  it('makes a variable that mentions a secret a secret', () => {
    const masker = createMasker();
    const variables = variablesOf({ public: 'pre-$(middle)', middle: '$(hidden)' }, masker);
    variables.set('hidden', 'abc', { secret: true });
    variables.recalculate();
    assert.deepEqual(variables.find('public'), {
      name: 'public',
      value: 'pre-abc',
      secret: true,
      readOnly: false,
      preserveCase: false,
    });
    assert.equal(masker.mask('pre-abc'), '***');
  });

  it('leaves a variable that mentions itself, or too many others, and warns', () => {
    const chain = Object.fromEntries(Array.from({ length: 60 }, (_, n) => [`n${n}`, `$(n${n + 1})`]));
    const variables = variablesOf({ a: '$(b)', b: '$(a)', ...chain });
    const warnings = variables.recalculate();
    assert.equal(variables.get('a'), '$(b)');
    assert.equal(variables.get('n0'), '$(n1)');
    assert.match(warnings.join('\n'), /'a'.*cyclical/);
    assert.match(warnings.join('\n'), /'n0'.*maximum depth/);
  });

  it('takes scoped variables away again', async () => {
    const variables = variablesOf({ kept: 'before' });
    const inside = await variables.scoped({ KEPT: 'during', fresh: 'x' }, async () =>
      variables.expand('$(kept) $(fresh)'),
    );
    assert.equal(inside, 'during x');
    assert.equal(variables.expand('$(kept) $(fresh)'), 'before $(fresh)');
  });
});
