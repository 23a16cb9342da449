import { bytesText } from '../lib/bytes.ts';
import type { TelemetryMetric } from '../storage/telemetry-metrics.ts';

/** How values of metrics are written for a person. */

const percents: ReadonlySet<TelemetryMetric> = new Set(['cpu', 'memory', 'swap', 'disk']);

/** Whether it lies between 0 and 100. */
export const isPercent = (metric: TelemetryMetric): boolean => percents.has(metric);

/** For example `91.5 %`, `0.42` or `1.2 MiB/s`. */
export function amountText(metric: TelemetryMetric, value: number): string {
  if (isPercent(metric)) return `${rounded(value)} %`;
  return metric === 'load' ? value.toFixed(2) : `${bytesText(value)}/s`;
}

/** What is added to it. */
export function slopeText(metric: TelemetryMetric, value: number): string {
  if (isPercent(metric)) return `${significant(value)} %`;
  return metric === 'load' ? significant(value) : `${bytesText(value)}/s`;
}

const rounded = (value: number): string => value.toFixed(Math.abs(value) < 99.95 ? 1 : 0);

/** With two digits that say something. */
function significant(value: number): string {
  const size = Math.abs(value);
  return value.toFixed(size >= 10 ? 0 : size >= 1 ? 1 : size >= 0.1 ? 2 : 3);
}
