import { setImmediate as turn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { createMemoryRates, type RateCounter } from '../bus/rates.ts';
import { ViworksError } from '../errors.ts';
import { createAttempts } from './attempts.ts';

const isWrong = (thrown: unknown): boolean => thrown === wrong;
const wrong = new Error('wrong');

/** Lets some turns pass, as many as a seed decides: what fails once fails again. */
function pausing(seed: number): () => Promise<void> {
  let state = seed;
  return async () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    for (let left = (state >>> 16) % 5; left > 0; left--) await turn();
  };
}

/** A counter that answers late and out of order, as one across a network may. */
function slowly(counter: RateCounter, seed: number): RateCounter {
  const pause = pausing(seed);
  return {
    async add(name, amount) {
      await pause();
      const answer = await counter.add(name, amount);
      await pause();
      return answer;
    },
    async read(name) {
      await pause();
      const answer = await counter.read(name);
      await pause();
      return answer;
    },
  };
}

const rates = () => createMemoryRates({ windowSeconds: 60 });
const stranger = () => false;

test.each([
  ['at once', rates()],
  ['late', slowly(rates(), 1)],
  ['late in another order', slowly(rates(), 2)],
])('of many attempts at the same time no more are tried than may be wrong: %s', async (_, failures) => {
  const attempts = createAttempts({ failures, most: 7, isWrong });
  const pause = pausing(4);
  let tried = 0;
  const attempt = () =>
    attempts.make('here', stranger, async () => {
      tried += 1;
      await pause();
      throw wrong;
    });
  const ends = await Promise.allSettled(Array.from({ length: 200 }, attempt));
  expect(tried).toBe(7);
  const codes = ends.map(
    (end) => end.status === 'rejected' && (end.reason === wrong ? 'wrong' : end.reason.code),
  );
  expect(codes.filter((code) => code === 'wrong')).toHaveLength(7);
  expect(codes.filter((code) => code === 'rate_limited')).toHaveLength(193);
});

test('whoever is right is let in, however many there are, a few at a time', async () => {
  const attempts = createAttempts({ failures: slowly(rates(), 3), most: 3, isWrong });
  let [inside, most] = [0, 0];
  const attempt = (n: number) =>
    attempts.make('here', stranger, async () => {
      inside += 1;
      most = Math.max(most, inside);
      await turn();
      inside -= 1;
      return n;
    });
  const all = Array.from({ length: 60 }, (_, n) => n);
  expect(await Promise.all(all.map(attempt))).toEqual(all);
  expect(most).toBe(3);
});

test('of right and wrong ones together, the right ones come in as long as it is not over', async () => {
  const attempts = createAttempts({ failures: rates(), most: 5, isWrong });
  const pause = pausing(5);
  const attempt = (n: number) =>
    attempts.make('here', stranger, async () => {
      await pause();
      if (n % 10 === 0) throw wrong;
      return n;
    });
  const ends = await Promise.allSettled(Array.from({ length: 40 }, (_, n) => attempt(n)));
  expect(ends.filter(({ status }) => status === 'fulfilled')).toHaveLength(36);
});

test('who is known by now waits for nobody, and is counted where it is wrong', async () => {
  const failures = rates();
  const attempts = createAttempts({ failures, most: 1, isWrong });
  const end = Promise.withResolvers<void>();
  const first = attempts.make('here', stranger, () => end.promise);
  let known = false;
  const waits = attempts.make(
    'here',
    () => known,
    async () => 'known meanwhile',
  );
  expect(
    await attempts.make(
      'here',
      () => true,
      async () => 'known',
    ),
  ).toBe('known');
  known = true;
  end.resolve();
  await first;
  expect(await waits).toBe('known meanwhile');
  await expect(
    attempts.make(
      'here',
      () => true,
      () => Promise.reject(wrong),
    ),
  ).rejects.toBe(wrong);
  expect((await failures.read('here')).counted).toBe(1);
});

test('other names do not wait', async () => {
  const attempts = createAttempts({ failures: rates(), most: 1, isWrong });
  const end = Promise.withResolvers<void>();
  const first = attempts.make('here', stranger, () => end.promise);
  expect(await attempts.make('there', stranger, async () => 1)).toBe(1);
  end.resolve();
  await first;
});

test('what else goes wrong is not counted', async () => {
  const failures = rates();
  const attempts = createAttempts({ failures, most: 1, isWrong });
  const away = new ViworksError('database_unavailable', 'away');
  for (let n = 0; n < 3; n++)
    await expect(attempts.make('here', stranger, () => Promise.reject(away))).rejects.toBe(away);
  expect((await failures.read('here')).counted).toBe(0);
});
