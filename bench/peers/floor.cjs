// The least that a process of Node can do for a token: the two requests, and the end.
const { readFileSync } = require('node:fs');
const https = require('node:https');

const { BENCH_ID_TOKEN_URL, BENCH_JOB_TOKEN, BENCH_TOKEN_URL, BENCH_CLIENT_ID, BENCH_SCOPE, BENCH_CA } = process.env;
const ca = readFileSync(BENCH_CA);

function post(url, headers, body, done) {
  const request = https.request(url, { method: 'POST', headers, ca }, (response) => {
    let text = '';
    response.setEncoding('utf8');
    response.on('data', (chunk) => {
      text += chunk;
    });
    response.on('end', () => done(JSON.parse(text)));
  });
  request.end(body);
}

const ask = {
  Authorization: `Bearer ${BENCH_JOB_TOKEN}`,
  Accept: 'application/json',
  'Content-Type': 'application/json',
  'Content-Length': 2,
};
post(BENCH_ID_TOKEN_URL, ask, '{}', ({ oidcToken }) => {
  const form = new URLSearchParams({
    grant_type: 'client_credentials',
    client_id: BENCH_CLIENT_ID,
    scope: BENCH_SCOPE,
    client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
    client_assertion: oidcToken,
  }).toString();
  const headers = { 'Content-Type': 'application/x-www-form-urlencoded', 'Content-Length': Buffer.byteLength(form) };
  post(BENCH_TOKEN_URL, headers, form, ({ access_token }) => {
    process.stdout.write(`${access_token}\n`, () => process.exit(0));
  });
});
