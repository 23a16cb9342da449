import { ViworksError } from '../errors.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/logger.ts';
import type { Metrics } from '../lib/metrics.ts';
import { createTicker } from '../lib/ticker.ts';
import type { Database } from '../storage/database.ts';
import {
  createPartitions,
  dropPartition,
  hoursTable,
  listPartitions,
  minutesTable,
  type PartitionedTable,
  partitionEnd,
  partitionStart,
  quartersTable,
  samplesTable,
} from '../storage/telemetry-partitions.ts';
import { forgetSkewedSamples } from '../storage/telemetry-samples.ts';

/** Keeps a place for what comes, and drops what was kept for long enough. */
export interface Partitions {
  /** Makes sure that samples of this time, and what is rolled up of them, have a place. */
  ensure(at: number): Promise<void>;
  /** Makes what is needed soon, drops what is old. */
  tend(): Promise<void>;
  start(): void;
  stop(): Promise<void>;
}

export interface PartitionsDeps {
  database: Pick<Database, 'query' | 'transaction'>;
  clock: Pick<Clock, 'now'>;
  log: Logger;
  metrics: Pick<Metrics, 'telemetryPartitionsDropped'>;
  /** Milliseconds that samples, and roll-ups of a minute, are kept. */
  keepMs: number;
  /** Milliseconds that the coarser roll-ups are kept; not less. */
  keepRollupsMs: number;
}

const dayMs = 86_400_000;
const intervalMs = 600_000;
/** Made so long before they are needed: a database that refuses it for a day is noticed in time. */
const aheadMs = 2 * dayMs;

/** Those that have to be there for the time until then, and those of which all is too old. */
export function planPartitions(
  table: PartitionedTable,
  existing: readonly number[],
  times: { now: number; aheadMs: number; keepMs: number },
): { missing: number[]; old: number[] } {
  const missing: number[] = [];
  const last = partitionStart(table, times.now + times.aheadMs);
  for (let start = partitionStart(table, times.now); start <= last; start = partitionEnd(table, start))
    if (!existing.includes(start)) missing.push(start);
  return { missing, old: existing.filter((start) => partitionEnd(table, start) <= times.now - times.keepMs) };
}

export function createPartitionTending(deps: PartitionsDeps): Partitions {
  const { database, clock, log, metrics } = deps;
  const tables = [
    { table: samplesTable, keepMs: deps.keepMs },
    { table: minutesTable, keepMs: deps.keepMs },
    { table: quartersTable, keepMs: deps.keepRollupsMs },
    { table: hoursTable, keepMs: deps.keepRollupsMs },
  ].map((entry) => ({ ...entry, known: new Set<number>() }));

  async function ensure(at: number): Promise<void> {
    const missing = tables
      .map(({ table, known }) => ({ table, known, start: partitionStart(table, at) }))
      .filter(({ known, start }) => !known.has(start));
    await createPartitions(database, missing);
    for (const { known, start } of missing) known.add(start);
  }

  async function tend(): Promise<void> {
    const now = clock.now();
    for (const { table, keepMs, known } of tables) {
      const existing = await listPartitions(database.query, table);
      for (const start of existing) known.add(start);
      const { missing, old } = planPartitions(table, existing, { now, aheadMs, keepMs });
      await createPartitions(
        database,
        missing.map((start) => ({ table, start })),
      );
      for (const start of missing) known.add(start);
      for (const start of old) {
        // From now on a sample of that time would have a new place made.
        known.delete(start);
        await dropPartition(database, table, start);
        metrics.telemetryPartitionsDropped.inc();
        const from = new Date(start);
        log.info(
          { table: table.name, from },
          'telemetry was kept for as long as it had to be, and is dropped',
        );
      }
    }
    await forgetSkewedSamples(database.query, new Date(now - deps.keepMs - dayMs));
  }

  const ticker = createTicker({
    intervalMs,
    work: tend,
    failed: (error) =>
      log.warn({ err: ViworksError.from(error) }, 'cannot make or drop partitions of telemetry now'),
  });
  return { ensure, tend, start: ticker.start, stop: ticker.stop };
}
