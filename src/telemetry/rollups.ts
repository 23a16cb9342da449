import { ViworksError } from '../errors.ts';
import { type Cleaner, createCleaner } from '../lib/cleaner.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/logger.ts';
import type { Metrics } from '../lib/metrics.ts';
import { type Database, isWithoutPartition } from '../storage/database.ts';
import { refreshRollups, rollupLag } from '../storage/telemetry-rollups.ts';
import type { Partitions } from './partitions.ts';

/** Keeps the roll-ups true to the samples, a little after they change. */

export interface RollupsDeps {
  database: Pick<Database, 'query' | 'transaction'>;
  clock: Pick<Clock, 'now'>;
  log: Logger;
  metrics: Pick<Metrics, 'telemetryRollups' | 'telemetryRollupLagSeconds'>;
  partitions: Pick<Partitions, 'tend'>;
  /** Whether samples wait that agents want to have stored. */
  isCrowded(): boolean;
}

const intervalMs = 5000;
const batchesAtOnce = 1000;
const minuteMs = 60_000;
/**
 * Seconds for which what is due waits while samples do: to roll up reads again what was just written, at the cost of those
 * who wait. An hour may wait so long three times, for its minutes, its quarters and itself, and history works out for itself
 * what is not older than five minutes.
 */
const yieldsFor = 30;
/** After the end of a minute its last samples are still on their way. */
const graceMs = 10_000;

/** When the minute is over in which samples come, with all that others say in it. */
export const readyAfter = (now: number): Date =>
  new Date(Math.floor(now / minuteMs) * minuteMs + minuteMs + graceMs);

/** `clean` makes all anew that is due now. */
export function createRollups(deps: RollupsDeps): Cleaner {
  const { database, clock, log, metrics, partitions, isCrowded } = deps;
  /** Where the place of one is gone it is made anew: without it, nothing would be rolled up any more. */
  async function refresh(now: Date): ReturnType<typeof refreshRollups> {
    try {
      return await refreshRollups(database, now);
    } catch (error) {
      if (!isWithoutPartition(ViworksError.from(error))) throw error;
      await partitions.tend();
      return refreshRollups(database, now);
    }
  }

  return createCleaner({
    intervalMs,
    batchesAtOnce,
    async cleanSome() {
      const now = new Date(clock.now());
      const tellLag = async () => {
        const lag = await rollupLag(database.query, now);
        metrics.telemetryRollupLagSeconds.set(lag);
        return lag;
      };
      if (isCrowded() && (await tellLag()) < yieldsFor) return { count: 0, more: false };
      const done = await refresh(now);
      if (done === undefined) return { count: 0, more: false };
      metrics.telemetryRollups.inc(done.made);
      if (!done.more) await tellLag();
      return { count: done.made, more: done.more };
    },
    cleaned: (count) => log.debug({ count }, 'roll-ups of telemetry made'),
    failed: (error) => log.warn({ err: ViworksError.from(error) }, 'cannot roll telemetry up now'),
  });
}
