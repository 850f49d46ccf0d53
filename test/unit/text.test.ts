import './build-constants.ts';
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { difference } from '../../tasks/EntraTokenV1/publish/explain.ts';
import { alsoInParts, duration, instant, printable, splitHidden } from '../../tasks/EntraTokenV1/text/text.ts';

for (const [title, text, shown] of [
  ['a command of the agent', '##vso[task.complete result=Succeeded]', '# #vso[task.complete result=Succeeded]'],
  ['a command in another case', '##VSO[x]', '# #VSO[x]'],
  ['a tag of the log', '##[error]x', '# #[error]x'],
  ['more signs before a command', '####vso[x]', '##'.concat('# #vso[x]')],
  ['each end of a line', 'a\rb\nc\u2028d\u0085e', 'a b c d e'],
  // Taken out, it would join what stands around it into a command.
  ['an invisible character within a command', '##\u200bvso[x]', '## vso[x]'],
  ['one that comparisons pass over', '##vso\u00ad[x] ##\u2060[error]', '# #vso [x] ## [error]'],
  // The agent warns of one that it cannot read.
  ['the beginning of a command', '##vso x', '# #vso x'],
  ['a colour', '\u001b[31mred', ' [31mred'],
  ['signs that are harmless', '# ## $(x) [y] %AZP25', '# ## $(x) [y] %AZP25'],
] as const) {
  test(`a text from outside is made fit for a line of the log: ${title}`, () => {
    assert.equal(printable(text), shown);
    assert.ok(!/##(vso)?\[/i.test(printable(text)));
  });
}

test('a long text is cut, and says so', () => {
  assert.equal(printable('x'.repeat(11), 10), `${'x'.repeat(10)}…`);
  assert.equal(printable('x'.repeat(10), 10), 'x'.repeat(10));
});

for (const [milliseconds, said] of [
  [-5, '0 s'],
  [59_499, '59 s'],
  [59_500, '1 min'],
  [598_000, '9 min 58 s'],
  [3_600_000, '1 h'],
  [5_400_000, '1 h 30 min'],
  [86_400_000, '24 h'],
] as const) {
  test(`${milliseconds} ms are said as ${said}`, () => assert.equal(duration(milliseconds), said));
}

test('an instant is ISO 8601 in UTC, to the second', () => {
  assert.equal(instant(Date.UTC(2026, 0, 31, 12, 0, 0, 999)), '2026-01-31T12:00:00Z');
});

for (const { title, text, hidden } of [
  { title: 'the whole text', text: 'abcdef', hidden: ['abcdef'] },
  { title: 'a part of it', text: 'xx-abcdef-yy', hidden: ['abcdef'] },
  { title: 'a part of it, twice', text: 'abcdef/abcdef', hidden: ['abcdef'] },
  { title: 'two that overlap', text: 'abcdefgh', hidden: ['abcdef', 'cdefgh'] },
  { title: 'one within the other', text: 'abcdefgh', hidden: ['abcdefgh', 'cd'] },
]) {
  test(`what the agent hides is shown in parts that hold none of it whole: ${title}`, () => {
    const parts = splitHidden(text, hidden);
    assert.equal(parts.join(''), text);
    for (const part of parts) for (const value of hidden) assert.ok(!part.includes(value), `${part} holds ${value}`);
    assert.notEqual(alsoInParts(text, hidden), '');
  });
}

test('a text of which nothing is hidden needs no parts', () => {
  assert.equal(alsoInParts('abc', ['x', 'abcd', '']), '');
});

for (const [stored, actual, said] of [
  ['sc://Contoso/web/Prod', 'sc://contoso/web/prod', /upper and lower case/],
  ['https://x/', 'https://x', /slash at the end/],
  ['sc://a/b/c', 'sc://a/b/d', /renamed/],
  [
    'https://vstoken.dev.azure.com/1',
    'https://login.microsoftonline.com/2/v2.0',
    /old issuer, the connection was converted/,
  ],
  ['https://app.vstoken.visualstudio.com', 'https://login.microsoftonline.com/2/v2.0', /old issuer/],
  ['https://login.microsoftonline.com/2/v2.0', 'https://vstoken.dev.azure.com/1', /not finished or was undone/],
  ['sc://a/b/c', '/eid1/c/pub/t/x', /form of the old issuer/],
  ['/eid1/a', '/eid1/b', /^the two differ$/],
] as const) {
  test(`how '${stored}' differs from '${actual}' is said in words`, () =>
    assert.match(difference(stored, actual), said));
}
