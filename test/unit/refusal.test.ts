import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isTransientAnswer, refusal } from '../../tasks/EntraTokenV1/exchange/refusal.ts';
import { EntraRefusal } from '../../tasks/EntraTokenV1/failure/failure.ts';
import type { Answer } from '../../tasks/EntraTokenV1/network/post.ts';
import './build-constants.ts';

function answer(body: unknown, status = 400, headers: Answer['headers'] = {}): Answer {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return { status, headers, body: text, skewMs: undefined, tries: 1, tookMs: 1 };
}

const traceId = '255d1aef-8c98-452f-ac51-23d051240864';
const correlationId = 'fb3d2015-bc17-4bb9-bb85-30c5cf1aaaa7';

// Each row: what was reported or is published, the answer, and the code that it has to end in.
for (const [report, given, code, number] of [
  [
    'Azure/login #515, #517, #573: the subject differs in case alone',
    answer({ error: 'invalid_client', error_codes: [7002138] }, 401),
    'ET_SUBJECT_MISMATCH',
    7002138,
  ],
  [
    'triton-lang/triton #10680: a policy of the tenant wants a claim',
    answer({ error: 'invalid_client', error_codes: [7002381] }, 401),
    'ET_POLICY',
    7002381,
  ],
  [
    'Q&A 2139753: the tenant takes no ID tokens of this Entra issuer',
    answer({ error: 'invalid_client', error_codes: [700236] }, 401),
    'ET_ENTRA_TOKEN_AS_ASSERTION',
    700236,
  ],
  [
    'arsenvlad/entra-cross-tenant-app-fic-managed-identity: another audience',
    answer({ error: 'invalid_client', error_codes: [7002121] }, 401),
    'ET_AUDIENCE_MISMATCH',
    7002121,
  ],
  [
    'windows-dev-center-vsts-extension #60: the general number comes first',
    answer({ error: 'invalid_client', error_codes: [70002, 70021] }, 401),
    'ET_NO_FEDERATED_CREDENTIAL',
    70021,
  ],
  [
    'azure-docs #69022: tenant restrictions of a proxy',
    answer({ error: 'invalid_grant', error_codes: [500021] }),
    'ET_TENANT_RESTRICTION',
    500021,
  ],
  ['azure-docs #94478: the same', answer({ error_codes: [500022] }), 'ET_TENANT_RESTRICTION', 500022],
  [
    'the same by a policy of Global Secure Access',
    answer({ error_codes: [5000211] }),
    'ET_TENANT_RESTRICTION',
    5000211,
  ],
  [
    'msal-dotnet #4905: the resource is disabled in the tenant',
    answer({ error: 'unauthorized_client', error_codes: [500014] }),
    'ET_RESOURCE_DISABLED',
    500014,
  ],
  ['a token of an application', answer({ error_codes: [700226] }), 'ET_ASSERTION_WRONG', 700226],
  ['a token for another audience', answer({ error_codes: [700227] }), 'ET_ASSERTION_WRONG', 700227],
  ['azure-docs #109083: a token of a user', answer({ error_codes: [700229] }), 'ET_ASSERTION_WRONG', 700229],
  ['a custom audience', answer({ error_codes: [700214] }), 'ET_AUDIENCE_MISMATCH', 700214],
  ['a case of no subject that is new', answer({ error_codes: [7002139] }), 'ET_SUBJECT_MISMATCH', 7002139],
  ['a case of no issuer that is new', answer({ error_codes: [7002115] }), 'ET_ISSUER_MISMATCH', 7002115],
  ['a case of no credential that is new', answer({ error_codes: [700218] }), 'ET_NO_FEDERATED_CREDENTIAL', 700218],
  ['a case of a policy that is new', answer({ error_codes: [7002389] }), 'ET_POLICY', 7002389],
  ['a seven-digit number with another meaning', answer({ error_codes: [7000222] }), 'ET_CLIENT_SECRET', 7000222],
  ['one that only looks like a case of 700021', answer({ error_codes: [7000219] }), 'ET_ENTRA_REFUSED', 7000219],
  ['a number in a text', answer({ error_codes: ['700213'] }), 'ET_SUBJECT_MISMATCH', 700213],
  ['a number outside of a list', answer({ error_codes: 700213 }), 'ET_SUBJECT_MISMATCH', 700213],
  [
    'a number in the description alone',
    answer({ error: 'invalid_client', error_description: 'AADSTS700213: …' }),
    'ET_SUBJECT_MISMATCH',
    700213,
  ],
  [
    'a general number in the list, a better one in the description',
    answer({ error_codes: [70002], error_description: 'AADSTS70002: … AADSTS50013: …' }),
    'ET_ASSERTION_WRONG',
    50013,
  ],
  [
    'a number in error_uri alone',
    answer({ error: 'invalid_client', error_uri: 'https://login.microsoftonline.com/error?code=700213' }),
    'ET_SUBJECT_MISMATCH',
    700213,
  ],
  [
    'a number under HTTP 200',
    answer({ error: 'invalid_client', error_codes: [700213] }, 200),
    'ET_SUBJECT_MISMATCH',
    700213,
  ],
  [
    'an answer that a gateway put into its own',
    answer({ error: { code: 'BadRequest', message: 'upstream: AADSTS700213: …' } }),
    'ET_SUBJECT_MISMATCH',
    700213,
  ],
  [
    'an answer that a gateway put into a text of its own, without its sentence',
    answer({ message: JSON.stringify({ error: 'invalid_client', error_codes: [70002, 700213] }) }),
    'ET_SUBJECT_MISMATCH',
    700213,
  ],
  [
    'a page of Entra',
    answer('<html>Sorry, but we’re having trouble signing you in. AADSTS90002: …</html>'),
    'ET_TENANT_UNKNOWN',
    90002,
  ],
] as const) {
  test(`${report}: ${code}`, () => {
    const failure = refusal(given);
    assert.equal(failure.code, code);
    assert.match(failure.happened, new RegExp(`AADSTS${number}\\b`));
    assert.ok(failure instanceof EntraRefusal && failure.aadsts === number);
  });
}

test('a number that the table lacks comes with the address to look it up', () => {
  for (const number of [1234567, 7002139]) {
    assert.match(refusal(answer({ error_codes: [number] })).line(), new RegExp(`/error\\?code=${number}\\b`));
  }
});

test('a case of a known number says which one it is taken for', () => {
  assert.match(refusal(answer({ error_codes: [7002139] })).happened, /AADSTS7002139, a case of AADSTS700213/);
});

for (const [report, given] of [
  [
    'microsoft-authentication-library-for-dotnet #3661: temporarily_unavailable with HTTP 400',
    answer({ error: 'temporarily_unavailable', error_codes: [90033] }),
  ],
  ['the word alone', answer({ error: 'temporarily_unavailable' })],
  ['the word with a number that is new', answer({ error: 'temporarily_unavailable', error_codes: [90099999] })],
  ['the number alone', answer({ error: 'invalid_request', error_codes: [90033] })],
  ['server_error with HTTP 400', answer({ error: 'server_error' })],
  ['temporarily_unavailable under HTTP 200', answer({ error: 'temporarily_unavailable' }, 200)],
] as const) {
  test(`${report}: is tried again, and is Entra's disturbance at last`, () => {
    assert.ok(isTransientAnswer(given));
    assert.equal(refusal(given).code, 'ET_ENTRA_UNAVAILABLE');
  });
}

for (const given of [
  answer({ error: 'invalid_client', error_codes: [700213] }),
  answer({ error: 'server_error', error_codes: [700213] }),
  answer({ token_type: 'Bearer', access_token: 'AADSTS90033', expires_in: 1 }, 200),
  answer('<html>'),
]) {
  test(`is not tried again: ${given.body}`, () => assert.ok(!isTransientAnswer(given)));
}

for (const [error, code] of [
  ['invalid_scope', 'ET_SCOPE_INVALID'],
  ['invalid_resource', 'ET_RESOURCE_UNKNOWN'],
  ['interaction_required', 'ET_CONDITIONAL_ACCESS'],
  ['invalid_client', 'ET_ENTRA_REFUSED'],
] as const) {
  test(`${error} without a number: ${code}`, () => assert.equal(refusal(answer({ error })).code, code));
}

test('the suberror is named beside an error without a number', () => {
  const failure = refusal(answer({ error: 'invalid_grant', suberror: 'bad_token', error_description: 'secret' }));
  assert.match(failure.happened, /HTTP 400, invalid_grant, bad_token\./);
});

test('the IDs for support are found in their fields, in the description, and in the headers', () => {
  for (const given of [
    answer({ error_codes: [700213], trace_id: traceId, correlation_id: correlationId }),
    answer({ error_description: `AADSTS700213: …\r\nTrace ID: ${traceId}\r\nCorrelation ID: ${correlationId}` }),
    answer({ error_codes: [700213] }, 400, { 'x-ms-request-id': traceId, 'client-request-id': correlationId }),
  ]) {
    assert.match(refusal(given).happened, new RegExp(`\\(trace ID ${traceId}, correlation ID ${correlationId}\\)`));
  }
});

test('nothing else of an answer is shown', () => {
  const failure = refusal(
    answer({
      error: 'Bearer eyJ0',
      suberror: 'A secret',
      error_description: 'AADSTS700213 secret',
      error_uri: 'https://secret/',
    }),
  );
  assert.doesNotMatch(failure.line(), /secret|eyJ0/i);
});
