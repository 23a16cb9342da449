import { afterAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { createMemoryRates, type RateCounter, type RateCounterOptions } from '../../src/bus/rates.ts';
import { createRedisRates } from '../../src/bus/redis-rates.ts';
import { silentLogger } from '../../src/lib/logger.ts';
import { startRedis } from '../support/redis.ts';

/** What every counter of rates does, over all that there are. */

interface Rig {
  rates: RateCounter;
  /** Another instance that shares them; the same one where nothing is shared. */
  other: RateCounter;
}

const redis = await startRedis();
if (redis === undefined) {
  // biome-ignore lint/suspicious/noConsole: a test that did not run must not look like one that passed
  console.warn('*** Rates in Redis were NOT tested. *** It needs redis-server (Debian: redis-server).');
}
afterAll(() => redis?.stop());

let prefixes = 0;

/** Resolves when Redis is counting, and not each instance for itself. */
async function redisRig(url: string, options: RateCounterOptions): Promise<Rig> {
  prefixes += 1;
  const make = () => {
    const rates = createRedisRates({ url, log: silentLogger, prefix: `test-${prefixes}:` });
    onTestFinished(() => rates.close());
    return rates.counter('calls', options);
  };
  const [rates, other] = [make(), make()];
  await expect
    .poll(async () => {
      await rates.add('rig', 1);
      return (await other.read('rig')).counted;
    })
    .toBeGreaterThan(0);
  return { rates, other };
}

const memoryRig = async (options: RateCounterOptions): Promise<Rig> => {
  const rates = createMemoryRates(options);
  return { rates, other: rates };
};

const kinds: [string, (options: RateCounterOptions) => Promise<Rig>][] = [['memory', memoryRig]];
if (redis !== undefined) kinds.push(['redis', (options) => redisRig(redis.url, options)]);

describe.each(kinds)('rates in %s', (_, rig) => {
  test('what is added counts for the name, on whichever instance, until the window is over', async () => {
    const { rates, other } = await rig({ windowSeconds: 60 });
    expect(await rates.read('ada')).toEqual({ counted: 0, leftMs: 0 });
    expect((await rates.add('ada', 1)).counted).toBe(1);
    const more = await other.add('ada', 5);
    expect(more.counted).toBe(6);
    expect(more.leftMs).toBeGreaterThan(50_000);
    expect(more.leftMs).toBeLessThanOrEqual(60_000);
    expect((await rates.read('ada')).counted).toBe(6);
    expect((await rates.add('bob', 1)).counted).toBe(1);
  });

  test('nothing is lost by many at once', async () => {
    const { rates, other } = await rig({ windowSeconds: 60 });
    await Promise.all(Array.from({ length: 200 }, (_each, n) => (n % 2 ? rates : other).add('ada', 1)));
    expect((await rates.read('ada')).counted).toBe(200);
  });
});

test('a window ends, and the next begins with what comes then', async () => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const rates = createMemoryRates({ windowSeconds: 10 });
  await rates.add('ada', 7);
  vi.advanceTimersByTime(9_999);
  expect((await rates.add('ada', 1)).counted).toBe(8);
  vi.advanceTimersByTime(1);
  expect(await rates.read('ada')).toEqual({ counted: 0, leftMs: 0 });
  expect(await rates.add('ada', 1)).toEqual({ counted: 1, leftMs: 10_000 });
});

test('only so many names are remembered; further ones share their counts, and those known keep their own', async () => {
  const rates = createMemoryRates({ windowSeconds: 60, maximumNames: 100 });
  for (let n = 0; n < 100; n++) await rates.add(`known ${n}`, 1);
  const shared = [];
  for (let n = 0; n < 10_000; n++) shared.push((await rates.add(`stranger ${n}`, 1)).counted);
  // Ten thousand strangers in 64 counts: they are limited together.
  expect(Math.max(...shared)).toBeGreaterThan(100);
  for (let n = 0; n < 100; n++) expect((await rates.read(`known ${n}`)).counted).toBe(1);
});

test.runIf(redis !== undefined)(
  'while Redis is away an instance counts for itself, and never fails',
  async () => {
    const own = await startRedis();
    if (own === undefined) throw new Error('redis-server is there');
    onTestFinished(() => own.stop());
    const { rates, other } = await redisRig(own.url, { windowSeconds: 60 });
    await rates.add('ada', 10);
    await own.stop();
    for (let n = 1; n <= 20; n++) expect((await rates.add('ada', 1)).counted).toBe(n);
    expect((await other.add('ada', 1)).counted).toBe(1);
    await own.start();
    // Back, and empty: both count together again.
    await expect
      .poll(async () => {
        await rates.add('eve', 1);
        return (await other.read('eve')).counted;
      })
      .toBeGreaterThan(0);
  },
);
