import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { tlsOptions } from '../../tasks/EntraTokenV1/background/node-options.ts';

describe('the options for TLS in NODE_OPTIONS', () => {
  for (const { given, expected } of [
    { given: undefined, expected: [] },
    { given: '--max-old-space-size=4096 --require ./x.js', expected: [] },
    { given: '--use-openssl-ca', expected: ['--use-openssl-ca'] },
    { given: '  --use_system_ca   --tls-min-v1.0 ', expected: ['--use-system-ca', '--tls-min-v1.0'] },
    { given: '--tls-cipher-list=DEFAULT@SECLEVEL=0', expected: ['--tls-cipher-list=DEFAULT@SECLEVEL=0'] },
    { given: '--openssl-config "/etc/my ssl.cnf"', expected: ['--openssl-config=/etc/my ssl.cnf'] },
    {
      given: String.raw`--openssl-config="C:\\ssl\\a.cnf" --inspect`,
      expected: [String.raw`--openssl-config=C:\ssl\a.cnf`],
    },
    { given: '--require=--use-openssl-ca --title=--enable-fips', expected: [] },
    { given: '--use-openssl-ca=x', expected: [] },
  ]) {
    it(`${given} are ${JSON.stringify(expected)}`, () => assert.deepEqual(tlsOptions(given), expected));
  }
});
