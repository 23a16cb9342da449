import { type TelemetryMetric, telemetryMetrics } from '../storage/telemetry-metrics.ts';
import { median, quantile, sortedNumbers } from './quantile.ts';
import type { Anomaly, AnomalyReport } from './types.ts';
import { amountText, isPercent } from './units.ts';

/**
 * Whether an agent is as it used to be: the last quarter of an hour beside the same hour of the days before. Far off is
 * what is further from the median than four times what is usual, and outside of where nearly all of them were.
 */

export type Averages = Partial<Record<TelemetryMetric, number | null>>;

const dayMs = 86_400_000;
const hourMs = 3_600_000;
const quarterMs = 900_000;
/** The days that are looked at, and how many of them must have something. */
const pastDays = 14;
export const neededDays = 7;
const farOff = 4;
/** Further than this is just as far. */
const farthest = 1_000_000;
/** Makes of the median of distances what the standard deviation is where values are spread normally. */
const normal = 1.4826;
/** However even the past was, less than this is no distance: points of a percentage, or a share of the median. */
const leastPoints = 2;
const leastShare = 0.1;
/** Shares of the quarters of an hour that are left out at both ends: of what was, and of what is called usual. */
const rare = 0.05;
const unusual = 0.1;

/** Milliseconds since 1970 at which the quarters begin that are compared with now. */
export function quartersBefore(now: number): number[] {
  const hour = Math.floor((now - quarterMs / 2) / hourMs) * hourMs;
  const quarters = [0, 1, 2, 3].map((quarter) => quarter * quarterMs);
  return Array.from({ length: pastDays }, (_, day) => hour - (pastDays - day) * dayMs).flatMap((begins) =>
    quarters.map((quarter) => begins + quarter),
  );
}

/** @param lately undefined where nothing is known of now */
export function judgeAnomalies(
  lately: Averages | undefined,
  past: readonly (Averages & { at: Date })[],
): AnomalyReport {
  const days = new Set(past.map(({ at }) => Math.floor(at.getTime() / dayMs))).size;
  const base = { enabled: true, days, neededDays };
  if (lately === undefined || telemetryMetrics.every((metric) => lately[metric] == null))
    return { ...base, found: [], text: 'not known: nothing was measured in the last quarter of an hour' };
  if (days < neededDays)
    return { ...base, found: [], text: `not known yet: ${days} of ${neededDays} days that it takes` };
  const found = telemetryMetrics.flatMap((metric) => judgeMetric(metric, lately[metric], past) ?? []);
  const text =
    found.length === 0
      ? `nothing unusual beside this hour of the last ${days} days`
      : found.map((anomaly) => anomaly.text).join('; ');
  return { ...base, found, text };
}

export const noAnomalies: AnomalyReport = {
  enabled: false,
  days: 0,
  neededDays,
  found: [],
  text: 'not looked for (telemetry.anomaly_detection is off)',
};

function judgeMetric(
  metric: TelemetryMetric,
  value: number | null | undefined,
  past: readonly (Averages & { at: Date })[],
): Anomaly | undefined {
  if (value == null) return undefined;
  const rows = past.flatMap((row) => {
    const known = row[metric];
    return known == null ? [] : [{ day: Math.floor(row.at.getTime() / dayMs), known }];
  });
  const days = new Set(rows.map(({ day }) => day)).size;
  if (days < neededDays) return undefined;
  const sorted = sortedNumbers(rows.map(({ known }) => known));
  const middle = median(sorted);
  const spread = normal * median(sortedNumbers(rows.map(({ known }) => Math.abs(known - middle))));
  const least = isPercent(metric) ? leastPoints : Math.abs(middle) * leastShare;
  const unit = Math.max(spread, least);
  // Of nothing at all, anything is infinitely far off.
  const score = unit === 0 ? 0 : Math.min(farthest, Math.abs(value - middle) / unit);
  const isRare = value < quantile(sorted, rare) || value > quantile(sorted, 1 - rare);
  if (score <= farOff || !isRare) return undefined;
  const [usualLow, usualHigh] = [quantile(sorted, unusual), quantile(sorted, 1 - unusual)];
  const usual = `${amountText(metric, usualLow)} to ${amountText(metric, usualHigh)}`;
  return {
    metric,
    value,
    median: middle,
    usualLow,
    usualHigh,
    score,
    text: `${metric} ${amountText(metric, value)}, at this hour of the last ${days} days usually ${usual}`,
  };
}
