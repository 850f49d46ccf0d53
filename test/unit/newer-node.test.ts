import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { it } from 'node:test';
import { root } from '../../scripts/layout.ts';
import { catalogue } from '../../tasks/EntraTokenV1/failure/catalogue.ts';

it('what is said of an old Node, where nothing of the catalogue can be loaded, is what the catalogue says', () => {
  const source = readFileSync(join(root, 'tasks', 'EntraTokenV1', 'newer-node.js'), 'utf8');
  const { reason, remedy } = catalogue.ET_NODE_VERSION;
  assert.ok(source.replaceAll(/['`] \+\s+['`]/g, '').includes(`${reason} ${remedy} `));
});
