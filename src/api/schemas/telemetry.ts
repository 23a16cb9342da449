import { fromBinary } from '@bufbuild/protobuf';
import { durationMs, timestampDate } from '@bufbuild/protobuf/wkt';
import { z } from 'zod';
import { type Sample, SampleSchema } from '#gen/viworks/agent/v1/telemetry_pb.js';
import type { AggregateRow, SiteRow } from '../../storage/telemetry-aggregates.ts';
import { telemetryMetrics } from '../../storage/telemetry-metrics.ts';
import type { StoredSample } from '../../storage/telemetry-samples.ts';
import type { Span, Statistics } from '../../telemetry/parts.ts';
import { resolutions } from '../../telemetry/resolution.ts';
import type { LatestOfAgent } from '../telemetry-service.ts';
import { agentFilterSchema, agentStatusSchema } from './agents.ts';
import {
  agentIdSchema,
  countSchema,
  labelsSchema,
  nextPageToken,
  optionalTimeView,
  pageInput,
  siteSchema,
  timeSchema,
  timeView,
} from './common.ts';

/** What agents measure: the newest samples, samples as they came, and what was made of them. */

const number = z.number();
const optionalNumber = number.optional();
/** Bytes and other counts of the machine, which may be larger than whole numbers are exact. */
const amount = z.number().nonnegative();

const sampleSchema = z.strictObject({
  /** Where it stands in history: the agent's time, or the server's where that was not believed. */
  at: timeSchema,
  receivedAt: timeSchema,
  /** The agent's clock. */
  takenAt: timeSchema.optional(),
  /** Counts the samples of one boot of the agent. */
  number: countSchema,
  /** The boot of the agent, in hex. */
  bootId: z.string(),
  /** It waited before it was sent, or came long after it was taken. */
  late: z.boolean(),
  /** The agent's clock was too far off to be believed. */
  skewed: z.boolean(),
  /** Samples that this boot of the agent had lost when it took this one. */
  dropped: amount,
  /** Parts that could not be read: what the sample says of them, or does not, means nothing. */
  unread: z.array(z.string()),
  /** What has a column, as series and aggregates know it; absent where it was not measured. */
  values: z.strictObject(
    Object.fromEntries(telemetryMetrics.map((name) => [name, optionalNumber])) as Record<
      (typeof telemetryMetrics)[number],
      typeof optionalNumber
    >,
  ),
  uptimeMs: amount.optional(),
  cpu: z
    .strictObject({
      usedPercent: number,
      cores: countSchema,
      load1m: number,
      load5m: number,
      load15m: number,
    })
    .optional(),
  memory: z
    .strictObject({ totalBytes: amount, usedBytes: amount, swapTotalBytes: amount, swapUsedBytes: amount })
    .optional(),
  disks: z.array(
    z.strictObject({
      mount: z.string(),
      fileSystem: z.string(),
      /** As the kernel names it; empty where there is none. */
      device: z.string(),
      totalBytes: amount,
      usedBytes: amount,
      /** What is left for those who are not root. */
      availableBytes: amount.optional(),
      inodesTotal: amount.optional(),
      inodesUsed: amount.optional(),
      readBytesPerSecond: optionalNumber,
      writtenBytesPerSecond: optionalNumber,
      readsPerSecond: optionalNumber,
      writesPerSecond: optionalNumber,
      busyPercent: optionalNumber,
    }),
  ),
  networks: z.array(
    z.strictObject({
      interface: z.string(),
      /** Since the machine started. */
      receivedBytes: amount,
      sentBytes: amount,
      /** Absent in the first sample, and where a counter began anew. */
      receivedBytesPerSecond: optionalNumber,
      sentBytesPerSecond: optionalNumber,
      errors: amount,
      drops: amount,
    }),
  ),
  containers: z.array(
    z.strictObject({
      id: z.string(),
      name: z.string(),
      image: z.string(),
      state: z.string(),
      /** Empty where the container has no check. */
      health: z.string(),
    }),
  ),
  services: z.array(
    z.strictObject({ name: z.string(), state: z.string(), subState: z.string(), restarts: countSchema }),
  ),
  /** Custom metrics by name. */
  metrics: z.record(z.string(), number),
});
export type SampleView = z.output<typeof sampleSchema>;

const numberOf = (value: bigint | undefined): number | undefined =>
  value === undefined ? undefined : Number(value);

export function sampleView(stored: StoredSample): SampleView {
  const sample = fromBinary(SampleSchema, stored.sample);
  const { takenAt, uptime, cpu, memory } = sample;
  return {
    at: timeView(stored.at),
    receivedAt: timeView(stored.receivedAt),
    takenAt: takenAt && timeOrNone(takenAt),
    number: stored.number,
    bootId: Buffer.from(stored.bootId).toString('hex'),
    late: stored.late,
    skewed: stored.skewed,
    dropped: Number(sample.dropped),
    unread: sample.unread,
    values: valuesOf(stored),
    uptimeMs: uptime && Math.max(0, durationMs(uptime)),
    cpu: cpu && {
      usedPercent: cpu.usedPercent,
      cores: cpu.cores,
      load1m: cpu.load1m,
      load5m: cpu.load5m,
      load15m: cpu.load15m,
    },
    memory: memory && {
      totalBytes: Number(memory.totalBytes),
      usedBytes: Number(memory.usedBytes),
      swapTotalBytes: Number(memory.swapTotalBytes),
      swapUsedBytes: Number(memory.swapUsedBytes),
    },
    ...partsView(sample),
    metrics: { ...sample.metrics },
  };
}

/** A clock that is wrong may say a time that there is none of. */
function timeOrNone(takenAt: NonNullable<Sample['takenAt']>): string | undefined {
  const date = timestampDate(takenAt);
  return Number.isNaN(date.getTime()) || date.getTime() < 0 ? undefined : timeView(date);
}

export const valuesOf = (stored: StoredSample): SampleView['values'] =>
  Object.fromEntries(
    telemetryMetrics.map((name) => [name, stored[name] ?? undefined]),
  ) as SampleView['values'];

const partsView = (sample: Sample): Pick<SampleView, 'disks' | 'networks' | 'containers' | 'services'> => ({
  disks: sample.disks.map((disk) => ({
    mount: disk.mount,
    fileSystem: disk.fileSystem,
    device: disk.device,
    totalBytes: Number(disk.totalBytes),
    usedBytes: Number(disk.usedBytes),
    availableBytes: numberOf(disk.availableBytes),
    inodesTotal: numberOf(disk.inodesTotal),
    inodesUsed: numberOf(disk.inodesUsed),
    readBytesPerSecond: disk.readBytesPerSecond,
    writtenBytesPerSecond: disk.writtenBytesPerSecond,
    readsPerSecond: disk.readsPerSecond,
    writesPerSecond: disk.writesPerSecond,
    busyPercent: disk.busyPercent,
  })),
  networks: sample.networks.map((network) => ({
    interface: network.interface,
    receivedBytes: Number(network.receivedBytes),
    sentBytes: Number(network.sentBytes),
    receivedBytesPerSecond: network.receivedBytesPerSecond,
    sentBytesPerSecond: network.sentBytesPerSecond,
    errors: Number(network.errors),
    drops: Number(network.drops),
  })),
  containers: sample.containers.map(({ id, name, image, state, health }) => ({
    id,
    name,
    image,
    state,
    health,
  })),
  services: sample.services.map(({ name, state, subState, restarts }) => ({
    name,
    state,
    subState,
    restarts,
  })),
});

export const latestInput = z
  .strictObject({
    /** Only this agent; then without a filter. */
    agentId: agentIdSchema.optional(),
    /** As of agents.list; absent: all agents. */
    filter: agentFilterSchema.optional(),
    ...pageInput,
  })
  .refine(({ agentId, filter }) => agentId === undefined || filter === undefined, {
    path: ['filter'],
    error: 'must be absent where an agent is named',
  })
  .prefault({});

export const latestOutput = z.strictObject({
  /** By id. */
  agents: z.array(
    z.strictObject({
      agentId: z.string(),
      site: z.string(),
      status: agentStatusSchema,
      lastSeenAt: timeSchema.optional(),
      /** Absent where it never sent one, or none that is still kept. */
      sample: sampleSchema.optional(),
    }),
  ),
  nextPageToken,
});
export type LatestView = z.output<typeof latestOutput>['agents'][number];

export const latestView = ({ agent, sample }: LatestOfAgent): LatestView => ({
  agentId: agent.agentId,
  site: agent.site,
  status: agent.status,
  lastSeenAt: optionalTimeView(agent.lastSeenAt),
  sample: sample && sampleView(sample),
});

const momentSchema = timeSchema.transform((text) => Date.parse(text));
const rangeInput = {
  /** From then on. Absent: an hour before `to`. */
  from: momentSchema.optional(),
  /** And before then. Absent: now. */
  to: momentSchema.optional(),
};
const hourMs = 3_600_000;

/** Milliseconds since 1970. Without both ends it is the last hour. */
export function momentsOf(
  range: { from?: number | undefined; to?: number | undefined },
  now: number,
): { from: number; to: number } {
  const to = range.to ?? now;
  return { from: range.from ?? Math.max(0, to - hourMs), to };
}

export const samplesInput = z.strictObject({ agentId: agentIdSchema, ...rangeInput, ...pageInput });
export const samplesOutput = z.strictObject({
  /** Oldest first. Large samples make a page shorter. */
  samples: z.array(sampleSchema),
  nextPageToken,
});

const resolutionSchema = z.literal(resolutions, {
  error: `must be one of ${resolutions.join(', ')} seconds`,
});
const metricSchema = z.enum(telemetryMetrics, { error: `must be one of ${telemetryMetrics.join(', ')}` });
/** The core says what is wrong with a name. */
const seriesMetricSchema = z.string().max(1100);

export const seriesInput = z.strictObject({
  agentId: agentIdSchema,
  /**
   * Of cpu, memory, swap, disk, load, received and sent, or of parts: `disk:MOUNT`, `received:INTERFACE`,
   * `sent:INTERFACE`, `metrics.NAME`. Absent: those seven.
   */
  metrics: z
    .array(seriesMetricSchema)
    .min(1, { error: 'must have at least one metric' })
    .max(20, { error: 'must have at most 20 metrics' })
    .optional(),
  /** Seconds of a span. Absent: the finest with at most 1440 spans. */
  resolution: resolutionSchema.optional(),
  ...rangeInput,
  ...pageInput,
});

const statisticSchema = z.strictObject({
  /** Samples that have it. */
  count: countSchema,
  average: number,
  min: number,
  max: number,
  /** 95 of 100 are at most this. */
  p95: number,
});
/** Null where nothing was measured. */
const statisticsSchema = z.record(z.string(), statisticSchema.nullable());

export const seriesOutput = z.strictObject({
  /** Seconds of a span. */
  resolution: resolutionSchema,
  /** Those with samples, oldest first; `at` is where one begins. */
  spans: z.array(z.strictObject({ at: timeSchema, samples: countSchema, metrics: statisticsSchema })),
  nextPageToken,
});
export type SpanView = z.output<typeof seriesOutput>['spans'][number];
export type StatisticView = z.output<typeof statisticSchema>;

const statisticsView = (metrics: Statistics): SpanView['metrics'] =>
  Object.fromEntries(Object.entries(metrics).map(([name, value]) => [name, value ?? null]));

export const spanView = ({ at, samples, metrics }: Span): SpanView => ({
  at: timeView(at),
  samples,
  metrics: statisticsView(metrics),
});

const anyOf = <T extends z.ZodType>(item: T, most = 100) =>
  z.array(item).min(1, { error: 'must have at least one value' }).max(most).optional();

/** Every part that is set must match; of several values any, of capabilities and labels all. */
export const telemetryFilterSchema = z.strictObject({
  site: siteSchema.optional(),
  sites: anyOf(siteSchema),
  labels: labelsSchema.optional(),
  capabilities: anyOf(z.string().min(1).max(64)),
  os: anyOf(z.string().min(1).max(64)),
  /** As the agents are now. */
  statuses: anyOf(agentStatusSchema),
  agentIds: anyOf(agentIdSchema, 10_000),
});

export const aggregateInput = z.strictObject({
  metric: metricSchema,
  /** Absent: all agents. */
  filter: telemetryFilterSchema.default({}),
  /** Seconds of a span. Absent: the finest with at most 1440 spans. */
  resolution: resolutionSchema.optional(),
  ...rangeInput,
  ...pageInput,
});

export const aggregateOutput = z.strictObject({
  /** Seconds of a span. */
  resolution: resolutionSchema,
  /** Those in which an agent measured it, oldest first. */
  spans: z.array(
    z.strictObject({
      at: timeSchema,
      /** That measured it in this span. */
      agents: countSchema,
      samples: countSchema,
      /** Over all samples. */
      average: number,
      min: number,
      max: number,
      /** 95 of 100 agents had an average of at most this. */
      p95: number,
    }),
  ),
  nextPageToken,
});
export type AggregateView = z.output<typeof aggregateOutput>['spans'][number];

export const aggregateView = ({ at, ...rest }: AggregateRow): AggregateView => ({
  at: timeView(at),
  ...rest,
});

export const sitesInput = z
  .strictObject({
    /** Absent: cpu, memory and disk. */
    metrics: anyOf(metricSchema),
    /** Absent: all agents. */
    filter: telemetryFilterSchema.default({}),
    ...rangeInput,
    ...pageInput,
  })
  .prefault({});
export const defaultSiteMetrics = ['cpu', 'memory', 'disk'] as const;

export const sitesOutput = z.strictObject({
  /** By name. */
  sites: z.array(
    z.strictObject({
      site: z.string(),
      /** All that belong to it. */
      agents: countSchema,
      /** That measured anything. */
      reporting: countSchema,
      samples: countSchema,
      /** Over the whole range; of `p95`, 95 of 100 agents had an average of at most that. */
      metrics: statisticsSchema,
    }),
  ),
  nextPageToken,
});
export type SiteView = z.output<typeof sitesOutput>['sites'][number];

export const siteView = ({ metrics, ...rest }: SiteRow): SiteView => ({
  ...rest,
  metrics: statisticsView(metrics),
});
