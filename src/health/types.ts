import type { AlertState, Comparison, Severity } from '../alerts/types.ts';
import type { TelemetryMetric } from '../storage/telemetry-metrics.ts';

/** What is known of how machines are, and what it makes of them. These are the shapes that the API shows. */

/** Days of the past that a trend can look at. */
export const longestTrendDays = 30;

/** From the best to the worst. */
export const verdicts = ['healthy', 'degraded', 'unknown', 'unhealthy'] as const;
export type Verdict = (typeof verdicts)[number];

export const reasonKinds = [
  'offline',
  'never_connected',
  'held',
  'revoked',
  'heartbeat_missed',
  'no_telemetry',
  'maintenance',
  'alert',
] as const;
export type ReasonKind = (typeof reasonKinds)[number];

/** Why an agent is not simply healthy. */
export interface Reason {
  kind: ReasonKind;
  /** What it makes of the agent alone. */
  verdict: Verdict;
  /** For a person, without the time. */
  text: string;
  since: Date | undefined;
  /** Of an alert. */
  rule?: string | undefined;
  severity?: Severity | undefined;
  state?: AlertState | undefined;
  metric?: string | undefined;
  /** A mount, container or service; empty for the machine itself. */
  subject?: string | undefined;
  comparison?: Comparison | undefined;
  /** What is so, and where it begins to be wrong: of an alert in the unit of its metric, otherwise in seconds. */
  value?: number | undefined;
  threshold?: number | undefined;
}

/** What an agent measured last. */
export interface Figures {
  /** When it was so. */
  asOf: Date;
  /** It is recent enough to say how things are now. */
  current: boolean;
  /** Those that were measured, in their units. */
  metrics: Partial<Record<TelemetryMetric, number>>;
  /** The fullest first. */
  disks: { mount: string; percent: number; freeBytes: number }[];
  containers: { total: number; unhealthy: number; stopped: number };
  services: { total: number; down: number };
  uptimeSeconds: number | undefined;
  /** Parts that the agent could not read. */
  unread: string[];
}

/** Alerts that fire, by severity; those that are silenced are counted apart. */
export interface AlertCounts {
  critical: number;
  warning: number;
  info: number;
  silenced: number;
}

export interface AgentHealth {
  agentId: string;
  site: string;
  at: Date;
  verdict: Verdict;
  /** The worst first; of very many the worst. */
  reasons: Reason[];
  alerts: AlertCounts;
  /** Undefined where it never measured anything, or that is not kept any more. */
  figures: Figures | undefined;
  anomalies: AnomalyReport;
}

/** Whether the agent is as it used to be. It says something, and changes no verdict. */
export interface AnomalyReport {
  /** As the configuration says. */
  enabled: boolean;
  /** Days of the past that had measurements at this hour, and how many are needed. */
  days: number;
  neededDays: number;
  found: Anomaly[];
  /** For a person. */
  text: string;
}

export interface Anomaly {
  metric: TelemetryMetric;
  /** Average of the last quarter of an hour. */
  value: number;
  /** At this hour on the days before: in the middle, and where eight of ten quarters of an hour were. */
  median: number;
  usualLow: number;
  usualHigh: number;
  /** How far off it is, in units of how far off it usually is. */
  score: number;
  text: string;
}

export interface FleetHealth {
  /** Undefined: all that the caller may see. */
  site: string | undefined;
  at: Date;
  verdict: Verdict;
  /** Why, for a person. */
  text: string;
  agents: Record<Verdict, number>;
  /** The worst of those that are not healthy. */
  worst: { agentId: string; site: string; verdict: Verdict; reason: Reason }[];
  /** Of what agents measure now. */
  metrics: FleetMetric[];
  alerts: AlertCounts;
  /** The worst first, where it is about more than one. */
  sites: { site: string; verdict: Verdict; agents: Record<Verdict, number> }[];
  /** Of how many sites those are the worst. */
  siteCount: number;
}

export interface FleetMetric {
  metric: TelemetryMetric;
  /** That measure it now. */
  agents: number;
  average: number;
  /** 95 of 100 agents have at most this. */
  p95: number;
  max: number;
  /** Which one has the most. */
  maxAgentId: string;
}

export const directions = ['rising', 'falling', 'flat', 'unclear'] as const;
export type Direction = (typeof directions)[number];

/** Where something went, and where it goes if it goes on like that. */
export interface Trend {
  metric: TelemetryMetric;
  /** A mount; empty for the machine itself. */
  subject: string;
  /** Undefined where there are too few points to draw a line. */
  line: TrendLine | undefined;
  /** `rising` and `falling` only where the line is certain enough. */
  direction: Direction;
  /** When the disk will be full; only of a disk that rises for certain. */
  full: { at: Date; earliest: Date; latest: Date | undefined } | undefined;
  /** For a person. */
  text: string;
}

export interface TrendLine {
  from: Date;
  to: Date;
  points: number;
  /** The newest point, in the unit of the metric. */
  last: number;
  slopePerDay: number;
  /** 95 of 100 times the true slope lies between these. */
  slopeLow: number;
  slopeHigh: number;
  /** Which part of the change the line explains, 0 to 1. */
  explained: number;
}

export interface TrendReport {
  agentId: string;
  from: Date;
  to: Date;
  /** Disks first, then the machine. */
  trends: Trend[];
}

/** What the API calls. */
export interface HealthReports {
  /** @throws agent_unknown */
  agent(agentId: string): Promise<AgentHealth>;
  /** @param sites any of these; undefined for all */
  fleet(of: { site?: string | undefined; sites?: readonly string[] | undefined }): Promise<FleetHealth>;
  /** @param days of the past, more than 0 and at most `longestTrendDays` @throws agent_unknown, invalid_request */
  trends(agentId: string, days: number): Promise<TrendReport>;
}
