import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PieceGuard } from '../../tasks/EntraTokenV1/text/piece-guard.ts';

const secret = 'eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIGxvbmcgc3ViamVjdCJ9.c2lnbmF0dXJlLW9mLXRoZS10b2tlbg';
const guard = new PieceGuard();
guard.add(secret);
guard.add(Buffer.from(secret).toString('hex'));
guard.add('a pass+word');

const chunks = (text: string, size: number) => text.match(new RegExp(`.{1,${size}}`, 'g')) ?? [];

for (const [title, line, cleaned] of [
  ['a secret', `before ${secret} after`, 'before *** after'],
  ['a piece of it', `before ${secret.slice(30, 52)} after`, 'before *** after'],
  ['a piece within a longer word', `x/${secret.slice(30, 60)}/y z`, '*** z'],
  ['its hexadecimal form', Buffer.from(secret).toString('hex').slice(7, 50), '***'],
  ['chunks with blanks between', `a: ${chunks(secret.slice(0, 60), 10).join(' ')} :b`, 'a: *** :b'],
  ['chunks with brackets between', `[${chunks(secret, 7).join('][')}]`, '[***]'],
  ['two pieces', `${secret.slice(0, 30)} and ${secret.slice(40, 70)}`, '*** and ***'],
  ['a short secret', 'user:a pass+word@host', 'user:***@host'],
  ['less than a piece', secret.slice(0, 19), secret.slice(0, 19)],
  ['nothing of it', 'Client 0a7d3f1e-0000-4000-8000-000000000000', 'Client 0a7d3f1e-0000-4000-8000-000000000000'],
  ['nothing', '', ''],
] as const) {
  test(`of a line that has ${title}, this is left: ${cleaned.slice(0, 40)}`, () => {
    assert.equal(guard.clean(line), cleaned);
  });
}

test('each piece of a secret is found, wherever it begins', () => {
  const letters = secret.replaceAll('.', '');
  for (let at = 0; at + 20 <= letters.length; at++) {
    assert.equal(guard.clean(`<${letters.slice(at, at + 20)}>`), '<***>', `at ${at}`);
  }
});
