import fc from 'fast-check';
import { expect, test } from 'vitest';
import { canonicalJson, findUnstorable, storableJson, storableText } from './text.ts';

const anyText = fc.string({ unit: fc.integer({ min: 0, max: 0xffff }).map((c) => String.fromCharCode(c)) });

test('storable text has neither NUL nor half a surrogate pair, and stays as it is where it had none', () => {
  fc.assert(
    fc.property(anyText, (text) => {
      const stored = storableText(text);
      expect(stored).not.toContain('\u0000');
      expect(stored.isWellFormed()).toBe(true);
      expect(storableText(stored)).toBe(stored);
      if (text.isWellFormed() && !text.includes('\u0000')) expect(stored).toBe(text);
    }),
  );
});

test('storable JSON is the same value with its strings and keys made storable', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      expect(JSON.parse(storableJson(value))).toEqual(JSON.parse(JSON.stringify(value)));
    }),
  );
  expect(storableJson({ 'a\0': ['\ud800', { b: '\0' }] })).toBe('{"a\ufffd":["\ufffd",{"b":"\ufffd"}]}');
});

test('the first string that cannot be stored is found by its path', () => {
  expect(findUnstorable({ argv: ['a', 'b\0'] })).toBe('argv[1]');
  expect(findUnstorable({ a: { 'b\0': 1 } })).toBe('a.b\0');
  expect(findUnstorable({ a: [{ b: '\udc00' }] })).toBe('a[0].b');
  expect(findUnstorable({ a: 1, b: null, c: ['x'] })).toBeUndefined();
});

test('equal values have the same canonical JSON, whatever the order of their keys', () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (value) => {
      const reversed = Object.fromEntries(Object.entries(value).reverse());
      expect(canonicalJson(reversed)).toBe(canonicalJson(value));
    }),
  );
  expect(canonicalJson({ b: [{ d: 1, c: 2 }], a: undefined })).toBe('{"b":[{"c":2,"d":1}]}');
  expect(canonicalJson([1, 2])).not.toBe(canonicalJson([2, 1]));
});
