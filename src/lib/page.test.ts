import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decodeToken, encodeToken, pageOf } from './page.ts';

test('a token leads back to its key', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), (key) => {
      fc.pre(!key.includes('\0'));
      expect(decodeToken(encodeToken(key))).toBe(key);
    }),
  );
});

test.each([
  ['padding', 'YQ=='],
  ['no base64url', 'ä!'],
  ['bytes that are no text', Buffer.from([0xff, 0xfe]).toString('base64url')],
  ['a NUL, which no row has', encodeToken('a\0b')],
])('a token that was never handed out is refused: %s', (_, token) => {
  expect(() => decodeToken(token)).toThrow(
    expect.objectContaining({
      code: 'invalid_request',
      fields: [expect.objectContaining({ field: 'pageToken' })],
    }),
  );
});

test('pages one after the other hold every row once', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 50 }), fc.integer({ min: 1, max: 20 }), (count, size) => {
      const rows = Array.from({ length: count }, (_, n) => n);
      const seen: number[] = [];
      let after = -1;
      for (;;) {
        const found = rows.filter((n) => n > after).slice(0, size + 1);
        const { items, nextToken } = pageOf(found, size, String);
        expect(items.length).toBeLessThanOrEqual(size);
        seen.push(...items);
        if (nextToken === undefined) break;
        after = Number(decodeToken(nextToken));
      }
      expect(seen).toEqual(rows);
    }),
  );
});
