import { type Database, type Statement, statement } from './database.ts';
import { packedFloats, packedInts, packedTimes, unpackFloats, unpackInts, unpackTimes } from './packed.ts';
import { type TelemetryMetric, telemetryMetrics } from './telemetry-metrics.ts';
import { type RollupLevel, spanOrigin } from './telemetry-rollups.ts';
import { type StoredSample, sampleColumns } from './telemetry-samples.ts';

/** What one agent measured, read again: samples and roll-ups. */

type Query = Database['query'];

export interface TimeRange {
  from: Date;
  /** Not included. */
  to: Date;
}

/** Names a sample in the order of history. */
export interface SampleCursor {
  at: Date;
  bootId: Uint8Array;
  number: number;
}

const samplesOf = statement(
  'telemetry_samples_range',
  `select ${sampleColumns()}, found from (
     select page.*, count(*) over ()::int as found,
       sum(octet_length(sample)) over (order by at, boot_id, number) - octet_length(sample) as before
     from (
       select * from telemetry_samples
       where agent_id = $1 and at >= $2 and at < $3
         and ($4::timestamptz is null or (at, boot_id, number) > ($4, $5::bytea, $6::int8))
       order by at, boot_id, number limit $7
     ) page
   ) measured where before < $8 order by at, boot_id, number`,
);

/** Bytes of samples after which a page ends, however many it may have. */
const pageBytes = 4 * 1024 * 1024;

/**
 * Samples of an agent, oldest first.
 *
 * @param after the last one of the page before
 * @returns also whether there are more: large samples make a page shorter
 */
export async function readSamples(
  query: Query,
  agentId: string,
  { from, to }: TimeRange,
  after: SampleCursor | undefined,
  size: number,
): Promise<{ samples: StoredSample[]; more: boolean }> {
  const rows = await query<StoredSample & { found: number }>(samplesOf, [
    agentId,
    // The partitions before that need not be looked at.
    after === undefined ? from : new Date(Math.max(from.getTime(), after.at.getTime())),
    to,
    after?.at,
    after && Buffer.from(after.bootId),
    after?.number,
    size + 1,
    pageBytes,
  ]);
  const samples = rows.slice(0, size).map(({ found: _, ...sample }) => sample);
  return { samples, more: (rows[0]?.found ?? 0) > samples.length };
}

/** Of one metric in one span. */
export interface Statistic {
  /** Samples that have it. */
  count: number;
  average: number;
  min: number;
  max: number;
  /** 95 of 100 samples are at most this. */
  p95: number;
}

export interface SpanRow {
  at: Date;
  samples: number;
  /** Of those that were asked for; null where nothing was measured. */
  metrics: Partial<Record<TelemetryMetric, Statistic | null>>;
}

const parts = ['count', 'sum', 'min', 'max', 'p95'] as const;
export type FlatStatistics = Record<`${TelemetryMetric}_${(typeof parts)[number]}`, number | null>;

/** Names a choice of metrics. */
export const choiceOf = (metrics: readonly TelemetryMetric[]): string =>
  telemetryMetrics.map((name) => (metrics.includes(name) ? '1' : '0')).join('');

const fresh = (name: string): string =>
  `count(${name})::int as ${name}_count, sum(${name}) as ${name}_sum, min(${name}) as ${name}_min,
   max(${name}) as ${name}_max, percentile_disc(0.95) within group (order by ${name}) as ${name}_p95`;

const seriesStatements = new WeakMap<RollupLevel, Map<string, Statement>>();

/** Ones of the columns of a span that are whole numbers. */
const isCount = (column: string): boolean => column === 'samples' || column.endsWith('_count');

/**
 * Each column of all spans packed into one value: as rows, each number would be written as text, and read again, one by
 * one, which takes most of the time. One statement for each level and choice of metrics, so that only what is asked for
 * is read and sent.
 */
function seriesStatement(level: RollupLevel, metrics: readonly TelemetryMetric[]): Statement {
  const known = seriesStatements.get(level) ?? new Map<string, Statement>();
  seriesStatements.set(level, known);
  const chosen = choiceOf(metrics);
  const { table, seconds } = level;
  const columns = columnsOf(metrics);
  const packed = columns.map((column) => (isCount(column) ? packedInts(column) : packedFloats(column)));
  const made =
    known.get(chosen) ??
    statement(
      `${table}_series_${chosen}`,
      `select ${packedTimes('at')} as at, ${packed.map((value, n) => `${value} as ${columns[n]}`).join(', ')} from (
       (select ${['at', ...columns].join(', ')} from ${table}
        where agent_id = $1 and at >= $2 and at < least($3::timestamptz, $4::timestamptz) order by at limit $5)
       union all
       (select ${[`date_bin('${seconds} seconds', at, ${spanOrigin}) as at`, 'count(*)::int as samples', ...metrics.map(fresh)].join(', ')}
        from telemetry_samples
        where agent_id = $1 and at >= greatest($2::timestamptz, $4::timestamptz) and at < $3 group by 1 order by 1 limit $5)
       order by 1 limit $5) spans`,
    );
  known.set(chosen, made);
  return made;
}

const columnsOf = (metrics: readonly TelemetryMetric[]): string[] => [
  'samples',
  ...metrics.flatMap((name) => parts.map((part) => `${name}_${part}`)),
];

export interface SeriesQuery extends TimeRange {
  agentId: string;
  metrics: readonly TelemetryMetric[];
  /** From here on spans are worked out from samples: they may not be rolled up yet. The beginning of a span. */
  unsettled: Date;
  limit: number;
}

/** Spans of an agent that have samples, oldest first. The range begins and ends with spans. */
export async function readSeries(query: Query, level: RollupLevel, wanted: SeriesQuery): Promise<SpanRow[]> {
  const { agentId, from, to, unsettled, limit, metrics } = wanted;
  const [packed] = await query<Record<string, Buffer>>(seriesStatement(level, metrics), [
    agentId,
    from,
    to,
    unsettled,
    limit,
  ]);
  if (!packed?.at) return [];
  const counts = (column: string) => unpackInts(packed[column]);
  const floats = (column: string) => unpackFloats(packed[column]);
  const samples = counts('samples');
  const measured = metrics.map((name) => {
    const [count, sum, min, max, p95] = [
      `${name}_count`,
      `${name}_sum`,
      `${name}_min`,
      `${name}_max`,
      `${name}_p95`,
    ];
    return {
      name,
      count: counts(count),
      sum: floats(sum),
      min: floats(min),
      max: floats(max),
      p95: floats(p95),
    };
  });
  return unpackTimes(packed.at).map((at, n) => {
    const row: SpanRow = { at, samples: samples(n), metrics: {} };
    for (const { name, count, sum, min, max, p95 } of measured)
      row.metrics[name] = statisticOf(count(n), sum(n), min(n), max(n), p95(n));
    return row;
  });
}

export const statisticsOf = (row: FlatStatistics, metrics: readonly TelemetryMetric[]) =>
  Object.fromEntries(
    metrics.map((name) => {
      const [count, sum, min, max, p95] = parts.map((part) => row[`${name}_${part}`] ?? 0);
      return [name, statisticOf(count, sum, min, max, p95)];
    }),
  );

const statisticOf = (count = 0, sum = 0, min = 0, max = 0, p95 = 0): Statistic | null =>
  count === 0 ? null : { count, average: sum / count, min, max, p95 };
