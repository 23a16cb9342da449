import fc from 'fast-check';
import { expect, test } from 'vitest';
import { canFill, type DiskSpace, freeBytesOf, imageFileSystems, percentOfDisk } from './disks.ts';

const gib = 2n ** 30n;

test.each<[what: string, disk: DiskSpace, percent: number | undefined, free: number]>([
  [
    'takes no more, with the blocks that only root may use',
    { totalBytes: 100n, usedBytes: 95n, availableBytes: 0n },
    100,
    0,
  ],
  [
    'has such blocks and room',
    { totalBytes: 100n * gib, usedBytes: 57n * gib, availableBytes: 38n * gib },
    60,
    Number(38n * gib),
  ],
  ['does not say what is available', { totalBytes: 100n, usedBytes: 95n }, 95, 5],
  ['is as the API says it', { totalBytes: 100, usedBytes: 30, availableBytes: 90 }, 25, 90],
  ['has no size', { totalBytes: 0n, usedBytes: 0n }, undefined, 0],
  ['is empty, and for root alone', { totalBytes: 100n, usedBytes: 0n, availableBytes: 0n }, undefined, 0],
  ['says more than it can have', { totalBytes: 100n, usedBytes: 300n }, 100, 0],
  [
    'says a number that is not exact',
    { totalBytes: 100n, usedBytes: 0n, availableBytes: 2n ** 64n - 1n },
    0,
    Number.MAX_SAFE_INTEGER,
  ],
])('of a disk that %s it is known how full it is', (_what, disk, percent, free) => {
  expect(percentOfDisk(disk)).toBe(percent);
  expect(freeBytesOf(disk)).toBe(free);
});

test('a disk is full exactly when nothing is left, and never fuller than that', () => {
  const bytes = fc.bigInt({ min: 0n, max: 2n ** 50n });
  fc.assert(
    fc.property(bytes, bytes, bytes, fc.boolean(), (usedBytes, left, reserved, told) => {
      const totalBytes = usedBytes + left + (told ? reserved : 0n);
      const disk = { totalBytes, usedBytes, ...(told ? { availableBytes: left } : {}) };
      const percent = percentOfDisk(disk);
      if (usedBytes + left === 0n) return expect(percent).toBeUndefined();
      expect(percent).toBeGreaterThanOrEqual(0);
      expect(percent).toBeLessThanOrEqual(100);
      if (left === 0n) expect(percent).toBe(100);
      expect(freeBytesOf(disk)).toBe(Number(left));
    }),
  );
});

test('what nothing can be written to does not count', () => {
  for (const fileSystem of imageFileSystems) expect(canFill({ fileSystem, totalBytes: 1n })).toBe(false);
  expect(canFill({ fileSystem: 'ext4', totalBytes: 1n })).toBe(true);
  expect(canFill({ fileSystem: '', totalBytes: 1n })).toBe(true);
  expect(canFill({ fileSystem: 'proc', totalBytes: 0n })).toBe(false);
});
