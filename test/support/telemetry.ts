import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { onTestFinished } from 'vitest';
import { type SampleSchema, TelemetrySchema } from '#gen/viworks/agent/v1/telemetry_pb.js';
import { silentLogger } from '../../src/lib/logger.ts';
import { createMetrics, type Metrics } from '../../src/lib/metrics.ts';
import { createDatabase, type Database, statement } from '../../src/storage/database.ts';
import {
  createTelemetry,
  type Telemetry,
  type TelemetryDeps,
  type TelemetrySettings,
} from '../../src/telemetry/telemetry.ts';
import { createTestClock, type TestClock } from './app-core.ts';
import { createTestDatabase } from './postgres.ts';

export const day = 86_400_000;
export const minute = 60_000;
/** A day begins, and with it each span. */
export const midnight = Date.parse('2026-03-02T00:00:00Z');

export type SampleInit = MessageInitShape<typeof SampleSchema>;

export const frame = (...samples: SampleInit[]) => create(TelemetrySchema, { samples });

/** @param at milliseconds since 1970, by the agent's clock */
export const sampleAt = (number: number, at: number, cpu = 50) => ({
  number: BigInt(number),
  takenAt: timestampFromMs(at),
  cpu: { usedPercent: cpu, cores: 2, load1m: cpu / 8 },
  memory: { totalBytes: 1024n, usedBytes: BigInt(Math.round(cpu)) },
});

export const boot = (name = 'boot') => new Uint8Array(Buffer.from(name.padEnd(16)));

export interface OwnTelemetry {
  telemetry: Telemetry;
  database: Database;
  clock: TestClock;
  metrics: Metrics;
  url: string;
  count(table: string): Promise<number>;
  rows<Row>(text: string): Promise<Row[]>;
  /** The value of a counter with this label. */
  counted(name: 'telemetrySamples' | 'telemetryMarked', label: string): Promise<number>;
  /** Ends it and begins anew on the same database. */
  restart(): Promise<OwnTelemetry>;
}

/** Telemetry alone, on a database of its own. @param through makes of its URL another way to it */
export async function ownTelemetry(
  settings: Partial<TelemetrySettings> = {},
  start = midnight + 12 * 60 * minute,
  through: (url: string) => Promise<string> = async (url) => url,
  latest?: TelemetryDeps['latest'],
): Promise<OwnTelemetry> {
  const own = await createTestDatabase();
  onTestFinished(() => own.drop());
  return startTelemetry(await through(own.url), createTestClock(start), settings, latest);
}

async function startTelemetry(
  url: string,
  clock: TestClock,
  settings: Partial<TelemetrySettings>,
  latest: TelemetryDeps['latest'],
): Promise<OwnTelemetry> {
  const database = createDatabase({
    url,
    maxConnections: 6,
    connectTimeoutMs: 10_000,
    idleTimeoutMs: 10_000,
    log: silentLogger,
  });
  const metrics = createMetrics();
  const telemetry = createTelemetry({
    database,
    clock,
    log: silentLogger,
    metrics,
    settings: { keepMs: 30 * day, keepRollupsMs: 400 * day, intervalMs: 30_000, ...settings },
    latest,
  });
  let stopped: Promise<void> | undefined;
  const stop = () => {
    stopped ??= telemetry.stop().then(() => database.close());
    return stopped;
  };
  onTestFinished(stop);
  await telemetry.start();
  const rows = <Row>(text: string) => database.query<Row>(statement('', text), []);
  return {
    telemetry,
    database,
    clock,
    metrics,
    url,
    rows,
    async count(table) {
      const [row] = await rows<{ n: number }>(`select count(*)::int as n from ${table}`);
      return row?.n ?? 0;
    },
    async counted(name, label) {
      const { values } = await metrics[name].get();
      return values.find(({ labels }) => Object.values(labels).includes(label))?.value ?? 0;
    },
    async restart() {
      await stop();
      return startTelemetry(url, clock, settings, latest);
    },
  };
}
