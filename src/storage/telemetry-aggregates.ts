import { type AgentStatus, statusColumn } from './agents.ts';
import { type Database, report, type Statement } from './database.ts';
import type { TimeRange } from './telemetry-history.ts';
import type { TelemetryMetric } from './telemetry-metrics.ts';
import { type RollupLevel, spanOrigin } from './telemetry-rollups.ts';
import { choiceOf } from './telemetry-series.ts';
import { type FlatStatistics, type Statistic, spansIn, statisticsOf } from './telemetry-spans.ts';

/** What many agents measured together. */

type Query = Database['query'];

/** Which agents: every part that is set must match; without any of it all. */
export interface AggregateFilter {
  site?: string | undefined;
  /** Any of these. */
  sites?: readonly string[] | undefined;
  labels?: Record<string, string> | undefined;
  agentIds?: readonly string[] | undefined;
  /** All of these. */
  capabilities?: readonly string[] | undefined;
  /** Any of these. */
  os?: readonly string[] | undefined;
  /** Any of these. */
  statuses?: readonly AgentStatus[] | undefined;
}

/** The agents of a filter, whose values are `chosenValues` and begin with `$1`. */
const chosenAgents = `select agent_id, site from agents
   where ($1::text is null or site = $1) and ($2::text[] is null or site = any($2))
     and ($3::jsonb is null or labels @> $3) and ($4::text[] is null or agent_id = any($4))
     and ($5::text[] is null or capabilities @> $5) and ($6::text[] is null or os = any($6))
     and ($7::text[] is null or ${statusColumn} = any($7))`;

const chosenValues = ({ site, sites, labels, agentIds, capabilities, os, statuses }: AggregateFilter) => [
  site,
  sites,
  labels && JSON.stringify(labels),
  agentIds,
  capabilities,
  os,
  statuses,
];

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
    report(
      `${table}_aggregate_${metric}`,
      `with chosen as (${chosenAgents}), parts as (
       select r.at, r.${metric}_count as count, r.${metric}_sum as sum, r.${metric}_min as min, r.${metric}_max as max
       from ${spansIn(table)} r join chosen using (agent_id)
       where r.at >= $8 and r.at < least($9::timestamptz, $10::timestamptz)
       union all
       select date_bin('${seconds} seconds', s.at, ${spanOrigin}), count(s.${metric})::int, sum(s.${metric}),
         min(s.${metric}), max(s.${metric})
       from telemetry_samples s join chosen using (agent_id)
       where s.at >= greatest($8::timestamptz, $10::timestamptz) and s.at < $9 group by s.agent_id, 1
     )
     select at, count(*)::int as agents, sum(count)::int as samples, sum(sum) / sum(count) as average, min(min), max(max),
       percentile_disc(0.95) within group (order by sum / count) as p95
     from parts where count > 0 group by at order by at limit $11`,
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
    ...chosenValues(filter),
    from,
    to,
    unsettled,
    limit,
  ]);

export interface SiteRow {
  site: string;
  /** All that belong to it. */
  agents: number;
  /** That measured anything. */
  reporting: number;
  samples: number;
  /** Of those that were asked for, over the whole range; null where nothing was measured. `p95` is over agents. */
  metrics: Partial<Record<TelemetryMetric, Statistic | null>>;
}

const siteStatements = new WeakMap<RollupLevel, Map<string, Statement>>();

function siteStatement(level: RollupLevel, metrics: readonly TelemetryMetric[]): Statement {
  const known = siteStatements.get(level) ?? new Map<string, Statement>();
  siteStatements.set(level, known);
  const chosen = choiceOf(metrics);
  const { table } = level;
  const each = (write: (name: TelemetryMetric) => string) =>
    metrics.map((name) => `, ${write(name)}`).join('');
  const made =
    known.get(chosen) ??
    // Without a join of what is summed up: it would be done again for each agent where few are expected.
    report(
      `${table}_sites_${chosen}`,
      `with chosen as (${chosenAgents} and ($8::text is null or site > $8)), parts as (
       select site, agent_id, 0 as samples${each(
         (m) =>
           `null::int as ${m}_count, null::float8 as ${m}_sum, null::float8 as ${m}_min, null::float8 as ${m}_max`,
       )}
       from chosen
       union all
       select site, agent_id, r.samples${each((m) => `r.${m}_count, r.${m}_sum, r.${m}_min, r.${m}_max`)}
       from ${spansIn(table)} r join chosen using (agent_id)
       where r.at >= $9 and r.at < least($10::timestamptz, $11::timestamptz)
       union all
       select site, agent_id, 1${each((m) => `case when ${m} is not null then 1 end, ${m}, ${m}, ${m}`)}
       from telemetry_samples s join chosen using (agent_id)
       where s.at >= greatest($9::timestamptz, $11::timestamptz) and s.at < $10
     ), each_agent as (
       select site, agent_id, sum(samples) as samples${each(
         (m) =>
           `sum(${m}_count) as ${m}_count, sum(${m}_sum) as ${m}_sum, min(${m}_min) as ${m}_min, max(${m}_max) as ${m}_max`,
       )}
       from parts group by site, agent_id
     )
     select site, count(*)::int as agents, (count(*) filter (where samples > 0))::int as reporting,
       sum(samples)::float8 as samples${each(
         (m) =>
           `sum(${m}_count)::float8 as ${m}_count, sum(${m}_sum)::float8 as ${m}_sum, min(${m}_min) as ${m}_min,
            max(${m}_max) as ${m}_max, percentile_disc(0.95) within group (order by ${m}_sum / nullif(${m}_count, 0)) as ${m}_p95`,
       )}
     from each_agent group by site order by site limit $12`,
    );
  known.set(chosen, made);
  return made;
}

export interface SitesQuery extends TimeRange {
  metrics: readonly TelemetryMetric[];
  filter: AggregateFilter;
  /** The last site of the page before. */
  after: string | undefined;
  /** As in SeriesQuery. */
  unsettled: Date;
  limit: number;
}

/** The whole range as one row for each site, by name. The range begins and ends with spans. */
export async function readSites(
  query: Query,
  level: RollupLevel,
  { metrics, filter, after, from, to, unsettled, limit }: SitesQuery,
): Promise<SiteRow[]> {
  const rows = await query<Omit<SiteRow, 'metrics'> & FlatStatistics>(siteStatement(level, metrics), [
    ...chosenValues(filter),
    after,
    from,
    to,
    unsettled,
    limit,
  ]);
  return rows.map((row) => ({
    site: row.site,
    agents: row.agents,
    reporting: row.reporting,
    samples: row.samples,
    metrics: statisticsOf(row, metrics),
  }));
}
