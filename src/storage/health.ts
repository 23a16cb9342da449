import { type Database, lookup, statement } from './database.ts';
import { type TelemetryMetric, telemetryMetrics } from './telemetry-metrics.ts';
import { quartersTable } from './telemetry-partitions.ts';
import { spansIn } from './telemetry-spans.ts';

/** What health reports and trends read: always of many agents, or of many hours, in one statement. */

type Query = Database['query'];

export interface HealthAgentRow {
  agentId: string;
  site: string;
  presence: 'online' | 'degraded' | 'offline';
  maintenance: boolean;
  statusReason: string | null;
  /** Two copies of it were seen. */
  held: { at: string; reason: string } | null;
  revoked: { at: string; reason: string } | null;
  connectedAt: Date | null;
  lastSeenAt: Date | null;
}

const agentColumns = `agent_id as "agentId", site, presence, maintenance, status_reason as "statusReason", held, revoked,
  connected_at as "connectedAt", last_seen_at as "lastSeenAt"`;
const fleet = statement(
  'health_agents',
  `select ${agentColumns} from agents
   where revoked is null and ($1::text is null or site = $1) and ($2::text[] is null or site = any($2))
   order by agent_id`,
);
const one = statement('health_agent', `select ${agentColumns} from agents where agent_id = $1`);

export interface FleetFilter {
  site?: string | undefined;
  /** Any of these. */
  sites?: readonly string[] | undefined;
}

/** Those that are not revoked, by id. */
export const healthAgents = (query: Query, { site, sites }: FleetFilter) =>
  query<HealthAgentRow>(fleet, [site, sites]);

export async function healthAgent(query: Query, agentId: string): Promise<HealthAgentRow | undefined> {
  const [row] = await query<HealthAgentRow>(one, [agentId]);
  return row;
}

/** An alert that fires, with how many of its agent do. */
export interface HealthAlertRow {
  agentId: string;
  rule: string;
  subject: string;
  severity: 'critical' | 'warning' | 'info';
  metric: string;
  comparison: 'above' | 'below';
  threshold: number;
  value: number | null;
  state: 'firing' | 'acknowledged' | 'silenced';
  since: Date;
  /** Of its agent: those that are not silenced, by severity, and those that are. */
  critical: number;
  warning: number;
  info: number;
  silenced: number;
}

const heard = (severity: string): string =>
  `count(*) filter (where severity = '${severity}' and state <> 'silenced') over (partition by agent_id)::int as ${severity}`;
/** A silenced one is known of, so that it counts as less than critical. */
const weight = `case when severity = 'info' then 0 when severity = 'warning' or state = 'silenced' then 1 else 2 end`;
const ranked = (chosen: string): string => `
  select "agentId", rule, subject, severity, metric, comparison, threshold, value, state, since, critical, warning, info,
    silenced
  from (
    select agent_id as "agentId", rule, subject, severity, metric, comparison, threshold, value, state,
      coalesce(fired_at, pending_since) as since, ${heard('critical')}, ${heard('warning')}, ${heard('info')},
      count(*) filter (where state = 'silenced') over (partition by agent_id)::int as silenced,
      row_number() over (partition by agent_id order by ${weight} desc, coalesce(fired_at, pending_since), alert_id) as place
    from alerts where state <> 'resolved' and state <> 'pending' and ${chosen}
  ) placed where place <=`;

const worstOfFleet = statement(
  'health_alerts_fleet',
  `${ranked(`agent_id in (
     select agent_id from agents
     where revoked is null and ($1::text is null or site = $1) and ($2::text[] is null or site = any($2)))`)} 1`,
);
const worstOfAgent = statement('health_alerts_agent', `${ranked('agent_id = $1')} $2 order by place`);

/** Of each agent that has any, the worst. */
export const worstAlerts = (query: Query, { site, sites }: FleetFilter) =>
  query<HealthAlertRow>(worstOfFleet, [site, sites]);

/** The worst of one agent, the worst first. */
export const alertsOfAgent = (query: Query, agentId: string, limit: number) =>
  query<HealthAlertRow>(worstOfAgent, [agentId, limit]);

const hourly = lookup(
  'health_sample_each',
  `select s.at, s.sample from unnest($2::timestamptz[]) as span(begins)
   cross join lateral (
     select at, sample from telemetry_samples
     where agent_id = $1 and at >= span.begins and at < span.begins + $3::int8 * interval '1 second'
     order by at limit 1
   ) s order by s.at`,
);

/** The first sample of each of these spans that has any, oldest first. @param seconds of a span */
export const sampleOfEach = (query: Query, agentId: string, spans: readonly Date[], seconds: number) =>
  query<{ at: Date; sample: Uint8Array }>(hourly, [agentId, spans, seconds]);

type Averages = Record<TelemetryMetric, number | null>;

const averages = telemetryMetrics.map((name) => `avg(${name}) as ${name}`).join(', ');
const lately = statement(
  'health_lately',
  `select ${averages} from telemetry_samples where agent_id = $1 and at >= $2 and at < $3`,
);

/** What an agent measured between two times, on average; null where it did not. */
export async function averageBetween(
  query: Query,
  agentId: string,
  from: Date,
  to: Date,
): Promise<Averages | undefined> {
  const [row] = await query<Averages>(lately, [agentId, from, to]);
  return row;
}

const past = telemetryMetrics.map((name) => `${name}_sum / nullif(${name}_count, 0) as ${name}`).join(', ');
const quarters = lookup(
  'health_quarters',
  `select at, ${past} from ${spansIn(quartersTable.name)} q where agent_id = $1 and at = any($2::timestamptz[]) order by at`,
);

/** Quarters of an hour, by where they begin. */
export const quartersAt = (query: Query, agentId: string, begins: readonly Date[]) =>
  query<Averages & { at: Date }>(quarters, [agentId, begins]);
