import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Metrics } from '../../src/lib/metrics.ts';
import type { Database } from '../../src/storage/database.ts';
import type { Telemetry } from '../../src/telemetry/telemetry.ts';
import { built } from './built.ts';
import { dayMs } from './replay-day.ts';

/** Telemetry alone in this process, on a PostgreSQL of its own and under a clock that goes as it is told. */
export interface OwnTelemetry {
  telemetry: Telemetry;
  store: Database;
  metrics: Metrics;
  folder: string;
  /** Milliseconds since 1970. */
  time: { now: number };
  /** Puts agents into the registry. */
  register(names: readonly string[]): Promise<void>;
}

export async function withTelemetry<T>(start: number, work: (own: OwnTelemetry) => Promise<T>): Promise<T> {
  const [embedded, { createDatabase, statement }, { migrate }, { createMetrics }, { silentLogger }] =
    await Promise.all([built.embedded(), built.database(), built.migrate(), built.metrics(), built.logger()]);
  const { createTelemetry } = await built.telemetry();
  const folder = await mkdtemp(join(tmpdir(), 'viworks-bench-'));
  const server = embedded.createEmbeddedPostgres({ dataDir: folder, log: silentLogger, maxConnections: 20 });
  try {
    const store = createDatabase({
      url: (await server.start()).connectionString,
      maxConnections: 10,
      connectTimeoutMs: 10_000,
      idleTimeoutMs: 10_000,
      log: silentLogger,
    });
    await migrate(store);
    const time = { now: start };
    const metrics = createMetrics();
    const telemetry = createTelemetry({
      database: store,
      clock: { now: () => time.now, monotonic: () => time.now - start },
      log: silentLogger,
      metrics,
      settings: { keepMs: 30 * dayMs, keepRollupsMs: 400 * dayMs, intervalMs: 30_000 },
    });
    const add = statement(
      'bench_agents',
      `insert into agents (agent_id, site, incarnation) select unnest($1::text[]), 'bench', 1`,
    );
    await telemetry.start();
    try {
      return await work({
        telemetry,
        store,
        metrics,
        folder,
        time,
        register: async (names) => void (await store.query(add, [names])),
      });
    } finally {
      await telemetry.stop();
      await store.close();
    }
  } finally {
    await server.stop();
    await rm(folder, { recursive: true, force: true });
  }
}
