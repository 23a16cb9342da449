import { type JsonObject, toJson } from '@bufbuild/protobuf';
import { SampleSchema } from '#gen/viworks/agent/v1/telemetry_pb.js';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/logger.ts';
import type { Metrics } from '../lib/metrics.ts';
import { readStoredSample } from '../protocol/stored-sample.ts';
import type { Database } from '../storage/database.ts';
import type { SampleFrame } from '../storage/sample-frames.ts';
import { rowsToTell, rowsWithDrops, type StoredSample } from '../storage/sample-rows.ts';
import { createStoredNewest, readSampleBefore, type StoredNewest } from '../storage/telemetry-newest.ts';
import type { StoredSamples } from '../storage/telemetry-samples.ts';
import { createDrops } from './dropped.ts';
import { createTelemetryHistory, type TelemetryHistory } from './history.ts';
import { createTelemetryIngest, type TelemetryIngest } from './ingest.ts';
import { createMemoryLatest, type LatestSamples } from './latest.ts';
import { createPartitionTending, type Partitions } from './partitions.ts';
import { createRollups } from './rollups.ts';

/** Telemetry is what agents measure of their machines: taken, kept, rolled up, and told to those who listen. */
export interface Telemetry extends TelemetryIngest {
  latest: Pick<LatestSamples, 'get' | 'list'>;
  /** The newest sample of an agent as JSON; undefined if it never sent one. */
  latestJson(agentId: string): Promise<JsonObject | undefined>;
  history: TelemetryHistory;
  /**
   * Calls the listener with samples that are new, after their commit, until the returned function is called. Around a
   * break of the connection to the database it may hear of one again.
   */
  onStored(listener: StoredListener): () => void;
  /** Calls the listener with an agent that is no more, until the returned function is called. */
  onForgotten(listener: (agentId: string) => void): () => void;
  /** Makes the roll-ups anew that are due; answers with how many. */
  rollUp(): Promise<number>;
  partitions: Pick<Partitions, 'tend' | 'settle'>;
  /** Makes room for what comes, and reads the newest samples. */
  start(): Promise<void>;
  stop(): Promise<void>;
}

/**
 * Hears of all that waited at its agent, and otherwise of the newest in each envelope, with the number of those that it
 * stands for. What it throws is logged and harms nobody. It is not waited for.
 */
export type StoredListener = (samples: readonly StoredSample[]) => void;

export interface TelemetryDeps {
  database: Pick<Database, 'query' | 'rows' | 'transaction' | 'transactionsAtOnce'>;
  clock: Clock;
  log: Logger;
  metrics: Metrics;
  settings: TelemetrySettings;
  /** In the memory of this instance by default. @param stored what the database has */
  latest?: ((stored: StoredNewest) => LatestSamples) | undefined;
}

export interface TelemetrySettings {
  /** Milliseconds that samples are kept. */
  keepMs: number;
  /** Milliseconds that the roll-ups of a quarter of an hour and of an hour are kept. */
  keepRollupsMs: number;
  /** Milliseconds between two samples of an agent. */
  intervalMs: number;
}

const leastLateMs = 60_000;

export function createTelemetry(deps: TelemetryDeps): Telemetry {
  const { database, clock, log, metrics, settings } = deps;
  const latest = (deps.latest ?? createMemoryLatest)(createStoredNewest(database.query));
  const listeners = new Set<StoredListener>();
  const forgetters = new Set<(agentId: string) => void>();
  const partitions = createPartitionTending({ database, clock, log, metrics, ...settings });
  const drops = createDrops({
    before: (sample) => readSampleBefore(database.query, sample),
    count: (dropped) => metrics.telemetryDropped.inc(dropped),
  });

  async function stored({ frames, rows }: StoredSamples, all: readonly SampleFrame[]): Promise<void> {
    drops.stored([...rows.filter(({ dropped }) => dropped > 0), ...frames.flatMap(rowsWithDrops)]);
    const samples = [...rows, ...frames.flatMap(rowsToTell)];
    // Also what was stored before: the answer to that commit may have been lost.
    await latest.put(frames.length === all.length ? samples : all.flatMap(rowsToTell));
    if (samples.length === 0) return;
    for (const listener of listeners) {
      try {
        listener(samples);
      } catch (err) {
        log.error({ err }, 'a listener to telemetry failed');
      }
    }
  }

  const ingest = createTelemetryIngest({
    database,
    partitions,
    clock,
    metrics,
    log,
    rules: { keepMs: settings.keepMs, lateMs: Math.max(leastLateMs, 2 * settings.intervalMs) },
    stored,
  });
  const { isCrowded } = ingest;
  const rollups = createRollups({ database, clock, log, metrics, partitions, isCrowded });

  return {
    ...ingest,
    latest,
    async latestJson(agentId) {
      const row = await latest.get(agentId);
      if (row === undefined) return undefined;
      return toJson(SampleSchema, readStoredSample(row.sample)) as JsonObject;
    },
    history: createTelemetryHistory({ database, clock, keepMs: settings.keepMs }),
    onStored(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    onForgotten(listener) {
      forgetters.add(listener);
      return () => void forgetters.delete(listener);
    },
    async forget(agentId) {
      for (const listener of forgetters) listener(agentId);
      await ingest.forget(agentId);
      await latest.forget(agentId);
    },
    rollUp: rollups.clean,
    partitions,
    async start() {
      await partitions.tend();
      await latest.start();
      partitions.start();
      rollups.start();
    },
    async stop() {
      await ingest.stop();
      await drops.idle();
      await partitions.stop();
      await rollups.stop();
      await latest.stop();
    },
  };
}
