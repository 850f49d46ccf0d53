import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Head, readHead } from '../../tasks/EntraTokenV1/endpoint/request-head.ts';

const kind = (head: Head): string => (typeof head === 'string' ? head : 'whole');

describe('the head of a request', () => {
  it('is read with all values of a header, names in lower case and blanks around values gone', () => {
    const head = readHead('GET /token?a=b HTTP/1.1\r\nHost: x\r\nX-A:\t1 \r\nx-a: 2 3\r\nEmpty:\r\n\r\nbody');
    assert.ok(typeof head === 'object');
    assert.deepEqual([head.method, head.target], ['GET', '/token?a=b']);
    assert.deepEqual({ ...head.headers }, { host: ['x'], 'x-a': ['1', '2 3'], empty: [''] });
  });

  it('has no header that every object has', () => {
    const head = readHead('GET / HTTP/1.1\r\nA: b\r\n\r\n');
    assert.ok(typeof head === 'object');
    assert.equal(head.headers['constructor'], undefined);
  });

  for (const { text, is } of [
    { text: '', is: 'incomplete' },
    { text: 'GET /', is: 'incomplete' },
    { text: 'GET / HTTP/1.1\r\nHost: x\r\n', is: 'incomplete' },
    { text: 'GET / HTTP/1.1\r\nHost: x\r\n\r', is: 'incomplete' },
    { text: 'GET / HTTP/1.0\r\n\r\n', is: 'whole' },
    { text: 'GET / HTTP/1.1\r\n\r\nGET', is: 'whole' },
    { text: `GET / HTTP/1.1\r\nA: ${'a'.repeat(8000)}\r\n\r\n`, is: 'whole' },
    { text: `GET / HTTP/1.1\r\nA: ${'a'.repeat(9000)}\r\n\r\n`, is: 'too large' },
    { text: `GET /${'a'.repeat(9000)}`, is: 'too large' },
    { text: '\r\nGET / HTTP/1.1\r\n\r\n', is: 'wrong' },
    { text: '\x16\x03\x01', is: 'wrong' },
    { text: 'GET / HTTP/1.1\nHost: x\n', is: 'wrong' },
    { text: 'GET / HTTP/1.1\r\nHost: x\n\r\n', is: 'wrong' },
    { text: 'GET / HTTP/2.0\r\n\r\n', is: 'wrong' },
    { text: 'GET  / HTTP/1.1\r\n\r\n', is: 'wrong' },
    { text: 'GET /\x80 HTTP/1.1\r\n\r\n', is: 'wrong' },
    { text: 'GET / HTTP/1.1 \r\n\r\n', is: 'wrong' },
    { text: 'GET / HTTP/1.1\r\nHost : x\r\n\r\n', is: 'wrong' },
    { text: 'GET / HTTP/1.1\r\nHost\r\n\r\n', is: 'wrong' },
    { text: 'GET / HTTP/1.1\r\n: x\r\n\r\n', is: 'wrong' },
    { text: 'GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n', is: 'wrong' },
    { text: 'GET / HTTP/1.1\r\nA: b\0c\r\n\r\n', is: 'wrong' },
    { text: 'GET / HTTP/1.1\r\nA: b\rc\r\n\r\n', is: 'wrong' },
  ]) {
    it(`is ${is}: ${JSON.stringify(text.slice(0, 40))}`, () => assert.equal(kind(readHead(text)), is));
  }
});
