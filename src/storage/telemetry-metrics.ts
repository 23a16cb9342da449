/**
 * What has a column of its own in samples and roll-ups, so that history and aggregates need not read whole samples.
 *
 * | metric | is |
 * |---|---|
 * | cpu, memory, swap | percent in use |
 * | disk | percent in use of the fullest file system |
 * | load | load average of one minute |
 * | received, sent | bytes a second over all interfaces |
 */
export const telemetryMetrics = ['cpu', 'memory', 'swap', 'disk', 'load', 'received', 'sent'] as const;

export type TelemetryMetric = (typeof telemetryMetrics)[number];

/** Null where it was not measured. */
export type MetricValues = Record<TelemetryMetric, number | null>;
