import type { MessageInitShape } from '@bufbuild/protobuf';
import { type Timestamp, timestampFromDate, timestampMs } from '@bufbuild/protobuf/wkt';
import {
  type AggregateSpanSchema,
  type LatestTelemetrySchema,
  Metric as MetricMessage,
  type MetricStatistic,
  type SiteTelemetrySchema,
  type StoredSampleSchema,
  type TelemetryFilter as TelemetryFilterMessage,
  type TelemetrySpanSchema,
} from '#gen/viworks/control/v1/telemetry_pb.js';
import { defined } from '../../lib/defined.ts';
import { readStoredSample } from '../../protocol/stored-sample.ts';
import type { StoredSample } from '../../storage/sample-rows.ts';
import type { AggregateFilter, AggregateRow, SiteRow } from '../../storage/telemetry-aggregates.ts';
import type { TelemetryMetric } from '../../storage/telemetry-metrics.ts';
import type { Span, Statistics } from '../../telemetry/parts.ts';
import { type Resolution, resolutions } from '../../telemetry/resolution.ts';
import { invalidRequest } from '../schemas/problems.ts';
import { valuesOf } from '../schemas/samples.ts';
import { momentsOf, telemetryFilterSchema } from '../schemas/telemetry.ts';
import type { LatestOfAgent } from '../telemetry-service.ts';
import { agentMessage, statusOf, unlessEmpty } from './convert.ts';
import { inverse } from './enums.ts';
import { withFieldsNamed } from './submit.ts';

/** Between telemetry of the core and the messages of viworks.control.v1. */

const metricMessage: Record<TelemetryMetric, MetricMessage> = {
  cpu: MetricMessage.CPU,
  memory: MetricMessage.MEMORY,
  swap: MetricMessage.SWAP,
  disk: MetricMessage.DISK,
  load: MetricMessage.LOAD,
  received: MetricMessage.RECEIVED,
  sent: MetricMessage.SENT,
};
export const metricOf = inverse(metricMessage);

export const resolutionOf = (seconds: number): Resolution | undefined =>
  resolutions.find((known) => known === seconds);

/** Milliseconds since 1970. */
export const rangeOf = (
  { from, to }: { from?: Timestamp | undefined; to?: Timestamp | undefined },
  now: number,
) => momentsOf({ from: from && timestampMs(from), to: to && timestampMs(to) }, now);

/** @throws invalid_request */
export function readFilter(filter: TelemetryFilterMessage | undefined): AggregateFilter {
  if (filter === undefined) return {};
  const { labels, statuses, agentIds } = filter;
  const parsed = telemetryFilterSchema.safeParse(
    defined({
      site: filter.site || undefined,
      sites: unlessEmpty(filter.sites),
      labels: Object.keys(labels).length === 0 ? undefined : labels,
      capabilities: unlessEmpty(filter.capabilities),
      os: unlessEmpty(filter.os),
      statuses: unlessEmpty(statuses.flatMap((status) => statusOf(status) ?? [])),
      agentIds: unlessEmpty(agentIds),
    }),
  );
  if (parsed.success) return parsed.data;
  throw withFieldsNamed(
    invalidRequest(parsed.error),
    (field) => `filter.${field.replace('agentIds', 'agent_ids')}`,
  );
}

export function sampleMessage(stored: StoredSample): MessageInitShape<typeof StoredSampleSchema> {
  const { at, receivedAt, late, skewed, bootId, sample } = stored;
  return {
    at: timestampFromDate(at),
    receivedAt: timestampFromDate(receivedAt),
    late,
    skewed,
    bootId: new Uint8Array(bootId),
    values: defined(valuesOf(stored)),
    sample: readStoredSample(sample),
  };
}

export function latestMessage({
  agent,
  sample,
}: LatestOfAgent): MessageInitShape<typeof LatestTelemetrySchema> {
  const { agentId, site, status, lastSeenAt } = agentMessage(agent);
  return defined({
    agentId,
    site,
    status,
    lastSeenAt,
    sample: sample && sampleMessage(sample),
  });
}

type StatisticsMessage = Record<string, Omit<MetricStatistic, '$typeName' | '$unknown'>>;

const statisticsMessage = (metrics: Statistics): StatisticsMessage =>
  Object.fromEntries(
    Object.entries(metrics).flatMap(([name, value]) =>
      value == null ? [] : [[name, { ...value, count: BigInt(value.count) }]],
    ),
  );

export const spanMessage = ({
  at,
  samples,
  metrics,
}: Span): MessageInitShape<typeof TelemetrySpanSchema> => ({
  at: timestampFromDate(at),
  samples: BigInt(samples),
  metrics: statisticsMessage(metrics),
});

export const aggregateMessage = ({
  at,
  samples,
  ...rest
}: AggregateRow): MessageInitShape<typeof AggregateSpanSchema> => ({
  ...rest,
  at: timestampFromDate(at),
  samples: BigInt(samples),
});

export const siteMessage = ({
  samples,
  metrics,
  ...rest
}: SiteRow): MessageInitShape<typeof SiteTelemetrySchema> => ({
  ...rest,
  samples: BigInt(samples),
  metrics: statisticsMessage(metrics),
});
