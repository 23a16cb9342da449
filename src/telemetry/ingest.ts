import { toJson } from '@bufbuild/protobuf';
import {
  type Sample,
  SampleSchema,
  type Telemetry,
  TelemetrySchema,
} from '#gen/viworks/agent/v1/telemetry_pb.js';
import { ViworksError } from '../errors.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/logger.ts';
import type { Metrics } from '../lib/metrics.ts';
import { storableJson } from '../lib/text.ts';
import { timestampMs } from '../protocol/envelope.ts';
import { problemsOf } from '../protocol/validation.ts';
import { createBatchWriter } from '../storage/batch-writer.ts';
import type { Database } from '../storage/database.ts';
import { type LatestSampleRow, storeLatestSamples } from '../storage/telemetry.ts';

/** Telemetry is what agents measure of their machines. The newest sample of each agent is kept. */
export interface TelemetryIngest {
  /** Resolves when the samples are committed, or when they are refused for good: then they are logged. */
  ingest(source: { agentId: string; bootId: Uint8Array }, message: Telemetry): Promise<void>;
  idle(): Promise<void>;
}

export interface IngestDeps {
  database: Database;
  clock: Clock;
  metrics: Metrics;
  log: Logger;
  /** Told of samples after their commit. Must not throw. */
  onStored?: (samples: readonly ObservedSample[]) => void;
}

/** A sample as those are told of it who look at what was stored. */
export interface ObservedSample {
  agentId: string;
  /** Its time, milliseconds since 1970. */
  at: number;
  /** It was kept by the agent while it could not send. */
  late: boolean;
  sample: Sample;
}

export function createTelemetryIngest({
  database,
  clock,
  metrics,
  log,
  onStored,
}: IngestDeps): TelemetryIngest {
  const writer = createBatchWriter<LatestSampleRow, void>({
    async write(rows) {
      const latest = new Map<string, LatestSampleRow>();
      for (const row of rows) {
        const other = latest.get(row.agentId);
        const older =
          other !== undefined && Buffer.compare(other.bootId, row.bootId) === 0 && other.number > row.number;
        if (!older) latest.set(row.agentId, row);
      }
      await storeLatestSamples(database.query, [...latest.values()]);
      return rows.map(() => undefined);
    },
    maximumBatch: 2000,
    maximumWaiting: 50_000,
    retryForMs: 600_000,
    onBatch: (weight) => metrics.batchRows.observe({ writer: 'telemetry' }, weight),
  });
  return {
    async ingest({ agentId, bootId }, message) {
      const [problem] = problemsOf(TelemetrySchema, message);
      const sample = message.samples.at(-1);
      if (problem !== undefined || sample === undefined) {
        log.warn({ agentId, ...problem }, 'telemetry that breaks the rules was set aside');
        return;
      }
      try {
        const receivedAt = clock.now();
        const takenAt = timestampMs(sample.takenAt) ?? receivedAt;
        await writer.add({
          agentId,
          bootId,
          number: Number(sample.number),
          takenAt: new Date(takenAt),
          receivedAt: new Date(receivedAt),
          sample: storableJson(toJson(SampleSchema, sample)),
        });
        // A clock that is wrong would make durations of its own.
        onStored?.([{ agentId, at: receivedAt, late: false, sample }]);
      } catch (error) {
        const known = ViworksError.from(error);
        if (known.retryable) throw known;
        log.warn({ agentId, err: known }, 'telemetry that cannot be stored was set aside');
      }
    },
    idle: () => writer.idle(),
  };
}
