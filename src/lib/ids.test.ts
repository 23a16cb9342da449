import { expect, test } from 'vitest';
import { newId, newIdBytes } from './ids.ts';

test('ids sort in the order in which they were made, also within one millisecond', () => {
  const ids = Array.from({ length: 20_000 }, newId);
  expect(ids).toEqual(ids.toSorted());
  expect(new Set(ids).size).toBe(ids.length);
});

test('no part of an id is another’s, over many draws of random bytes', () => {
  const ids = Array.from({ length: 5_000 }, newId);
  expect(new Set(ids.map((id) => id.slice(-11))).size).toBe(ids.length);
  expect(
    ids.every((id) => /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(id)),
  ).toBe(true);
});

test('the short form is a version 7 UUID too', () => {
  const bytes = newIdBytes();
  expect(bytes).toHaveLength(16);
  expect((bytes[6] ?? 0) >> 4).toBe(7);
});
