import { ViworksError } from '../errors.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/logger.ts';
import type { Metrics } from '../lib/metrics.ts';
import { createTicker } from '../lib/ticker.ts';
import type { Database } from '../storage/database.ts';
import { isOutOfOrder, putInOrder } from '../storage/telemetry-order.ts';
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
  rollupTables,
  samplesTable,
} from '../storage/telemetry-partitions.ts';
import { forgetSkewedSamples } from '../storage/telemetry-samples.ts';

/** Keeps a place for what comes, and drops what was kept for long enough. */
export interface Partitions {
  /** Makes sure that samples of this time, and what is rolled up of them, have a place. */
  ensure(at: number): Promise<void>;
  /** Of what was made some is gone: a database is restored, or somebody drops a part of it. Then all is looked for anew. */
  doubt(): void;
  /** Makes what is needed soon or of what there are samples, drops what is old. */
  tend(): Promise<void>;
  /** Puts the roll-ups of one day, or week, in order that is over, if there is one. */
  settle(): Promise<void>;
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
/** Milliseconds for which a day is over before it is put in order: most of what is late has come by then. */
const settlingMs = 2 * 3_600_000;
/** Made so long before they are needed: a database that refuses it for a day is noticed in time. */
const aheadMs = 2 * dayMs;

/** Those that have to be there for the time until then, and those of which all is too old. */
export function planPartitions(
  table: PartitionedTable,
  existing: readonly number[],
  times: { now: number; aheadMs: number; keepMs: number; samplesAt?: readonly number[] },
): { missing: number[]; old: number[] } {
  const isOld = (start: number) => partitionEnd(table, start) <= times.now - times.keepMs;
  const needed = new Set<number>();
  for (const at of times.samplesAt ?? []) needed.add(partitionStart(table, at));
  const last = partitionStart(table, times.now + times.aheadMs);
  for (let start = partitionStart(table, times.now); start <= last; start = partitionEnd(table, start))
    needed.add(start);
  const missing = [...needed].filter((start) => !existing.includes(start) && !isOld(start));
  return { missing: missing.sort((a, b) => a - b), old: existing.filter(isOld) };
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
    // What is stored is rolled up, so that the roll-ups have a place wherever samples do.
    const samplesAt = await listPartitions(database.query, samplesTable);
    for (const { table, keepMs, known } of tables) {
      const existing = await listPartitions(database.query, table);
      known.clear();
      for (const start of existing) known.add(start);
      const { missing, old } = planPartitions(table, existing, { now, aheadMs, keepMs, samplesAt });
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

  async function settle(): Promise<void> {
    const before = clock.now() - settlingMs;
    for (const table of rollupTables) {
      for (const start of await listPartitions(database.query, table)) {
        if (partitionEnd(table, start) > before || !(await isOutOfOrder(database.query, table, start)))
          continue;
        if (await putInOrder(database, table, start))
          log.info({ table: table.name, from: new Date(start) }, 'roll-ups that are over were put in order');
        return;
      }
    }
  }

  const ticker = createTicker({
    intervalMs,
    async work() {
      await tend();
      await settle();
    },
    failed: (error) =>
      log.warn({ err: ViworksError.from(error) }, 'cannot make or drop partitions of telemetry now'),
  });
  return {
    ensure,
    doubt() {
      for (const { known } of tables) known.clear();
    },
    tend,
    settle,
    start: ticker.start,
    stop: ticker.stop,
  };
}
