import assert from 'node:assert/strict';
import { test } from 'node:test';
import { format, inspect } from 'node:util';
import { readIdToken } from '../../tasks/EntraTokenV1/id-token/id-token.ts';
import { printableForms, Secret } from '../../tasks/EntraTokenV1/text/secret.ts';

const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
const claims = { iss: 'https://issuer', sub: 'subject', aud: 'audience', exp: 1_800_000_000, iat: 1_799_999_400 };
const signature = Buffer.from('a signature that is long enough to be one').toString('base64url');
const jwt = (payload: unknown): string => `${part({ alg: 'RS256', typ: 'JWT' })}.${part(payload)}.${signature}`;
const token = jwt(claims);

test('a secret shows itself in no way of printing', () => {
  const secret = Secret.maskedByAgent(token);
  const shown = [
    `${secret}`,
    String(secret),
    JSON.stringify({ secret }),
    inspect({ deep: { secret } }, { showHidden: true, depth: 9 }),
    format('%s %o %O %j', secret, secret, secret, secret),
    Object.entries(secret).join(),
    inspect(new Error('x', { cause: secret })),
  ];
  for (const text of shown) for (const piece of token.split('.')) assert.ok(!text.includes(piece), text);
  assert.equal(secret.reveal(), token);
});

test('a token is masked before there is anything that could print it', () => {
  const masked: string[] = [];
  assert.throws(() =>
    Secret.masked(token, (form) => {
      masked.push(form);
      throw new Error('the agent is gone');
    }),
  );
  assert.equal(masked[0], token);
});

/** As the agent does it: every text that was masked is blotted out. */
function blot(text: string): string {
  return printableForms(token)
    .sort((a, b) => b.length - a.length)
    .reduce((left, form) => left.replaceAll(form, '***'), text);
}

const base64 = (text: string): string => Buffer.from(text).toString('base64');
for (const [title, text] of [
  ['itself', token],
  ['its parts', token.split('.').join('\n')],
  ['header and payload', token.slice(0, token.lastIndexOf('.'))],
  ['payload and signature', token.slice(token.indexOf('.') + 1)],
  ['Base64', base64(token)],
  ['Base64 of Basic authorization without a user', base64(`:${token}`)],
  ['Base64 of Basic authorization with a user', base64(`user:${token}`)],
  ['Base64 of Basic authorization with a longer user', base64(`a.user:${token}`)],
  ['Base64 of a header', base64(`Authorization: Bearer ${token}\r\n`)],
  ['Base64 for an address', Buffer.from(`x${token}`).toString('base64url')],
  ['Base64 of the token and a line end, as echo makes it', base64(`${token}\n`)],
] as const) {
  test(`a masked token cannot be read out of: ${title}`, () => {
    const left = blot(text);
    const pieces = [token, ...[0, 1, 2].map((offset) => base64(' '.repeat(offset) + token))].flatMap((form) =>
      Array.from({ length: form.length - 23 }, (_, start) => form.slice(start, start + 24)),
    );
    assert.ok(!pieces.some((piece) => left.includes(piece)), left);
  });
}

test('no mask is so short that it would blot out ordinary words', () => {
  const forms = printableForms(`${part({ a: 1 })}.${part({})}.abc`);
  assert.ok(
    forms.every((form) => form.length >= 16),
    forms.join('\n'),
  );
});

test('an ID token is read for what the task needs of it', () => {
  const masked: string[] = [];
  const idToken = readIdToken(token, (form) => masked.push(form));
  assert.deepEqual(
    { ...idToken, token: idToken?.token.reveal() },
    {
      token,
      issuer: 'https://issuer',
      subject: 'subject',
      audiences: ['audience'],
      expiresAt: 1.8e12,
      issuedAt: 1.7999994e12,
    },
  );
  assert.ok(masked.includes(token));
  assert.deepEqual(readIdToken(jwt({ ...claims, aud: ['a', 1, 'b'] }), () => {})?.audiences, ['a', 'b']);
  assert.equal(readIdToken(jwt({ ...claims, iat: undefined }), () => {})?.issuedAt, undefined);
});

for (const [title, text] of [
  ['an empty text', ''],
  ['the text null', 'null'],
  ['two parts', 'a.b'],
  ['four parts', `${token}.x`],
  ['a blank', `${token} `],
  ['a line end', `${token}\n`],
  ['a payload that is no JSON', `${part({})}.abc.${signature}`],
  ['a payload that is an array', jwt([claims])],
  ['a payload that is null', jwt(null)],
  ['no issuer', jwt({ ...claims, iss: undefined })],
  ['no subject', jwt({ ...claims, sub: 5 })],
  ['no expiry', jwt({ ...claims, exp: '1800000000' })],
  ['no audience', jwt({ ...claims, aud: undefined })],
  ['an encrypted token, which has five parts', 'a.b.c.d.e'],
] as const) {
  test(`no ID token: ${title}`, () =>
    assert.equal(
      readIdToken(text, () => {}),
      undefined,
    ));
}
