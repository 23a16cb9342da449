import type { Sample } from '#gen/viworks/agent/v1/telemetry_pb.js';
import { metricOf } from '../alerts/metrics.ts';
import { disksThatFill, freeBytesOf, percentOfDisk } from '../protocol/disks.ts';
import { readStoredSample } from '../protocol/stored-sample.ts';
import type { StoredSample } from '../storage/sample-rows.ts';
import { telemetryMetrics } from '../storage/telemetry-metrics.ts';
import type { Figures } from './types.ts';

/** What a sample says, for people. */

/** Disks of one agent that are shown; of more, the fullest. */
export const mostDisks = 16;

export const sampleOf = ({ sample }: Pick<StoredSample, 'sample'>): Sample => readStoredSample(sample);

/** When what it says was so, milliseconds since 1970. One that did not wait is of when it came, whatever its clock says. */
export function measuredAt(row: StoredSample): number {
  // That it came late may be because of the agent's clock; only the agent knows that it waited.
  const waited = row.late && sampleOf(row).late;
  return (waited ? row.at : row.receivedAt).getTime();
}

/** @param current it is recent enough to say how things are now */
export function figuresOf(row: StoredSample, sample: Sample, current: boolean): Figures {
  const count = (metric: string) => {
    const readings = (metricOf(metric)?.read?.(sample) ?? []).filter(({ value }) => value !== undefined);
    return { total: readings.length, is: readings.filter(({ value }) => value === 1).length };
  };
  const unhealthy = count('container.unhealthy');
  const down = count('service.down');
  return {
    asOf: new Date(measuredAt(row)),
    current,
    metrics: Object.fromEntries(
      telemetryMetrics.flatMap((metric) => (row[metric] === null ? [] : [[metric, row[metric]]])),
    ),
    disks: percentages(sample),
    containers: { total: unhealthy.total, unhealthy: unhealthy.is, stopped: count('container.stopped').is },
    services: { total: down.total, down: down.is },
    uptimeSeconds: sample.uptime === undefined ? undefined : Number(sample.uptime.seconds),
    unread: [...sample.unread],
  };
}

/** The fullest first. */
export function percentages({ disks }: Pick<Sample, 'disks'>): Figures['disks'] {
  return disksThatFill(disks)
    .flatMap((disk) => {
      const percent = percentOfDisk(disk);
      return percent === undefined ? [] : [{ mount: disk.mount, percent, freeBytes: freeBytesOf(disk) }];
    })
    .sort((a, b) => b.percent - a.percent)
    .slice(0, mostDisks);
}

/** What the metric of an alert is now; undefined where the sample does not say. */
export function readingOf(sample: Sample, metric: string, subject: string): number | undefined {
  return metricOf(metric)
    ?.read?.(sample)
    ?.find((reading) => reading.subject === subject)?.value;
}
