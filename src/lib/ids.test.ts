import { expect, test } from 'vitest';
import { newId, newIdBytes } from './ids.ts';

test('ids sort in the order in which they were made, also within one millisecond', () => {
  const ids = Array.from({ length: 20_000 }, newId);
  expect(ids).toEqual(ids.toSorted());
  expect(new Set(ids).size).toBe(ids.length);
});

test('the short form is a version 7 UUID too', () => {
  const bytes = newIdBytes();
  expect(bytes).toHaveLength(16);
  expect((bytes[6] ?? 0) >> 4).toBe(7);
});
