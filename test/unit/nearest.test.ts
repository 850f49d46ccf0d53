import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nearest } from '../../tasks/EntraTokenV1/text/nearest.ts';

const inputs = ['scopes', 'tenantId', 'kubernetesFallback', 'azureSubscription', 'claims'];

for (const [word, meant, why] of [
  ['scope', 'scopes', 'a letter is missing'],
  ['scoeps', 'scopes', 'two letters changed places'],
  ['SCOPES ', 'scopes', 'case does not count'],
  ['kubernetesFalback', 'kubernetesFallback', 'a letter is missing'],
  ['subscription', 'azureSubscription', 'it is a part of the name'],
  ['myTenantId', 'tenantId', 'the name is a part of it'],
  ['id', undefined, 'two letters are part of many names'],
  ['resource', undefined, 'no name is near'],
  ['', undefined, 'there is nothing to compare'],
] as const) {
  test(`nearest to '${word}' is ${meant ?? 'nothing'}: ${why}`, () => assert.equal(nearest(word, inputs), meant));
}
