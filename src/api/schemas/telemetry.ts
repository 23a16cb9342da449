import { z } from 'zod';
import type { AggregateRow, SiteRow } from '../../storage/telemetry-aggregates.ts';
import { telemetryMetrics } from '../../storage/telemetry-metrics.ts';
import type { Span, Statistics } from '../../telemetry/parts.ts';
import { resolutions } from '../../telemetry/resolution.ts';
import type { LatestOfAgent } from '../telemetry-service.ts';
import { agentFilterSchema, agentStatusSchema } from './agents.ts';
import {
  agentIdSchema,
  anyOf,
  countSchema,
  labelsSchema,
  nextPageToken,
  optionalTimeView,
  pageInput,
  siteSchema,
  timeSchema,
  timeView,
} from './common.ts';
import { sampleSchema, sampleView } from './samples.ts';

/** What agents measure: the newest samples, samples as they came, and what was made of them. */

const number = z.number();

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

/** Spans of one answer: by default all that there are where nobody asks for a resolution. */
export const mostSpans = 1440;
const spanPageInput = { ...pageInput, pageSize: z.int().min(1).max(mostSpans).default(mostSpans) };

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
  ...spanPageInput,
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

/** Values of one part of a filter. */
const few = 100;

/** Every part that is set must match; of several values any, of capabilities and labels all. */
export const telemetryFilterSchema = z.strictObject({
  site: siteSchema.optional(),
  sites: anyOf(siteSchema, few),
  labels: labelsSchema.optional(),
  capabilities: anyOf(z.string().min(1).max(64), few),
  os: anyOf(z.string().min(1).max(64), few),
  /** As the agents are now. */
  statuses: anyOf(agentStatusSchema, few),
  agentIds: anyOf(agentIdSchema),
});

export const aggregateInput = z.strictObject({
  metric: metricSchema,
  /** Absent: all agents. */
  filter: telemetryFilterSchema.default({}),
  /** Seconds of a span. Absent: the finest with at most 1440 spans. */
  resolution: resolutionSchema.optional(),
  ...rangeInput,
  ...spanPageInput,
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
    metrics: anyOf(metricSchema, few),
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
