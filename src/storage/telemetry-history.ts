import { type Database, type Statement, statement } from './database.ts';
import { type TelemetryMetric, telemetryMetrics } from './telemetry-metrics.ts';
import { type RollupLevel, spanOrigin } from './telemetry-rollups.ts';
import type { StoredSample } from './telemetry-samples.ts';

/** What was measured, read again: samples, roll-ups of one agent, and many agents together. */

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
  `select agent_id as "agentId", at, boot_id as "bootId", number::float8 as number, received_at as "receivedAt", late,
     skewed, sample, ${telemetryMetrics.join(', ')}
   from telemetry_samples
   where agent_id = $1 and at >= $2 and at < $3
     and ($4::timestamptz is null or (at, boot_id, number) > ($4, $5::bytea, $6::int8))
   order by at, boot_id, number limit $7`,
);

/** Samples of an agent, oldest first. @param after the last one of the page before */
export const readSamples = (
  query: Query,
  agentId: string,
  { from, to }: TimeRange,
  after: SampleCursor | undefined,
  limit: number,
) =>
  query<StoredSample>(samplesOf, [
    agentId,
    // The partitions before that need not be looked at.
    after === undefined ? from : new Date(Math.max(from.getTime(), after.at.getTime())),
    to,
    after?.at,
    after && Buffer.from(after.bootId),
    after?.number,
    limit,
  ]);

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
type FlatRow = { at: Date; samples: number } & Record<
  `${TelemetryMetric}_${(typeof parts)[number]}`,
  number | null
>;

const fresh = (name: string): string =>
  `count(${name})::int as ${name}_count, sum(${name}) as ${name}_sum, min(${name}) as ${name}_min,
   max(${name}) as ${name}_max, percentile_disc(0.95) within group (order by ${name}) as ${name}_p95`;

const seriesStatements = new WeakMap<RollupLevel, Map<string, Statement>>();

/** One for each level and choice of metrics, so that only what is asked for is read and sent. */
function seriesStatement(level: RollupLevel, metrics: readonly TelemetryMetric[]): Statement {
  const known = seriesStatements.get(level) ?? new Map<string, Statement>();
  seriesStatements.set(level, known);
  const chosen = telemetryMetrics.map((name) => (metrics.includes(name) ? '1' : '0')).join('');
  const { table, seconds } = level;
  const kept = metrics.flatMap((name) => parts.map((part) => `${name}_${part}`));
  const made =
    known.get(chosen) ??
    statement(
      `${table}_series_${chosen}`,
      `(select ${['at', 'samples', ...kept].join(', ')} from ${table}
      where agent_id = $1 and at >= $2 and at < least($3::timestamptz, $4::timestamptz) order by at limit $5)
     union all
     (select ${[`date_bin('${seconds} seconds', at, ${spanOrigin}) as at`, 'count(*)::int as samples', ...metrics.map(fresh)].join(', ')}
      from telemetry_samples
      where agent_id = $1 and at >= greatest($2::timestamptz, $4::timestamptz) and at < $3 group by 1 order by 1 limit $5)
     order by 1 limit $5`,
    );
  known.set(chosen, made);
  return made;
}

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
  const rows = await query<FlatRow>(seriesStatement(level, metrics), [agentId, from, to, unsettled, limit]);
  return rows.map((row) => ({
    at: row.at,
    samples: row.samples,
    metrics: Object.fromEntries(metrics.map((name) => [name, statisticOf(row, name)])),
  }));
}

function statisticOf(row: FlatRow, name: TelemetryMetric): Statistic | null {
  const [count, sum, min, max, p95] = parts.map((part) => row[`${name}_${part}`] ?? 0) as [
    number,
    number,
    number,
    number,
    number,
  ];
  return count === 0 ? null : { count, average: sum / count, min, max, p95 };
}

/** Which agents; without any of it all. */
export interface AggregateFilter {
  site?: string | undefined;
  /** Any of these. */
  sites?: readonly string[] | undefined;
  labels?: Record<string, string> | undefined;
  agentIds?: readonly string[] | undefined;
}

export interface AggregateRow {
  at: Date;
  /** That measured it in this span. */
  agents: number;
  samples: number;
  /** Over all samples. */
  average: number;
  min: number;
  max: number;
  /** 95 of 100 agents had an average of at most this. */
  p95: number;
}

const aggregateStatements = new WeakMap<RollupLevel, Map<TelemetryMetric, Statement>>();

function aggregateStatement(level: RollupLevel, metric: TelemetryMetric): Statement {
  const known = aggregateStatements.get(level) ?? new Map<TelemetryMetric, Statement>();
  aggregateStatements.set(level, known);
  const { table, seconds } = level;
  const made =
    known.get(metric) ??
    statement(
      `${table}_aggregate_${metric}`,
      `with chosen as (
       select agent_id from agents
       where ($5::text is null or site = $5) and ($6::text[] is null or site = any($6))
         and ($7::jsonb is null or labels @> $7) and ($8::text[] is null or agent_id = any($8))
     ), parts as (
       select r.at, r.${metric}_count as count, r.${metric}_sum as sum, r.${metric}_min as min, r.${metric}_max as max
       from ${table} r join chosen using (agent_id)
       where r.at >= $1 and r.at < least($2::timestamptz, $3::timestamptz)
       union all
       select date_bin('${seconds} seconds', s.at, ${spanOrigin}), count(s.${metric})::int, sum(s.${metric}),
         min(s.${metric}), max(s.${metric})
       from telemetry_samples s join chosen using (agent_id)
       where s.at >= greatest($1::timestamptz, $3::timestamptz) and s.at < $2 group by s.agent_id, 1
     )
     select at, count(*)::int as agents, sum(count)::int as samples, sum(sum) / sum(count) as average, min(min), max(max),
       percentile_disc(0.95) within group (order by sum / count) as p95
     from parts where count > 0 group by at order by at limit $4`,
    );
  known.set(metric, made);
  return made;
}

export interface AggregateQuery extends TimeRange {
  metric: TelemetryMetric;
  filter: AggregateFilter;
  /** As in SeriesQuery. */
  unsettled: Date;
  limit: number;
}

/** One metric of many agents together, span by span, oldest first. The range begins and ends with spans. */
export const readAggregate = (
  query: Query,
  level: RollupLevel,
  { metric, filter, from, to, unsettled, limit }: AggregateQuery,
) =>
  query<AggregateRow>(aggregateStatement(level, metric), [
    from,
    to,
    unsettled,
    limit,
    filter.site,
    filter.sites,
    filter.labels === undefined ? undefined : JSON.stringify(filter.labels),
    filter.agentIds,
  ]);
