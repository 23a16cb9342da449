import { setTimeout as delay } from 'node:timers/promises';
import { create } from '@bufbuild/protobuf';
import { TelemetrySchema } from '#gen/viworks/agent/v1/telemetry_pb.js';
import type { Benchmark, BenchOptions } from './benchmark.ts';
import { measureReads, type ReadSample, readsTable } from './replay-reads.ts';
import { built } from './support/built.ts';
import { agentNames } from './support/enrolment.ts';
import { figure } from './support/figures.ts';
import { sampleOf } from './support/fleet-measuring.ts';
import { withTelemetry } from './support/own-telemetry.ts';
import { dayMs } from './support/replay-day.ts';

/**
 * What it takes to read of a month. Roll-ups are made here in the order of time, and what is over is put in order as the
 * system does it.
 */

interface Plan {
  agents: number;
  days: number;
}

const fullPlan: Plan = { agents: 1000, days: 30 };
const quickPlan: Plan = { agents: 100, days: 3 };

interface HistoryResult extends Plan {
  rows: number;
  gibibytes: number;
  /** Seconds that it took to make them. */
  took: number;
  /** Seconds of them in which they were put in order. */
  ordered: number;
  /** Mebibytes of this process, with the newest samples of all agents. */
  resident: number;
  reads: ReadSample[];
}

export const history: Benchmark = {
  name: 'history',
  summary: 'what it takes to read of 30 days of 1,000 agents',
  onlyByName: true,
  async run(options) {
    const result = await measure(options.quick ? quickPlan : fullPlan, options);
    return { result, report: reportOf(result) };
  },
};

/** The days end with it. */
const today = Math.floor(Date.now() / dayMs) * dayMs;

function measure({ agents, days }: Plan, { progress }: BenchOptions): Promise<HistoryResult> {
  return withTelemetry(today, async ({ telemetry, store, folder, register }) => {
    const names = agentNames(agents);
    await register(names);
    const begun = performance.now();
    const all = Array.from({ length: days }, (_, n) => today - (days - n) * dayMs);
    const partitions = await built.partitions();
    const { statement } = await built.database();
    const fill = await statements(statement);
    for (const [n, from] of all.entries()) {
      progress(`day ${n + 1} of ${days}`);
      const wanted = [partitions.minutesTable, partitions.quartersTable, partitions.hoursTable];
      await partitions.createPartitions(
        store,
        wanted.map((table) => ({ table, start: partitions.partitionStart(table, from) })),
      );
      for (const one of fill) await store.query(one, [names, new Date(from), new Date(from + dayMs - 1)]);
    }
    progress('putting in order');
    const { putInOrder } = await built.order();
    const ordering = performance.now();
    for (const table of partitions.rollupTables)
      for (const start of await partitions.listPartitions(store.query, table))
        if (partitions.partitionEnd(table, start) <= today)
          // While others roll up, it is to be tried again.
          while (!(await putInOrder(store, table, start)));
    const ordered = (performance.now() - ordering) / 1000;
    const took = (performance.now() - begun) / 1000;
    const newest = create(TelemetrySchema, { samples: [sampleOf(1, today)] });
    const bootId = new Uint8Array(16);
    await Promise.all(names.map((agentId) => telemetry.ingest({ agentId, bootId }, newest)));
    progress('waiting until PostgreSQL has done what filling left it to do');
    await store.query(statement('bench_checkpoint', 'checkpoint'), []);
    await untilCalm(() => store.query(statement('bench_vacuums', vacuums), []));
    progress('reading');
    const size = statement(
      'bench_size',
      `select sum(pg_total_relation_size(inhrelid))::float8 as bytes from pg_inherits`,
    );
    const [row] = await store.query<{ bytes: number }>(size, []);
    const reads = await measureReads({ telemetry, store, folder }, names, all);
    return {
      agents,
      days,
      rows: agents * days * (1440 + 96 + 24),
      gibibytes: (row?.bytes ?? 0) / 2 ** 30,
      took,
      ordered,
      resident: process.memoryUsage().rss / 2 ** 20,
      reads,
    };
  });
}

const vacuums = `select 1 from pg_stat_activity where backend_type = 'autovacuum worker'`;
const lookEveryMs = 1000;
/** PostgreSQL looks once a minute for tables to vacuum. */
const calmMs = 65_000;
const patienceMs = 300_000;

/** Waits until for more than a minute nothing was found. A month does not come within minutes, and all of it at once. */
async function untilCalm(busy: () => Promise<unknown[]>): Promise<void> {
  const begun = performance.now();
  for (let since = begun; performance.now() - since < calmMs; await delay(lookEveryMs)) {
    if ((await busy()).length > 0) since = performance.now();
    if (performance.now() - begun > patienceMs) return;
  }
}

/** One for each level of roll-ups: all agents in each span, with values that differ, kept as the system keeps them. */
async function statements(make: typeof import('../src/storage/database.ts').statement) {
  const [{ rollupLevels }, { telemetryMetrics }, { keptParts, spanColumns }] = await Promise.all([
    built.rollups(),
    built.telemetryMetrics(),
    built.spans(),
  ]);
  return rollupLevels.map(({ table, seconds }) => {
    const count = seconds / 30;
    const parts = telemetryMetrics.map((name) => {
      // Of two samples the parts follow from each other; of more they do not.
      const [sum, p95] =
        count === 2 ? ['x + y', 'greatest(x, y)'] : [`(x + y) / 2.1 * ${count}`, '(x + y) / 1.9'];
      return `${count} as ${name}_count, ${sum} as ${name}_sum, least(x, y) as ${name}_min,
        greatest(x, y) as ${name}_max, ${p95} as ${name}_p95`;
    });
    return make(
      `bench_fill_${table}`,
      `insert into ${table} (agent_id, at, samples, ${spanColumns(telemetryMetrics).join(', ')})
       select agent_id, at, samples, ${keptParts(telemetryMetrics, 'spans')} from (
         select agent_id, at, ${count} as samples, ${parts.join(', ')}
         from generate_series($2::timestamptz, $3::timestamptz, interval '${seconds} seconds') as at
         cross join lateral (
           select agent_id, random() * 100 as x, random() * 100 as y from unnest($1::text[]) as a(agent_id)) as drawn
       ) spans`,
    );
  });
}

const reportOf = ({ agents, days, rows, gibibytes, took, ordered, resident, reads }: HistoryResult): string =>
  [
    `${figure(days)} days of ${figure(agents)} agents: ${figure(rows)} roll-ups, ${figure(gibibytes)} GiB, made in ${figure(took)} s, ${figure(ordered)} s of them to put them in order.`,
    `Each question is about one agent and one of the days; this process has ${figure(resident)} MiB.`,
    '',
    readsTable('read, one after the other', reads),
  ].join('\n');
