import { randomBytes } from 'node:crypto';
import { afterAll, describe, expect, onTestFinished, test } from 'vitest';
import { createMemoryNonceCache, type NonceCache } from '../../src/bus/nonces.ts';
import { createRedisNonceCache } from '../../src/bus/redis-nonces.ts';
import { silentLogger } from '../../src/lib/logger.ts';
import { createTestClock } from '../support/app-core.ts';
import { startRedis } from '../support/redis.ts';

/** What every cache of nonces does, over all that there are. */

interface Rig {
  cache: NonceCache;
  /** Another instance that shares them; the same one where nothing is shared. */
  other: NonceCache;
  /** Lets so much time go by. */
  pass(ms: number): Promise<void>;
}

const redis = await startRedis();
afterAll(() => redis.stop());

function memoryRig(capacity: number): Rig {
  const clock = createTestClock();
  const cache = createMemoryNonceCache({ capacity }, clock);
  return { cache, other: cache, pass: async (ms) => clock.advance(ms) };
}

let rigs = 0;
function redisRig(url: string, capacity: number): Rig {
  rigs += 1;
  const options = { url, capacity, log: silentLogger, prefix: `test-${rigs}:` };
  const [cache, other] = [createRedisNonceCache(options), createRedisNonceCache(options)];
  onTestFinished(() => {
    cache.close();
    other.close();
  });
  // Time of Redis is the time of its machine: whoever tests it has to wait for it.
  const pass = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
  return { cache, other, pass };
}

const kinds: [string, (capacity: number) => Rig][] = [
  ['memory', memoryRig],
  ['redis', (capacity) => redisRig(redis.url, capacity)],
];

const nonce = () => new Uint8Array(randomBytes(32));
const unavailable = { code: 'unavailable', retryable: true };

describe.each(kinds)('nonces in %s', (_, rig) => {
  test('a nonce is good once, on whichever instance', async () => {
    const { cache, other } = rig(10);
    const [one, two] = [nonce(), nonce()];
    await cache.issue(one, 30_000);
    await cache.issue(two, 30_000);
    expect(await other.consume(one)).toBe(true);
    expect(await cache.consume(one)).toBe(false);
    expect(await cache.consume(two)).toBe(true);
    expect(await other.consume(two)).toBe(false);
  });

  test('a nonce that nobody issued is not good', async () => {
    const { cache } = rig(10);
    expect(await cache.consume(nonce())).toBe(false);
  });

  test('of many who try at once one succeeds', async () => {
    const { cache, other } = rig(10);
    const one = nonce();
    await cache.issue(one, 30_000);
    const tries = Array.from({ length: 50 }, (_, n) => (n % 2 === 0 ? cache : other).consume(one));
    expect((await Promise.all(tries)).filter(Boolean)).toHaveLength(1);
  });

  test('a nonce is good until its time is over, and no longer', async () => {
    const { cache, pass } = rig(10);
    const [short, long] = [nonce(), nonce()];
    await cache.issue(short, 20);
    await cache.issue(long, 30_000);
    await pass(40);
    expect(await cache.consume(short)).toBe(false);
    expect(await cache.consume(long)).toBe(true);
  });

  test('full, it refuses further ones and forgets none', async () => {
    const { cache, other } = rig(20);
    const all = Array.from({ length: 20 }, nonce);
    await Promise.all(all.map((each) => cache.issue(each, 30_000)));
    for (const where of [cache, other]) {
      await expect(where.issue(nonce(), 30_000)).rejects.toMatchObject({
        ...unavailable,
        retryAfterMs: 1000,
      });
    }
    expect(await Promise.all(all.map((each) => cache.consume(each)))).toEqual(all.map(() => true));
    await cache.issue(nonce(), 30_000);
  });

  test('of many who come at once no more get in than there is room for', async () => {
    const { cache, other } = rig(7);
    const tries = Array.from({ length: 30 }, (_, n) => (n % 2 === 0 ? cache : other).issue(nonce(), 30_000));
    const outcomes = await Promise.allSettled(tries);
    expect(outcomes.filter((outcome) => outcome.status === 'fulfilled')).toHaveLength(7);
  });

  test('what is over makes room', async () => {
    const { cache, pass } = rig(2);
    await cache.issue(nonce(), 20);
    await cache.issue(nonce(), 20);
    await expect(cache.issue(nonce(), 20)).rejects.toMatchObject(unavailable);
    await pass(40);
    await cache.issue(nonce(), 20);
  });
});

test('Redis that is away cannot tell, and is used again when it is back', async () => {
  const own = await startRedis();
  onTestFinished(() => own.stop());
  const { cache } = redisRig(own.url, 10);
  const one = nonce();
  await cache.issue(one, 30_000);
  await own.stop();
  await expect(cache.consume(one)).rejects.toMatchObject(unavailable);
  await expect(cache.issue(nonce(), 30_000)).rejects.toMatchObject(unavailable);
  await own.start();
  const two = nonce();
  await expect
    .poll(() =>
      cache.issue(two, 30_000).then(
        () => true,
        () => false,
      ),
    )
    .toBe(true);
  expect(await cache.consume(two)).toBe(true);
});
