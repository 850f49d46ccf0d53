import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createMasker } from './masker.ts';

describe('a secret that is added while the job runs', () => {
  const cases: { secrets: string[]; text: string; masked: string; why: string }[] = [
    { secrets: ['abc'], text: 'x abc y abc', masked: 'x *** y ***', why: 'every occurrence' },
    { secrets: ['abc'], text: 'ABC', masked: 'ABC', why: 'case matters' },
    { secrets: ['abc', 'bcd'], text: '-abcd-', masked: '-***-', why: 'overlapping ranges become one' },
    { secrets: ['abc', 'def'], text: '-abcdef-', masked: '-***-', why: 'ranges that touch become one' },
    { secrets: ['abc', 'def'], text: 'abc def', masked: '*** ***', why: 'ranges apart stay apart' },
    { secrets: ['aa'], text: 'aaa', masked: '***', why: 'a secret may overlap itself' },
    { secrets: ['abcdef', 'cd'], text: 'abcdef', masked: '***', why: 'one inside of another' },
    { secrets: ['1'], text: 'port 4041', masked: 'port 404***', why: 'there is no minimum length' },
    { secrets: [''], text: 'abc', masked: 'abc', why: 'the empty secret hides nothing' },
    { secrets: ['a"b\\c'], text: '{"k":"a\\"b\\\\c"}', masked: '{"k":"***"}', why: 'its JSON form' },
    { secrets: ["a b!'()*/"], text: 'q=a%20b%21%27%28%29%2A%2F', masked: 'q=***', why: 'its form in a URI' },
    { secrets: ["a\\'b\\\\c"], text: "a'b\\c", masked: '***', why: 'its form without backslashes' },
    { secrets: ['secret'], text: 'c2VjcmV0', masked: 'c2VjcmV0', why: 'no Base64 form at run time' },
    { secrets: [' secret '], text: 'secret', masked: 'secret', why: 'no trimmed form at run time' },
    { secrets: ['a\nb'], text: 'a', masked: 'a', why: 'several lines are only found as a whole' },
  ];
  for (const { secrets, text, masked, why } of cases) {
    it(`masks '${text}': ${why}`, () => {
      const masker = createMasker();
      for (const secret of secrets) masker.add(secret);
      assert.equal(masker.mask(text), masked);
    });
  }
});

describe('a secret that comes with the job', () => {
  const cases: { secret: string; text: string; masked: string; why: string }[] = [
    { secret: 'secret', text: Buffer.from('secret').toString('base64'), masked: '***', why: 'Base64' },
    { secret: ' secret\n', text: 'secret', masked: '***', why: 'trimmed' },
    { secret: '"secret"', text: 'secret', masked: '***', why: 'without its quotes' },
    { secret: 'a\r\nb%', text: 'a%0D%0Ab%AZP25', masked: '***', why: 'escaped as in a command' },
    { secret: 'a\r\nb%', text: 'a%0D%0Ab%', masked: '***', why: 'escaped, but for the percent sign' },
    { secret: ' \n', text: 'a b', masked: 'a b', why: 'blank secrets are skipped' },
  ];
  for (const { secret, text, masked, why } of cases) {
    it(`is masked in '${text}': ${why}`, () => {
      const masker = createMasker();
      masker.addJobSecret(secret);
      assert.equal(masker.mask(text), masked);
    });
  }
});

describe('the password of a URL', () => {
  const cases = [
    ['https://user:pa%20ss@host/x', 'https://user:***@host/x'],
    ['git clone https://x:tökén+1@host', 'git clone https://x:***@host'],
    ['https://user@host:8080/a@b', 'https://user@host:8080/a@b'],
    ['mail to a:b@c', 'mail to a:b@c'],
  ];
  for (const [text = '', masked = ''] of cases) {
    it(`is all that is masked in ${text}`, () => assert.equal(createMasker().mask(text), masked));
  }
});
