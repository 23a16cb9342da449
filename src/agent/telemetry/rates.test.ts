import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Reading, ratesOf } from './rates.ts';

type Counters = { received: number; sent: number };
const reading = (at: number, counters: Record<string, Counters>): Reading<Counters> => ({
  at,
  counters: new Map(Object.entries(counters)),
});

test('a rate is what was added, by the time between', () => {
  const before = reading(1_000, { eth0: { received: 100, sent: 7 } });
  const after = reading(3_000, { eth0: { received: 5_100, sent: 7 } });
  expect(ratesOf(before, after, 'eth0')).toEqual({ received: 2_500, sent: 0 });
});

test('without a reading before, of a new device, and of a counter that began anew there is none', () => {
  const before = reading(0, { eth0: { received: 100, sent: 100 } });
  const after = reading(1_000, { eth0: { received: 200, sent: 10 }, eth1: { received: 1, sent: 1 } });
  expect(ratesOf(undefined, after, 'eth0')).toBeUndefined();
  expect(ratesOf(before, after, 'eth0')).toBeUndefined();
  expect(ratesOf(before, after, 'eth1')).toBeUndefined();
  expect(ratesOf(before, { ...after, at: 5 }, 'eth0')).toBeUndefined();
});

test('no rate is negative or infinite, whatever the counters do', () => {
  const counter = fc.record({ received: fc.maxSafeNat(), sent: fc.maxSafeNat() });
  const at = fc.double({ min: 0, max: 1e12, noNaN: true });
  fc.assert(
    fc.property(counter, counter, at, at, (old, now, from, to) => {
      const rates = ratesOf(reading(from, { x: old }), reading(to, { x: now }), 'x');
      for (const value of Object.values(rates ?? {})) {
        expect(value).toBeGreaterThanOrEqual(0);
        expect(Number.isFinite(value)).toBe(true);
      }
    }),
  );
});
