import fc from 'fast-check';
import { expect, test } from 'vitest';
import { creditFor } from './crowding.ts';

const mebibyte = 1024 * 1024;

test.each([
  ['nothing', 0, 0, 16],
  ['little', 29_999, 31 * mebibyte, 16],
  ['many samples', 30_000, 0, 4],
  ['many bytes', 100, 32 * mebibyte, 4],
  ['more samples than are soon written', 60_000, 0, 1],
  ['more bytes than are soon written', 100, 64 * mebibyte, 1],
  ['more than there is memory for', 100, 128 * mebibyte, 0],
])('while %s waits', (_what, samples, bytes, credit) => {
  expect(creditFor({ samples, bytes }, 16)).toBe(credit);
});

test('more that waits never gives more credit', () => {
  const amount = fc.record({ samples: fc.nat(100_000), bytes: fc.nat(300 * mebibyte) });
  fc.assert(
    fc.property(amount, amount, fc.integer({ min: 1, max: 100 }), (waits, more, most) => {
      const sum = { samples: waits.samples + more.samples, bytes: waits.bytes + more.bytes };
      expect(creditFor(sum, most)).toBeLessThanOrEqual(creditFor(waits, most));
      expect(creditFor(waits, most)).toBeLessThanOrEqual(most);
    }),
  );
});
