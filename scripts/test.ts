import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './layout.ts';

/** Every test of the repository but the long ones, which `npm run soak` runs. */
function allTests(): string[] {
  return readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.test.ts') && !name.startsWith('soak'))
    .map((name) => join('test', name))
    .sort();
}

const given = process.argv.slice(2);
const files = given.length > 0 ? given : allTests();
const options = ['--import', 'tsx', '--test', '--test-concurrency=3', '--test-reporter=spec'];
const result = spawnSync(process.execPath, [...options, ...files], { cwd: root, stdio: 'inherit' });
process.exit(result.status ?? 1);
