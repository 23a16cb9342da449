import { expect, test } from 'vitest';
import { createTurns } from './turns.ts';

test('one after the other, also after one that failed', async () => {
  const turns = createTurns();
  const seen: string[] = [];
  const gate = Promise.withResolvers<void>();
  const first = turns(async () => {
    seen.push('first begins');
    await gate.promise;
    seen.push('first ends');
    throw new Error('first');
  });
  const second = turns(async () => {
    seen.push('second');
    return 2;
  });
  gate.resolve();
  await expect(first).rejects.toThrow('first');
  expect(await second).toBe(2);
  expect(seen).toEqual(['first begins', 'first ends', 'second']);
});

test('so many may wait, and no more', async () => {
  const turns = createTurns();
  const gate = Promise.withResolvers<void>();
  const all = Array.from({ length: 202 }, () => turns(() => gate.promise));
  const refused = all.map((turn) => turn.catch((error: { code: string }) => error.code));
  gate.resolve();
  const codes = (await Promise.all(refused)).filter((code) => code === 'unavailable');
  // The first did not begin yet when the others came.
  expect(codes).toHaveLength(2);
  expect(await turns(async () => 'room again')).toBe('room again');
});
