import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { escapeText, parseCommand, unescapeText } from './command.ts';

describe('parseCommand', () => {
  const golden: {
    line: string;
    properties?: Record<string, string>;
    data?: string;
    decodePercents?: boolean;
    why: string;
  }[] = [
    { line: '##vso[area.event k1=v1;]msg', properties: { k1: 'v1' }, data: 'msg', why: 'the plain form' },
    { line: '##vso[area.event]', why: 'neither properties nor data' },
    {
      line: '##vso[area.event k1=%3B=%0D=%0A=%5D%AZP25;]%3B-%0D-%0A-%5D%AZP253B',
      properties: { k1: ';=\r=\n=]%' },
      data: ';-\r-\n-]%3B',
      why: 'the percent sign is decoded last, so what it makes is not decoded again',
    },
    {
      line: '##vso[area.event k1=%3B=%0D=%0A=%5D%AZP25;]%3B-%0D-%0A-%5D%AZP253B',
      properties: { k1: ';=\r=\n=]%AZP25' },
      data: ';-\r-\n-]%AZP253B',
      decodePercents: false,
      why: 'DECODE_PERCENTS=false leaves the percent escape',
    },
    { line: '##vso[area.event k1=;k2=;]', why: 'a property without a value is dropped' },
    {
      line: '>>>   ##vso[area.event k1=v1;]msg',
      properties: { k1: 'v1' },
      data: 'msg',
      why: 'text before it is dropped',
    },
    {
      line: '##vso[area.event variable=a; issecret=true]x',
      properties: { variable: 'a', ' issecret': 'true' },
      data: 'x',
      why: 'keys are not trimmed',
    },
    { line: '##vso[area.event a=x]y;b=z]d', properties: { a: 'x' }, data: 'y;b=z]d', why: 'the first bracket ends it' },
    { line: '##vso[area.event K=1;k=2]', properties: { k: '2' }, why: 'keys have no case, and the last one wins' },
    { line: '##vso[area.event a=b=c]', properties: { a: 'b=c' }, why: 'only the first equals sign divides' },
    {
      line: '##vso[area.event a==b;c==;=d]',
      properties: { a: 'b' },
      why: 'empty parts are removed around equals signs',
    },
    { line: '##vso[area.event a=b]%25%0a', properties: { a: 'b' }, data: '%25%0a', why: '%25 and %0a are no escapes' },
    { line: '##vso[.area..event.]d', data: 'd', why: 'empty parts of the name are removed' },
  ];
  for (const { line, properties = {}, data = '', decodePercents = true, why } of golden) {
    it(`reads ${line} (decode percents: ${decodePercents}): ${why}`, () => {
      const command = parseCommand(line, decodePercents);
      assert.ok(command);
      assert.deepEqual([command.area, command.event], ['area', 'event']);
      assert.deepEqual(Object.fromEntries(command.properties), properties);
      assert.equal(command.data, data);
    });
  }

  const others = [
    '',
    'plain',
    '##vso',
    '##vso[area.event',
    '##VSO[area.event]',
    '##vso[area]',
    '##vso[a.b.c]',
    '##vso[]x',
  ];
  for (const line of others) {
    it(`finds no command in '${line}'`, () => assert.equal(parseCommand(line), undefined));
  }
});

describe('escapes of commands', () => {
  it('come back as they were', () => {
    const text = 'a;b\r\n]%AZP25 100%';
    assert.equal(unescapeText(escapeText(text)), text);
    assert.equal(escapeText(text), 'a%3Bb%0D%0A%5D%AZP25AZP25 100%AZP25');
  });
});
