import { type Database, type Statement, statement } from './database.ts';
import { type PackedColumn, type PackedRow, packed, unpack } from './packed.ts';
import type { TimeRange } from './telemetry-history.ts';
import { type TelemetryMetric, telemetryMetrics } from './telemetry-metrics.ts';
import { type RollupLevel, spanOrigin } from './telemetry-rollups.ts';
import { measuredParts, type Statistic, spanColumns, spanParts, statisticKept } from './telemetry-spans.ts';

/** Spans of one agent, read again. */

type Query = Database['query'];

export interface SpanRow {
  at: Date;
  samples: number;
  /** Of those that were asked for; null where nothing was measured. */
  metrics: Partial<Record<TelemetryMetric, Statistic | null>>;
}

/** Names a choice of metrics. */
export const choiceOf = (metrics: readonly TelemetryMetric[]): string =>
  telemetryMetrics.map((name) => (metrics.includes(name) ? '1' : '0')).join('');

interface Series {
  statement: Statement;
  columns: readonly PackedColumn[];
}

const seriesOfLevels = new WeakMap<RollupLevel, Map<string, Series>>();

/** One statement for each level and choice of metrics, so that only what is asked for is read and sent. */
function seriesOf(level: RollupLevel, metrics: readonly TelemetryMetric[]): Series {
  const known = seriesOfLevels.get(level) ?? new Map<string, Series>();
  seriesOfLevels.set(level, known);
  const choice = choiceOf(metrics);
  const made = known.get(choice) ?? makeSeries(level, metrics, choice);
  known.set(choice, made);
  return made;
}

function makeSeries(
  { table, seconds }: RollupLevel,
  metrics: readonly TelemetryMetric[],
  choice: string,
): Series {
  const names = spanColumns(metrics);
  const columns: PackedColumn[] = [
    { name: 'at', type: 'timestamptz' },
    { name: 'samples', type: 'int4' },
    ...names.map((name) => ({ name, type: name.endsWith('_count') ? 'int4' : 'float8' }) as const),
  ];
  const measured = metrics.length === 0 ? '' : `, ${measuredParts(metrics)}`;
  const text = `select ${packed(columns)} from (
     (select ${['at', 'samples', ...names].join(', ')} from ${table}
      where agent_id = $1 and at >= $2 and at < least($3::timestamptz, $4::timestamptz) order by at limit $5)
     union all
     (select date_bin('${seconds} seconds', at, ${spanOrigin}) as at, count(*)::int as samples${measured}
      from telemetry_samples
      where agent_id = $1 and at >= greatest($2::timestamptz, $4::timestamptz) and at < $3 group by 1 order by 1 limit $5)
     order by 1 limit $5) spans`;
  return { statement: statement(`${table}_series_${choice}`, text), columns };
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
  const series = seriesOf(level, metrics);
  const [row] = await query<PackedRow>(series.statement, [agentId, from, to, unsettled, limit]);
  const { rows, columns } = unpack(row, series.columns);
  const [time = none, samplesOf = none, ...parts] = columns;
  const measured = metrics.map((name, n) => {
    const [count = none, sum = none, min = none, max = none, p95 = none] = parts.slice(n * spanParts.length);
    return { name, read: (samples: number) => statisticKept(samples, count(), sum(), min(), max(), p95()) };
  });
  return Array.from({ length: rows }, () => {
    const at = new Date(time());
    const samples = samplesOf();
    const found: SpanRow = { at, samples, metrics: {} };
    for (const { name, read } of measured) found.metrics[name] = read(samples);
    return found;
  });
}

const none = () => Number.NaN;
