import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { removeKeptCode } from '../../tasks/EntraTokenV1/agent/earlier-versions.ts';

/** A folder with code as version 1.0 kept it, and one that it never made. */
function keepCode(folder: string): void {
  mkdirSync(join(folder, 'below'), { recursive: true });
  writeFileSync(join(folder, '0123456789abcdef-v20.20.0-x64-1-2'), 'code');
  writeFileSync(join(folder, 'below', 'file'), 'another');
}

describe('the code that version 1.0 kept in the home', () => {
  const rows: readonly {
    what: string;
    make: (home: string, elsewhere: string) => void;
    left: readonly string[];
  }[] = [
    {
      what: 'is removed, and nothing beside it',
      make: (home) => {
        keepCode(join(home, '.cache', 'entra-token'));
        keepCode(join(home, '.cache', 'entra-token-other'));
      },
      left: ['entra-token-other'],
    },
    {
      what: 'is removed without following a link in it',
      make: (home, elsewhere) => {
        keepCode(join(home, '.cache', 'entra-token'));
        symlinkSync(elsewhere, join(home, '.cache', 'entra-token', 'link'));
      },
      left: [],
    },
    {
      what: 'is left where its folder is a link',
      make: (home, elsewhere) => {
        mkdirSync(join(home, '.cache'));
        symlinkSync(elsewhere, join(home, '.cache', 'entra-token'));
      },
      left: ['entra-token'],
    },
    {
      what: 'is left where the folder above it is a link',
      make: (home, elsewhere) => symlinkSync(join(elsewhere, '..'), join(home, '.cache')),
      left: ['entra-token'],
    },
    {
      what: 'is left where a file has its name',
      make: (home) => {
        mkdirSync(join(home, '.cache'));
        writeFileSync(join(home, '.cache', 'entra-token'), 'a file');
      },
      left: ['entra-token'],
    },
  ];
  for (const { what, make, left } of rows) {
    it(what, () => {
      const place = mkdtempSync(join(tmpdir(), 'kept-code-'));
      try {
        const [home, elsewhere] = [join(place, 'home'), join(place, 'elsewhere', 'entra-token')];
        mkdirSync(home);
        keepCode(elsewhere);
        make(home, elsewhere);
        removeKeptCode(() => home);
        assert.deepEqual(readdirSync(join(home, '.cache')), left);
        assert.ok(existsSync(join(elsewhere, 'below', 'file')), 'what lies elsewhere is untouched');
      } finally {
        rmSync(place, { recursive: true, force: true });
      }
    });
  }

  it('is no matter where the system does not know the user, or there is no home', () => {
    removeKeptCode(() => {
      throw new Error('ENOENT: no such user');
    });
    removeKeptCode(() => '/nonexistent');
  });

  it('is not looked for in the working folder where the home is empty', (context) => {
    const place = mkdtempSync(join(tmpdir(), 'kept-code-'));
    const before = process.cwd();
    context.after(() => {
      process.chdir(before);
      rmSync(place, { recursive: true, force: true });
    });
    keepCode(join(place, '.cache', 'entra-token'));
    process.chdir(place);
    removeKeptCode(() => '');
    assert.ok(existsSync(join(place, '.cache', 'entra-token', 'below', 'file')));
  });
});
