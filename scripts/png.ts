import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';

/** What stands in a picture under this key is the digest of what it was drawn from. */
const KEY = 'entra-token-source';
const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);

/** The digest that is written into a picture, and compared when a test asks whether the picture is still true. */
export function digestOf(source: string): string {
  return createHash('sha256').update(source).digest('hex');
}

/** Writes the digest of its source into a PNG, as a text chunk right after the header (PNG specification, 11.3.4.3). */
export function withDigest(png: Buffer, source: string): Buffer {
  const body = Buffer.from(`tEXt${KEY}\0${digestOf(source)}`, 'latin1');
  const chunk = Buffer.alloc(body.length + 8);
  chunk.writeUInt32BE(body.length - 4, 0);
  body.copy(chunk, 4);
  chunk.writeUInt32BE(crc32(body), body.length + 4);
  const afterHeader = SIGNATURE.length + 8 + 13 + 4;
  return Buffer.concat([png.subarray(0, afterHeader), chunk, png.subarray(afterHeader)]);
}

/** Width and height in pixels, and the digest of the source where the picture has one. Throws for what is no PNG. */
export function readPng(png: Buffer): { width: number; height: number; digest: string | undefined } {
  if (!png.subarray(0, SIGNATURE.length).equals(SIGNATURE)) {
    throw new TypeError('no PNG');
  }
  const digest = new RegExp(`tEXt${KEY}\\0([0-9a-f]{64})`).exec(png.toString('latin1'))?.[1];
  return { width: png.readUInt32BE(16), height: png.readUInt32BE(20), digest };
}
