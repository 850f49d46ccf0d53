import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { cacheFolder } from '../../tasks/EntraTokenV1/agent/code-cache.ts';

const module = join(import.meta.dirname, '../../tasks/EntraTokenV1/agent/code-cache.ts');

/** A program as main.ts is one: it starts itself from the cache, runs, and keeps the code at its end. */
const program = (folder: string): string => `
  const { startedFromCache, startFromCache } = require(${JSON.stringify(module)});
  function work(n) { return n < 2 ? n : work(n - 1) + work(n - 2); }
  const keep = startedFromCache();
  if (keep !== undefined || !startFromCache(__filename, require, ${JSON.stringify(folder)})) {
    console.log(work(15), keep === undefined ? 'by itself' : 'from the cache');
    keep?.();
  }
`;

describe('compiled code is kept between steps', { concurrency: 1 }, () => {
  let home: string;
  let folder: string;
  let file: string;

  before(() => {
    home = mkdtempSync(join(tmpdir(), 'entra-token-code-'));
    folder = cacheFolder({}, home) ?? '';
    file = join(home, 'program.cjs');
    writeFileSync(file, program(folder));
  });
  after(() => rmSync(home, { recursive: true, force: true }));

  const run = (path = file): string =>
    execFileSync(process.execPath, ['--import', 'tsx', path], { encoding: 'utf8', cwd: import.meta.dirname }).trim();
  const stores = (): string[] => readdirSync(folder).map((name) => join(folder, name));

  it('keeps it after the first run, for the user alone, and takes it in the second', () => {
    assert.equal(run(), '610 from the cache');
    const [store = '', ...others] = stores();
    assert.deepEqual(others, []);
    assert.equal(statSync(folder).mode & 0o777, 0o700);
    assert.equal(statSync(store).mode & 0o777, 0o600);
    const { mtimeMs } = statSync(store);
    assert.equal(run(), '610 from the cache');
    assert.equal(statSync(store).mtimeMs, mtimeMs, 'it was not written again');
  });

  it('compiles anew where the kept code is damaged, and replaces it', () => {
    const [store = ''] = stores();
    const sound = readFileSync(store);
    for (const at of [0, 40, sound.length - 1]) {
      const damaged = Buffer.from(sound);
      damaged.writeUInt8(damaged.readUInt8(at) ^ 0xff, at);
      writeFileSync(store, damaged);
      assert.equal(run(), '610 from the cache');
      assert.notDeepEqual(readFileSync(store), damaged);
    }
  });

  it('keeps the code of each text apart, and removes what no step has run for a month', () => {
    const [old = ''] = stores();
    const longAgo = new Date(Date.now() - 40 * 24 * 3600 * 1000);
    utimesSync(old, longAgo, longAgo);
    const changed = join(home, 'changed.cjs');
    writeFileSync(changed, `${program(folder)}\n// changed`);
    assert.equal(run(changed), '610 from the cache');
    assert.equal(stores().includes(old), false);
    assert.equal(stores().length, 1);
  });

  const refused: readonly {
    why: string;
    environment?: Record<string, string>;
    home?: string;
    make?: (at: string) => void;
  }[] = [
    { why: 'a hosted agent never has a second job', environment: { AGENT_ISSELFHOSTED: '0' } },
    { why: 'the user has no home', home: '' },
    {
      why: 'others may write to the folder',
      make: (at) => {
        mkdirSync(join(at, '.cache', 'entra-token'), { recursive: true });
        chmodSync(join(at, '.cache', 'entra-token'), 0o777);
      },
    },
    {
      why: 'the folder is a link to another place',
      make: (at) => {
        mkdirSync(join(at, '.cache'));
        mkdirSync(join(at, 'elsewhere'));
        symlinkSync(join(at, 'elsewhere'), join(at, '.cache', 'entra-token'));
      },
    },
    { why: 'the home cannot be written to', make: (at) => writeFileSync(join(at, '.cache'), 'a file') },
  ];
  for (const row of refused) {
    it(`keeps nothing where ${row.why}`, () => {
      const place = mkdtempSync(join(tmpdir(), 'entra-token-code-'));
      try {
        row.make?.(place);
        assert.equal(cacheFolder(row.environment ?? {}, row.home ?? place), undefined);
      } finally {
        rmSync(place, { recursive: true, force: true });
      }
    });
  }
});
