import { expect, test } from 'vitest';
import { createAllowance } from './allowance.ts';

const minuteMs = 60_000;
const some = (maximumNames = 100) => createAllowance({ atOnce: 3, refillMs: minuteMs, maximumNames });

test('some are granted at once, and then one after each wait', () => {
  const allowance = some();
  const taken = Array.from({ length: 4 }, () => allowance.take('a', 0));
  expect(taken).toEqual([0, 0, 0, minuteMs]);
  expect(allowance.take('a', 20_000)).toBe(40_000);
  expect(allowance.take('a', minuteMs)).toBe(0);
  expect(allowance.take('a', minuteMs)).toBe(minuteMs);
  expect(allowance.take('b', minuteMs)).toBe(0);
});

test('after a long time there are no more than at first', () => {
  const allowance = some();
  allowance.take('a', 0);
  const taken = Array.from({ length: 4 }, () => allowance.take('a', 100 * minuteMs));
  expect(taken).toEqual([0, 0, 0, minuteMs]);
});

test('of too many names the one that took longest ago is forgotten', () => {
  const allowance = some(2);
  for (const name of ['a', 'a', 'a', 'b', 'b', 'b', 'c']) expect(allowance.take(name, 0)).toBe(0);
  expect(allowance.take('b', 0)).toBeGreaterThan(0);
  expect(allowance.take('a', 0)).toBe(0);
});
