import { createBinaryReader } from './binary-reader.ts';
import type { Database } from './database.ts';
import type { TimeRange } from './telemetry-history.ts';
import { type TelemetryMetric, telemetryMetrics } from './telemetry-metrics.ts';
import { type RollupLevel, spanOrigin } from './telemetry-rollups.ts';
import { measuredParts, type Statistic, spanColumns, statisticKept } from './telemetry-spans.ts';

/** Spans of one agent, read again. */

export interface SpanRow {
  at: Date;
  samples: number;
  /** Of those that were asked for; null where nothing was measured. */
  metrics: Partial<Record<TelemetryMetric, Statistic | null>>;
}

/** Names a choice of metrics. */
export const choiceOf = (metrics: readonly TelemetryMetric[]): string =>
  telemetryMetrics.map((name) => (metrics.includes(name) ? '1' : '0')).join('');

export interface SeriesQuery extends TimeRange {
  agentId: string;
  metrics: readonly TelemetryMetric[];
  /** From here on spans are worked out from samples: they may not be rolled up yet. The beginning of a span. */
  unsettled: Date;
  limit: number;
}

/** Only what is asked for is read and sent, and nothing is planned that has no place in the range. */
function seriesOf({ table, seconds }: RollupLevel, { from, to, unsettled, metrics }: SeriesQuery): string {
  const names = ['at', 'samples', ...spanColumns(metrics)].join(', ');
  const measured = metrics.length === 0 ? '' : `, ${measuredParts(metrics)}`;
  const rolledUp = `(select ${names} from ${table}
    where agent_id = $1 and at >= $2 and at < least($3, $4) order by at limit $5)`;
  const workedOut = `(select date_bin('${seconds} seconds', at, ${spanOrigin}) as at, count(*)::int as samples${measured}
    from telemetry_samples where agent_id = $1 and at >= greatest($2, $4) and at < $3 group by 1 order by 1 limit $5)`;
  if (to <= unsettled) return rolledUp;
  if (from >= unsettled) return workedOut;
  return `${rolledUp} union all ${workedOut} order by 1 limit $5`;
}

/** Spans of an agent that have samples, oldest first. The range begins and ends with spans. */
export async function readSeries(
  rows: Database['rows'],
  level: RollupLevel,
  wanted: SeriesQuery,
): Promise<SpanRow[]> {
  const { agentId, from, to, unsettled, limit, metrics } = wanted;
  const reader = createBinaryReader(
    await rows(seriesOf(level, wanted), [agentId, from, to, unsettled, limit]),
  );
  const { int4, float8 } = reader;
  const spans: SpanRow[] = [];
  while (reader.next()) {
    const at = new Date(reader.time());
    const samples = int4();
    const span: SpanRow = { at, samples, metrics: {} };
    for (const name of metrics)
      span.metrics[name] = statisticKept(samples, int4(), float8(), float8(), float8(), float8());
    spans.push(span);
  }
  return spans;
}
