import { setTimeout as delay } from 'node:timers/promises';
import type { Database } from '../src/storage/database.ts';
import type { LatestSamples } from '../src/telemetry/latest.ts';
import { randomOf } from '../test/support/random.ts';
import { built } from './support/built.ts';
import { figure, quantile, table } from './support/figures.ts';
import type { OwnTelemetry } from './support/own-telemetry.ts';
import { startRedis } from './support/redis.ts';
import { dayMs } from './support/replay-day.ts';

/** What it takes to read of a whole day that is stored, one question after the other. */

export interface ReadSample {
  what: string;
  count: number;
  /** Answered in a second, one after the other. */
  perSecond: number;
  /** Milliseconds. */
  p50: number;
  p99: number;
  targetMs: number;
}

/** Spans of a page where nobody says otherwise. */
const pageSize = 1440;
/** Milliseconds after which Redis should have all agents. */
const fillMs = 60_000;

/** @param days where they begin, of which each question has one */
export async function measureReads(
  { telemetry, store, folder }: Pick<OwnTelemetry, 'telemetry' | 'store' | 'folder'>,
  names: readonly string[],
  days: readonly number[],
): Promise<ReadSample[]> {
  const random = randomOf(1);
  const oneOf = <T>(all: readonly T[]): T => all[Math.floor(random() * all.length)] as T;
  const some = () => oneOf(names);
  const day = () => {
    const from = oneOf(days);
    return { from, to: from + dayMs };
  };
  const timed = async (what: string, targetMs: number, count: number, work: () => Promise<unknown>) => {
    const times: number[] = [];
    for (let n = 0; n < count; n++) {
      const begun = performance.now();
      await work();
      times.push(performance.now() - begun);
    }
    const perSecond = (1000 * count) / times.reduce((sum, ms) => sum + ms, 0);
    return { what, count, perSecond, p50: quantile(times, 0.5), p99: quantile(times, 0.99), targetMs };
  };
  const samples = [
    await timed('newest sample, in memory', 1, 5000, () => telemetry.latest.get(some())),
    ...(await inRedis(store, folder, (latest) =>
      timed('newest sample, in Redis', 1, 5000, () => latest.get(some())),
    )),
  ];
  return [
    ...samples,
    await timed('a day of an agent in minutes, all metrics', 20, 500, () =>
      telemetry.history.series({ ...day(), agentId: some() }, { size: pageSize }),
    ),
    await timed('a day of an agent in minutes, one metric', 20, 500, () =>
      telemetry.history.series({ ...day(), agentId: some(), metrics: ['cpu'] }, { size: pageSize }),
    ),
    await timed('a day of an agent in quarters of an hour', 20, 500, () =>
      telemetry.history.series({ ...day(), agentId: some(), resolution: 900 }, { size: pageSize }),
    ),
  ];
}

/** Nothing where redis-server is not installed. */
async function inRedis(
  store: Database,
  folder: string,
  measure: (latest: LatestSamples) => Promise<ReadSample>,
): Promise<ReadSample[]> {
  const redis = await startRedis(folder);
  if (redis === undefined) return [];
  const [{ createRedisNewest }, { createSharedLatest }, { createStoredNewest }, { silentLogger }] =
    await Promise.all([built.redisNewest(), built.latestShared(), built.storedNewest(), built.logger()]);
  const shared = createRedisNewest({ url: redis.url, kind: 'samples', keepMs: 30 * dayMs });
  try {
    const latest = createSharedLatest({ shared, stored: createStoredNewest(store.query), log: silentLogger });
    await latest.start();
    for (const begun = performance.now(); !latest.believed; await delay(20))
      if (performance.now() - begun > fillMs) throw new Error('Redis is not filled');
    const sample = await measure(latest);
    await latest.stop();
    return [sample];
  } finally {
    shared.close();
    await redis.stop();
  }
}

export const readsTable = (title: string, reads: readonly ReadSample[]): string =>
  table(
    [title, 'times', 'a second', 'p50 ms', 'p99 ms', 'target: p99'],
    reads.map(({ what, count, perSecond, p50, p99, targetMs }) => [
      what,
      figure(count),
      figure(perSecond),
      figure(p50),
      figure(p99),
      `≤ ${targetMs} ms: ${p99 <= targetMs ? 'met' : 'missed'}`,
    ]),
  );
