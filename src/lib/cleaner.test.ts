import { expect, test } from 'vitest';
import { createCleaner } from './cleaner.ts';

function cleanerOf(batches: number[], batchesAtOnce = 10) {
  const looks: number[] = [];
  const cleaner = createCleaner({
    intervalMs: 60_000,
    batchesAtOnce,
    cleanSome: async () => {
      const count = batches.shift() ?? 0;
      return { count, more: count === 5 };
    },
    cleaned: (count) => looks.push(count),
    failed: () => {},
  });
  return { cleaner, looks };
}

test('it goes on for as long as there is more', async () => {
  const { cleaner, looks } = cleanerOf([5, 5, 2, 5]);
  expect(await cleaner.clean()).toBe(12);
  expect(looks).toEqual([12]);
});

test('what is left after so many batches waits', async () => {
  const { cleaner } = cleanerOf([5, 5, 5], 2);
  expect(await cleaner.clean()).toBe(10);
  expect(await cleaner.clean()).toBe(5);
});

test('where there is nothing, nothing is said; stopped, it begins nothing', async () => {
  const { cleaner, looks } = cleanerOf([0, 5]);
  expect(await cleaner.clean()).toBe(0);
  await cleaner.stop();
  expect(await cleaner.clean()).toBe(0);
  expect(looks).toEqual([]);
});

test('who asks while it looks gets a look of his own', async () => {
  const first = Promise.withResolvers<void>();
  let looks = 0;
  const cleaner = createCleaner({
    intervalMs: 1_000_000,
    batchesAtOnce: 1,
    async cleanSome() {
      looks += 1;
      if (looks === 1) await first.promise;
      return { count: looks, more: false };
    },
    cleaned: () => {},
    failed: () => {},
  });
  const both = Promise.all([cleaner.clean(), cleaner.clean()]);
  first.resolve();
  expect(await both).toEqual([1, 2]);
});
