import { expect, test } from 'vitest';
import { createShares } from './shares.ts';

test('each has its share under way, in order, and nobody waits for another', async () => {
  const shares = createShares(10, 1_000_000);
  const begun: string[] = [];
  const ends = new Map<string, PromiseWithResolvers<void>>();
  const work = (key: string, name: string, weight: number) => {
    const end = Promise.withResolvers<void>();
    ends.set(name, end);
    return shares.take(key, weight, () => {
      begun.push(name);
      return end.promise;
    });
  };
  const all = [
    work('a', 'a1', 6),
    work('a', 'a2', 4),
    work('a', 'a3', 5),
    work('a', 'a4', 1),
    work('b', 'b1', 99),
  ];
  expect(begun).toEqual(['a1', 'a2', 'b1']);
  ends.get('a2')?.reject(new Error('refused'));
  await expect(all[1]).rejects.toThrow('refused');
  expect(begun).toEqual(['a1', 'a2', 'b1']);
  ends.get('a1')?.resolve();
  await all[0];
  await expect.poll(() => begun).toEqual(['a1', 'a2', 'b1', 'a3', 'a4']);
  const heavy = work('b', 'b2', 99);
  expect(begun).not.toContain('b2');
  ends.get('b1')?.resolve();
  await expect.poll(() => begun).toContain('b2');
  for (const end of ends.values()) end.resolve();
  await Promise.all([...all.filter((_, n) => n !== 1), heavy]);
});

test('one that says too much is slowed to its rate, and others are not', async () => {
  const shares = createShares(10, 1000);
  const began = performance.now();
  const done: string[] = [];
  const take = (key: string, weight: number) => shares.take(key, weight, async () => void done.push(key));
  // The first half a second of its rate goes at once, the last hundred a tenth of a second later.
  const flood = Array.from({ length: 61 }, () => take('flooder', 10));
  await take('other', 10);
  expect(done.filter((key) => key === 'flooder').length).toBeLessThan(60);
  await Promise.all(flood);
  expect(performance.now() - began).toBeGreaterThanOrEqual(99);
  expect(done).toHaveLength(62);
});

test('lanes of those who are quiet are forgotten', async () => {
  const shares = createShares(10, 1_000_000);
  for (let n = 0; n < 5000; n++) await shares.take(`agent-${n}`, 1, async () => {});
  expect(shares.size).toBeLessThan(2100);
});
