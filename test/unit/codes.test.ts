import './build-constants.ts';
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { root } from '../../scripts/layout.ts';
import {
  type Code,
  codeOfAadsts,
  codeOfDevOpsNumber,
  codeOfNodeError,
  codes,
} from '../../tasks/EntraTokenV1/failure/catalogue.ts';
import { errorCode } from '../../tasks/EntraTokenV1/failure/failure.ts';

const task = join(root, 'tasks', 'EntraTokenV1');
const sources = readdirSync(task, { recursive: true, encoding: 'utf8' })
  .filter((name) => /\.[jt]s$/.test(name) && !name.endsWith('catalogue.ts'))
  .map((name) => readFileSync(join(task, name), 'utf8'))
  .join('\n');
const catalogue = readFileSync(join(task, 'failure', 'catalogue.ts'), 'utf8');

/** True where the code is one of an answer's numbers, or the one for all others. */
function followsFromNumber(code: Code): boolean {
  const entry = catalogue.slice(catalogue.indexOf(`  ${code}: {`)).split(/^ {2}\},/m)[0] ?? '';
  const numbers = [...entry.matchAll(/\b(\d{4,})\b/g)].map(([, number]) => Number(number));
  const names = [...entry.matchAll(/'([A-Z][A-Z0-9_]+)'/g)].map(([, name]) => name);
  return (
    numbers.some((number) => codeOfAadsts(number) === code) ||
    names.some((name) => codeOfDevOpsNumber(name) === code || codeOfNodeError(name) === code)
  );
}

describe('each code of the catalogue', () => {
  for (const code of codes) {
    it(`${code} is thrown somewhere`, () => {
      assert.ok(sources.includes(`'${code}'`) || sources.includes(`${code}:`) || followsFromNumber(code));
    });
  }
});

describe('an error of Node’s that has a code', () => {
  for (const [nodeCode, code] of [
    ['ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE', 'ET_TLS'],
    // OpenSSL 3.5, of Node 24.
    ['ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE', 'ET_TLS'],
    ['ECONNRESET', 'ET_CONNECTION'],
  ] as const) {
    it(`is known by it: ${nodeCode}`, () => {
      const error = Object.assign(new Error('refused'), { code: nodeCode });
      assert.equal(codeOfNodeError(errorCode(error)), code);
    });
  }

  it('is not, where the code could be anything', () => {
    for (const code of ['##vso[task.complete]', 'lower', 'A B', 7]) assert.equal(errorCode({ code }), undefined);
  });
});
