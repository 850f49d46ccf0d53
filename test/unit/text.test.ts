import './build-constants.ts';
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { difference } from '../../tasks/EntraTokenV1/publish/difference.ts';
import { alsoInParts, duration, instant, printable, splitHidden, visible } from '../../tasks/EntraTokenV1/text/text.ts';

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

for (const [report, stored, actual, said] of [
  [
    'azure-cli #26942: a carriage return',
    'https://x/1\r',
    'https://x/1',
    /cannot be seen alone: the stored one has a carriage return \(U\+000D\) at its end$/,
  ],
  ['a zero-width space', 'https://x/1\u200b', 'https://x/1', /has a zero-width space \(U\+200B\) at its end$/],
  ['a blank', ' https://x/1', 'https://x/1', /has a blank \(U\+0020\) at its beginning$/],
  ['a blank in the ID token', 'sc://a/b/c', 'sc://a/b/c ', /the ID token has a blank \(U\+0020\) at its end$/],
  [
    'another blank',
    'sc://a/b/c\u00a0d',
    'sc://a/b/c d',
    /stored one has a no-break space .* inside, the ID token has a/,
  ],
  [
    'a selector that was lost',
    'sc://a/b/☁',
    'sc://a/b/☁\ufe0f',
    /ID token has a variation selector \(U\+FE0F\) at its/,
  ],
  ['azure-devops-migration-tools #2916: %20', 'sc://a/b%20c/d', 'sc://a/b c/d', /stored one is percent-encoded/],
  ['+ for a blank', 'sc://a/b+c/d', 'sc://a/b c/d', /encoded as in a form/],
  ['an entity', 'sc://a/b &amp; c/d', 'sc://a/b & c/d', /encoded as in HTML/],
  ['the dash of a word processor', 'sc://a/b – c/d', 'sc://a/b - c/d', /look alike/],
  ['letters that are composed', 'sc://a/b/é', 'sc://a/b/e\u0301', /look alike .*Unicode/],
  ['quotation marks', '"sc://a/b/c"', 'sc://a/b/c', /quotation marks/],
  ['the project', 'sc://a/b/c', 'sc://a/x/c', /^the project was renamed$/],
  ['a blank between words, which one sees', 'sc://a/web shop/c', 'sc://a/webshop/c', /^the project was renamed$/],
  ['two blanks for one', 'sc://a/web  shop/c', 'sc://a/web shop/c', /the stored one has a blank \(U\+0020\) inside$/],
  [
    'both',
    'sc://a/b/c ',
    'sc://a/x/c',
    /^the project was renamed; the connection differs in characters that cannot be/,
  ],
  ['project and connection', 'sc://a/b/c', 'sc://a/x/y', /^the project and the connection were renamed$/],
  [
    'another organization',
    'https://vstoken.dev.azure.com/1',
    'https://vstoken.dev.azure.com/2',
    /another organization/,
  ],
] as const) {
  test(`a difference is said in words, also where nobody sees it: ${report}`, () =>
    assert.match(difference(stored, actual), said));
}

test('what cannot be seen is shown as an escape', () => {
  assert.equal(visible('a\r b\u200b👩\u200d💻\u00a0ü'), 'a\\u000d b\\u200b👩\\u200d💻\\u00a0ü');
});

test('a text is not split between the halves of a character', () => {
  assert.deepEqual(
    splitHidden('a👩b', ['👩b', 'a👩']),
    ['a', '👩', 'b'].filter((part) => part !== ''),
  );
  for (const part of splitHidden('👩👩👩', ['👩👩👩'])) assert.doesNotMatch(part, /\p{Cs}/u);
});
