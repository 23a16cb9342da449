import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openTestDatabase } from '../../test/support/postgres.ts';
import { type Database, statement } from './database.ts';
import { telemetryMetrics } from './telemetry-metrics.ts';
import {
  createPartitions,
  hoursTable,
  minutesTable,
  partitionStart,
  quartersTable,
} from './telemetry-partitions.ts';
import { rollupLevels } from './telemetry-rollups.ts';
import { readSeries } from './telemetry-series.ts';
import { keptParts, measuredParts, spanColumns, spansIn, statisticsOf } from './telemetry-spans.ts';

let own: Awaited<ReturnType<typeof openTestDatabase>>;
let database: Database;
const midnight = Date.parse('2026-03-02T00:00:00Z');
const range = {
  from: new Date(midnight),
  to: new Date(midnight + 60_000),
  unsettled: new Date(midnight + 60_000),
};

beforeAll(async () => {
  own = await openTestDatabase();
  database = own.database;
  const tables = [minutesTable, quartersTable, hoursTable];
  await createPartitions(
    database,
    tables.map((table) => ({ table, start: partitionStart(table, midnight) })),
  );
});

afterAll(() => own.drop());

const columns = spanColumns(telemetryMetrics).join(', ');
const values = telemetryMetrics.map((_, n) => `$${n + 2}::float8[]`).join(', ');
const measured = `select count(*)::int as samples, ${measuredParts(telemetryMetrics)}
  from unnest(${values}) as x(${telemetryMetrics.join(', ')})`;
const clear = statement('test_clear', 'delete from telemetry_minutes');
const keep = statement(
  'test_keep',
  `insert into telemetry_minutes (agent_id, at, samples, ${columns})
   select 'alpha', $1::timestamptz, of.samples, ${keptParts(telemetryMetrics, 'of')} from (${measured}) of`,
);
const whole = statement(
  'test_whole',
  `insert into telemetry_minutes (agent_id, at, samples, ${columns})
   select 'alpha', $1::timestamptz, samples, ${telemetryMetrics
     .map((name) => `nullif(${name}_count, 0), ${name}_sum, ${name}_min, ${name}_max, ${name}_p95`)
     .join(', ')} from (${measured}) of`,
);
const direct = statement('test_direct', `select * from (${measured}) of where $1::timestamptz is not null`);
const stored = statement('test_stored', `select * from ${spansIn(minutesTable.name)} s`);
const nulls = statement('test_nulls', `select num_nulls(${columns})::int as n from telemetry_minutes`);

const numbers = fc.oneof(
  fc.constantFrom(0, 0.1, 100, Number.MIN_VALUE, -Number.MIN_VALUE),
  fc.double({ min: -1e100, max: 1e100, noNaN: true }),
);
/** Samples, each with some of the metrics; often of one value. */
const samples = fc.oneof(
  fc.array(fc.tuple(...telemetryMetrics.map(() => fc.option(numbers, { nil: null, freq: 4 }))), {
    minLength: 1,
    maxLength: 8,
  }),
  fc
    .tuple(fc.tuple(...telemetryMetrics.map(() => numbers)), fc.integer({ min: 1, max: 40 }))
    .map(([one, count]) => Array.from({ length: count }, () => one)),
);

test.each([
  ['what follows is left out', keep],
  ['all of it is there', whole],
])('a span reads as it was measured, where %s', async (_, write) => {
  await fc.assert(
    fc.asyncProperty(samples, async (some) => {
      const bound = [range.from, ...telemetryMetrics.map((_, n) => some.map((sample) => sample[n] ?? null))];
      await database.query(clear, []);
      await database.query(write, bound);
      const [expected] = await database.query<Parameters<typeof statisticsOf>[0]>(direct, bound);
      if (expected === undefined) throw new Error('nothing was measured');
      for (const name of telemetryMetrics)
        if (expected[`${name}_count`] === 0) expected[`${name}_count`] = null;
      const [found] = await database.query(stored, []);
      expect(found).toEqual({ agent_id: 'alpha', at: range.from, ...expected });
      const wanted = { agentId: 'alpha', metrics: telemetryMetrics, limit: 10, ...range };
      expect(await readSeries(database.rows, rollupLevels[0], wanted)).toEqual([
        { at: range.from, samples: some.length, metrics: statisticsOf(expected, telemetryMetrics) },
      ]);
    }),
  );
});

test('of two samples two numbers are kept for each metric, of what does not move one', async () => {
  const write = async (...pair: number[]) => {
    await database.query(clear, []);
    await database.query(keep, [range.from, ...telemetryMetrics.map(() => pair)]);
    const [row] = await database.query<{ n: number }>(nulls, []);
    return telemetryMetrics.length * 5 - (row?.n ?? 0);
  };
  expect(await write(1.1, 97.3)).toBe(2 * telemetryMetrics.length);
  expect(await write(0.1, 0.1)).toBe(telemetryMetrics.length);
  // With a third the sum is no longer what two of them say.
  expect(await write(1.1, 97.3, 2.2)).toBe(3 * telemetryMetrics.length);
});
