import { z } from 'zod';
import { alertStates, comparisons, severities } from '../../alerts/types.ts';
import {
  type AgentHealth,
  directions,
  type FleetHealth,
  longestTrendDays,
  type Reason,
  reasonKinds,
  type TrendReport,
  verdicts,
} from '../../health/types.ts';
import { telemetryMetrics } from '../../storage/telemetry-metrics.ts';
import { agentIdSchema, countSchema, optionalTimeView, siteSchema, timeSchema, timeView } from './common.ts';

/** How agents are, and where they go. */

const verdictSchema = z.enum(verdicts);
const metricSchema = z.enum(telemetryMetrics);
const verdictCounts = z.record(verdictSchema, countSchema);
const alertCounts = z.strictObject({
  critical: countSchema,
  warning: countSchema,
  info: countSchema,
  silenced: countSchema,
});

const reasonSchema = z.strictObject({
  kind: z.enum(reasonKinds),
  /** What it makes of the agent alone. */
  verdict: verdictSchema,
  /** For a person, without the time. */
  text: z.string(),
  since: timeSchema.optional(),
  /** Of an alert. */
  rule: z.string().optional(),
  severity: z.enum(severities).optional(),
  state: z.enum(alertStates).optional(),
  metric: z.string().optional(),
  /** A mount, container or service; empty for the machine itself. */
  subject: z.string().optional(),
  comparison: z.enum(comparisons).optional(),
  /** What is so, and where it begins to be wrong: of an alert in the unit of its metric, otherwise in seconds. */
  value: z.number().optional(),
  threshold: z.number().optional(),
});
const reasonView = ({ since, ...rest }: Reason) => ({ ...rest, since: optionalTimeView(since) });

const figuresSchema = z.strictObject({
  asOf: timeSchema,
  /** They are recent enough to say how things are now. */
  current: z.boolean(),
  /** Those that were measured: percent, load, bytes a second. */
  metrics: z.partialRecord(metricSchema, z.number()),
  /** The fullest first. */
  disks: z.array(z.strictObject({ mount: z.string(), percent: z.number(), freeBytes: z.number() })),
  containers: z.strictObject({ total: countSchema, unhealthy: countSchema, stopped: countSchema }),
  services: z.strictObject({ total: countSchema, down: countSchema }),
  uptimeSeconds: z.number().optional(),
  /** Parts that the agent could not read. */
  unread: z.array(z.string()),
});

const anomaliesSchema = z.strictObject({
  /** As the configuration of the server says. */
  enabled: z.boolean(),
  /** Days of the past with measurements at this hour, and how many are needed. */
  days: countSchema,
  neededDays: countSchema,
  found: z.array(
    z.strictObject({
      metric: metricSchema,
      /** Average of the last quarter of an hour. */
      value: z.number(),
      /** At this hour on the days before: in the middle, and where eight of ten quarters of an hour were. */
      median: z.number(),
      usualLow: z.number(),
      usualHigh: z.number(),
      /** How far off it is, in units of how far off it usually is. */
      score: z.number(),
      text: z.string(),
    }),
  ),
  text: z.string(),
});

const agentHealthSchema = z.strictObject({
  agentId: z.string(),
  site: z.string(),
  at: timeSchema,
  verdict: verdictSchema,
  /** The worst first; of very many the worst. */
  reasons: z.array(reasonSchema),
  /** Those that fire; those that are silenced are counted apart. */
  alerts: alertCounts,
  /** Absent where it measured nothing that is kept. */
  figures: figuresSchema.optional(),
  anomalies: anomaliesSchema,
});
export type AgentHealthView = z.output<typeof agentHealthSchema>;

export const agentHealthView = ({ at, reasons, figures, ...rest }: AgentHealth): AgentHealthView => ({
  ...rest,
  at: timeView(at),
  reasons: reasons.map(reasonView),
  figures: figures && { ...figures, asOf: timeView(figures.asOf) },
});

const fleetHealthSchema = z.strictObject({
  /** Absent: all agents that the caller may see. */
  site: z.string().optional(),
  at: timeSchema,
  verdict: verdictSchema,
  /** Why, for a person. */
  text: z.string(),
  agents: verdictCounts,
  /** At most 20 of those that are not healthy. */
  worst: z.array(
    z.strictObject({
      agentId: z.string(),
      site: z.string(),
      verdict: verdictSchema,
      /** The worst one. */
      reason: reasonSchema,
    }),
  ),
  /** Of what agents measure now. */
  metrics: z.array(
    z.strictObject({
      metric: metricSchema,
      agents: countSchema,
      average: z.number(),
      /** 95 of 100 agents have at most this. */
      p95: z.number(),
      max: z.number(),
      maxAgentId: z.string(),
    }),
  ),
  alerts: alertCounts,
  /** The worst first, at most 50; none where it is about a site. */
  sites: z.array(z.strictObject({ site: z.string(), verdict: verdictSchema, agents: verdictCounts })),
  /** Of how many sites those are the worst. */
  siteCount: countSchema,
});
export type FleetHealthView = z.output<typeof fleetHealthSchema>;

export const fleetHealthView = ({ at, worst, ...rest }: FleetHealth): FleetHealthView => ({
  ...rest,
  at: timeView(at),
  worst: worst.map(({ reason, ...agent }) => ({ ...agent, reason: reasonView(reason) })),
});

export const healthReportInput = z.union(
  [
    z.strictObject({ agentId: agentIdSchema }),
    z.strictObject({ site: siteSchema }),
    z.strictObject({ all: z.literal(true) }),
  ],
  { error: 'must be {agentId: …}, {site: …} or {all: true}' },
);
/** One of them. */
export const healthReportOutput = z.strictObject({
  agent: agentHealthSchema.optional(),
  fleet: fleetHealthSchema.optional(),
  /** The same for a person, in lines. */
  text: z.string(),
});

export const trendsInput = z.strictObject({
  agentId: agentIdSchema,
  /** Days of the past. */
  days: z.number().positive().max(longestTrendDays).default(7),
});
export const trendsOutput = z.strictObject({
  agentId: z.string(),
  from: timeSchema,
  to: timeSchema,
  /** Disks first, the fullest first; then the machine. */
  trends: z.array(
    z.strictObject({
      metric: metricSchema,
      /** A mount; empty for the machine itself. */
      subject: z.string(),
      /** Absent where there are too few points to draw one. */
      line: z
        .strictObject({
          from: timeSchema,
          to: timeSchema,
          points: countSchema,
          /** The newest point, in the unit of the metric. */
          last: z.number(),
          slopePerDay: z.number(),
          /** 95 of 100 times the true slope lies between these. */
          slopeLow: z.number(),
          slopeHigh: z.number(),
          /** Which part of the change the line explains, 0 to 1. */
          explained: z.number(),
        })
        .optional(),
      direction: z.enum(directions),
      /** When the disk will be full; only of one that rises for certain. */
      full: z
        .strictObject({
          at: timeSchema,
          earliest: timeSchema,
          /** Absent where it lies more than a year ahead. */
          latest: timeSchema.optional(),
        })
        .optional(),
      text: z.string(),
    }),
  ),
  /** The same for a person, in lines. */
  text: z.string(),
});
export type TrendsView = Omit<z.output<typeof trendsOutput>, 'text'>;

export const trendsView = ({ agentId, from, to, trends }: TrendReport): TrendsView => ({
  agentId,
  from: timeView(from),
  to: timeView(to),
  trends: trends.map(({ line, full, ...rest }) => ({
    ...rest,
    line: line && { ...line, from: timeView(line.from), to: timeView(line.to) },
    full: full && {
      at: timeView(full.at),
      earliest: timeView(full.earliest),
      latest: optionalTimeView(full.latest),
    },
  })),
});
