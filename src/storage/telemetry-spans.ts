import { type TelemetryMetric, telemetryMetrics } from './telemetry-metrics.ts';

/**
 * Of each metric a span has five parts, and keeps those that do not follow from the others: with two samples in a minute
 * the greatest is the 95th percentile, and least and greatest add up to the sum; what does not move has one number. What
 * follows is null, and is worked out by whoever reads it to the same bits. Rows with all of their parts read as well.
 */

export const spanParts = ['count', 'sum', 'min', 'max', 'p95'] as const;
export type SpanPart = (typeof spanParts)[number];
export type FlatStatistics = Record<`${TelemetryMetric}_${SpanPart}`, number | null>;

/** The columns of these metrics in tables of spans. */
export const spanColumns = (metrics: readonly TelemetryMetric[]): string[] =>
  metrics.flatMap((name) => spanParts.map((part) => `${name}_${part}`));

/** What the parts of a metric are over samples, for statements; a count of 0 and otherwise null without any. */
export const measuredParts = (metrics: readonly TelemetryMetric[]): string =>
  metrics
    .map(
      (name) =>
        `count(${name})::int as ${name}_count, sum(${name}) as ${name}_sum, min(${name}) as ${name}_min,
         max(${name}) as ${name}_max, percentile_disc(0.95) within group (order by ${name}) as ${name}_p95`,
    )
    .join(', ');

/** The sum, where it follows: without a division, which PostgreSQL refuses where nothing is left of a number. */
const followingSum = (count: string, min: string, max: string): string =>
  `case when ${count} = 2 then ${min} + ${max} else ${min} * ${count} end`;

/** What is kept of them, in the order of `spanColumns`. @param of what they are selected from, with its `samples` */
export const keptParts = (metrics: readonly TelemetryMetric[], of: string): string =>
  metrics
    .map((metric) => {
      const name = `${of}.${metric}`;
      const sum = followingSum(`${name}_count`, `${name}_min`, `${name}_max`);
      return `nullif(nullif(${name}_count, ${of}.samples), 0), nullif(${name}_sum, ${sum}), ${name}_min,
        nullif(${name}_max, ${name}_min), nullif(${name}_p95, ${name}_max)`;
    })
    .join(', ');

/** A table of spans with all parts, for statements to select from; null where nothing was measured. */
export const spansIn = (table: string): string => {
  const parts = telemetryMetrics.map((name) => {
    const most = `coalesce(${name}_max, ${name}_min)`;
    const count = `case when ${name}_min is not null then coalesce(${name}_count, samples) end`;
    const sum = `coalesce(${name}_sum, ${followingSum(`coalesce(${name}_count, samples)`, `${name}_min`, most)})`;
    return `${count} as ${name}_count, ${sum} as ${name}_sum, ${name}_min, ${most} as ${name}_max,
      coalesce(${name}_p95, ${most}) as ${name}_p95`;
  });
  return `(select agent_id, at, samples, ${parts.join(', ')} from ${table})`;
};

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

/** Parts as they are kept, NaN for null; null where nothing was measured. */
export function statisticKept(
  samples: number,
  count: number,
  sum: number,
  min: number,
  max: number,
  p95: number,
): Statistic | null {
  if (Number.isNaN(min)) return null;
  const most = Number.isNaN(max) ? min : max;
  const measured = Number.isNaN(count) ? samples : count;
  const following = measured === 2 ? min + most : min * measured;
  const total = Number.isNaN(sum) ? following : sum;
  return { count: measured, average: total / measured, min, max: most, p95: Number.isNaN(p95) ? most : p95 };
}

/** Of a row that has all parts. */
export const statisticsOf = (row: FlatStatistics, metrics: readonly TelemetryMetric[]) =>
  Object.fromEntries(
    metrics.map((name) => {
      const part = (of: SpanPart) => row[`${name}_${of}`] ?? Number.NaN;
      return [name, statisticKept(0, part('count'), part('sum'), part('min'), part('max'), part('p95'))];
    }),
  );
