import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { root } from '../../scripts/layout.ts';
import { catalogue, codeOfAadsts, codeOfNodeError, codes } from '../../tasks/EntraTokenV1/failure/catalogue.ts';

/** The text under each heading of the second level, by the heading. */
function sectionsOf(markdown: string): Map<string, string> {
  const parts = markdown.split(/^## /m).slice(1);
  return new Map(parts.map((part) => [part.slice(0, part.indexOf('\n')).trim(), part.slice(part.indexOf('\n'))]));
}

const sections = sectionsOf(readFileSync(join(root, 'docs', 'errors.md'), 'utf8'));

/** What an entry of the catalogue may have; each has some of it. */
function entryOf(code: (typeof codes)[number]): {
  aadsts?: readonly number[];
  devOps?: readonly string[];
  node?: readonly string[];
} {
  return catalogue[code];
}

const numbersIn = (text: string): number[] => [...text.matchAll(/AADSTS(\d+)/g)].map(([, number]) => Number(number));

describe('docs/errors.md', () => {
  it('has a heading for each code, in the order of the catalogue, and no other', () => {
    assert.deepEqual(
      [...sections.keys()].filter((heading) => /^ET_/.test(heading)),
      codes,
    );
  });

  for (const code of codes) {
    it(`says of ${code} what to do, and which numbers of the services lead to it`, () => {
      const text = sections.get(code) ?? '';
      assert.ok(text.trim().length > 100, 'a heading alone helps nobody');
      // What happened, the likely causes where there are several, and what to do.
      assert.match(text, /^\s*[A-Z`][\s\S]*?\n(?:\*\*Likely causes\*\*\n[\s\S]*?\n)?\*\*What to do\*\*\n\n/);
      assert.equal(text.match(/^\*\*/gm)?.length, text.includes('**Likely causes**') ? 2 : 1, 'one shape for all');
      assert.deepEqual(numbersIn(text).sort(), [...(entryOf(code).aadsts ?? [])].sort());
      assert.deepEqual(text.match(/\b(?:TF|VS)\d+/g) ?? [], [...(entryOf(code).devOps ?? [])]);
    });
  }

  it('has no link to a heading that is not there', () => {
    const anchors = new Set(
      [...sections.keys()].map((heading) =>
        heading
          .toLowerCase()
          .replaceAll(/[^\w -]/g, '')
          .replaceAll(' ', '-'),
      ),
    );
    for (const text of sections.values()) {
      for (const [, anchor] of text.matchAll(/\]\(#([^)]+)\)/g)) assert.ok(anchors.has(anchor ?? ''), anchor);
    }
  });
});

describe('the catalogue', () => {
  it('leads from each number and each code of Node to one entry', () => {
    const numbers = codes.flatMap((code) => entryOf(code).aadsts ?? []);
    const names = codes.flatMap((code) => entryOf(code).node ?? []);
    assert.equal(new Set(numbers).size, numbers.length);
    assert.equal(new Set(names).size, names.length);
    for (const code of codes) {
      for (const number of entryOf(code).aadsts ?? []) assert.equal(codeOfAadsts(number), code);
      for (const name of entryOf(code).node ?? []) assert.equal(codeOfNodeError(name), code);
    }
  });

  // What users of federated connections report, collected from issue threads and Microsoft's own pages.
  const known = [
    700016, 700024, 70021, 700211, 700212, 700213, 70025, 700223, 700238, 700222, 700231, 70023, 700021, 700023, 50027,
    70052, 900382, 50166, 90061, 7000215, 7000222, 500011, 1002012, 70011, 900023, 90002, 53003, 501051, 7000216,
  ];
  it('has an entry for each refusal of Entra that is known to arise', () => {
    assert.deepEqual(
      known.filter((number) => codeOfAadsts(number) === 'ET_ENTRA_REFUSED'),
      [],
    );
  });

  it('says in each entry why and what to do, in whole sentences', () => {
    for (const code of codes) {
      const { reason, remedy } = catalogue[code];
      for (const sentence of [reason, remedy]) assert.match(sentence, /^[A-Z].*\.$/s, `${code}: ${sentence}`);
    }
  });
});
