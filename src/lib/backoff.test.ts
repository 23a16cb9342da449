import fc from 'fast-check';
import { expect, test } from 'vitest';
import { backoffDelay } from './backoff.ts';

test('a wait is random up to base × 2^attempt, and never over the maximum', () => {
  const policy = fc.record({
    baseMs: fc.integer({ min: 1, max: 10_000 }),
    maximumMs: fc.integer({ min: 1, max: 600_000 }),
  });
  const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
  fc.assert(
    fc.property(policy, fc.nat(), random, ({ baseMs, maximumMs }, attempt, part) => {
      const delay = backoffDelay({ baseMs, maximumMs }, attempt, part);
      expect(Number.isInteger(delay)).toBe(true);
      expect(delay).toBeGreaterThanOrEqual(0);
      expect(delay).toBeLessThanOrEqual(Math.min(maximumMs, baseMs * 2 ** attempt));
    }),
  );
  expect(
    [0, 1, 2, 10].map((attempt) => backoffDelay({ baseMs: 100, maximumMs: 1000 }, attempt, 0.5)),
  ).toEqual([50, 100, 200, 500]);
});
