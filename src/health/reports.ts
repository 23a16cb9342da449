import { invalidField, ViworksError } from '../errors.ts';
import type { Clock } from '../lib/clock.ts';
import type { Database } from '../storage/database.ts';
import {
  alertsOfAgent,
  averageBetween,
  type FleetFilter,
  type HealthAgentRow,
  type HealthAlertRow,
  healthAgent,
  healthAgents,
  quartersAt,
  sampleOfEach,
  worstAlerts,
} from '../storage/health.ts';
import type { TelemetryMetric } from '../storage/telemetry-metrics.ts';
import type { TelemetryHistory } from '../telemetry/history.ts';
import type { LatestSamples } from '../telemetry/latest.ts';
import { judgeAnomalies, noAnomalies, quartersBefore } from './anomaly.ts';
import { type DisksAt, diskPoints } from './disk-points.ts';
import { figuresOf, measuredAt, readingOf, sampleOf } from './figures.ts';
import { reportOf } from './fleet.ts';
import { trendOf } from './trend.ts';
import {
  type AlertCounts,
  type AnomalyReport,
  type FleetHealth,
  type HealthReports,
  longestTrendDays,
} from './types.ts';
import { type Circumstances, judgeAgent } from './verdict.ts';

/** Reads what is known, and lets pure functions judge it. However many agents there are, it asks a few times. */
export interface HealthDeps {
  database: Pick<Database, 'query'>;
  clock: Pick<Clock, 'now'>;
  latest: Pick<LatestSamples, 'get' | 'list'>;
  history: Pick<TelemetryHistory, 'series'>;
  settings: HealthSettings;
}

export interface HealthSettings {
  /** Milliseconds between two samples of an agent, as agents are told now. */
  intervalMs(): number;
  /** Whether agents are compared with their own past. */
  anomalies: boolean;
}

const minuteMs = 60_000;
const hourMs = 3_600_000;
const dayMs = 86_400_000;
const quarterMs = 900_000;
/** As the rule agent-offline that the system brings along. */
const offlineAfterMs = 2 * minuteMs;
const leastSilenceMs = 2 * minuteMs;
/** Samples that may be missing. */
const missable = 3;
/** Alerts of one agent that its report has; of more, the worst. */
const mostAlerts = 50;
/** Up to so many days a point is a quarter of an hour, beyond them an hour. */
const fineDays = 2;
const machineMetrics: readonly TelemetryMetric[] = ['cpu', 'memory', 'swap', 'load'];

/** An alert keeps the value that it had when it last changed: a report tells the one of now, where that is known. */
function seenNow(alert: HealthAlertRow, sample: ReturnType<typeof sampleOf> | undefined): HealthAlertRow {
  const reading = sample && readingOf(sample, alert.metric, alert.subject);
  return reading === undefined ? alert : { ...alert, value: reading };
}

export function createHealthReports({
  database,
  clock,
  latest,
  history,
  settings,
}: HealthDeps): HealthReports {
  const { query } = database;
  const listeningSince = clock.now();
  /** Reports that are made now: who asks for the same meanwhile gets the same. */
  const underway = new Map<string, Promise<FleetHealth>>();

  const circumstances = (now: number): Circumstances => ({
    now,
    listeningSince,
    offlineAfterMs,
    silentAfterMs: Math.max(leastSilenceMs, missable * settings.intervalMs()),
  });

  async function agentAt(agentId: string): Promise<HealthAgentRow> {
    const row = await healthAgent(query, agentId);
    if (row !== undefined) return row;
    throw new ViworksError('agent_unknown', `There is no agent ${JSON.stringify(agentId)}.`, {
      fields: [{ field: 'agentId', problem: 'no such agent' }],
    });
  }

  async function anomaliesOf(agentId: string, now: number): Promise<AnomalyReport> {
    if (!settings.anomalies) return noAnomalies;
    const [lately, past] = await Promise.all([
      averageBetween(query, agentId, new Date(now - quarterMs), new Date(now + 1)),
      quartersAt(
        query,
        agentId,
        quartersBefore(now).map((at) => new Date(at)),
      ),
    ]);
    return judgeAnomalies(lately, past);
  }

  /** Of each of the last hours, or quarters of one, the disks as they were at its beginning. */
  async function disksSince(agentId: string, from: number, now: number, seconds: number): Promise<DisksAt[]> {
    const spans = Array.from(
      { length: Math.ceil((now - from) / (seconds * 1000)) },
      (_, span) => new Date(from + span * seconds * 1000),
    );
    const rows = await sampleOfEach(query, agentId, spans, seconds);
    return rows.map((row) => ({ at: row.at.getTime(), sample: sampleOf(row) }));
  }

  async function fleetOf({ site, sites }: FleetFilter): Promise<FleetHealth> {
    const now = clock.now();
    const given = circumstances(now);
    const filter = { site, sites };
    const [rows, alerts] = await Promise.all([healthAgents(query, filter), worstAlerts(query, filter)]);
    const everywhere = site === undefined && sites === undefined;
    const samples = await latest.list(everywhere ? undefined : rows.map(({ agentId }) => agentId));
    const alertOf = new Map(alerts.map((alert) => [alert.agentId, alert]));
    const sampleFor = new Map(samples.map((sample) => [sample.agentId, sample]));
    const judged = rows.map((row) => {
      const alert = alertOf.get(row.agentId);
      const sample = sampleFor.get(row.agentId);
      const at = sample && measuredAt(sample);
      const current = row.presence !== 'offline' && at !== undefined && now - at < given.silentAfterMs;
      const seen = alert && seenNow(alert, current && sample ? sampleOf(sample) : undefined);
      return {
        agentId: row.agentId,
        site: row.site,
        ...judgeAgent(row, seen === undefined ? [] : [seen], at, given),
        alerts: countsOf(alert),
        sample: current ? sample : undefined,
      };
    });
    return reportOf(judged, site, new Date(now));
  }

  return {
    async agent(agentId) {
      const now = clock.now();
      const [row, alerts, stored, anomalies] = await Promise.all([
        agentAt(agentId),
        alertsOfAgent(query, agentId, mostAlerts),
        latest.get(agentId),
        anomaliesOf(agentId, now),
      ]);
      const given = circumstances(now);
      const sample = stored && sampleOf(stored);
      const at = stored && measuredAt(stored);
      const current = row.presence !== 'offline' && at !== undefined && now - at < given.silentAfterMs;
      const seen = alerts.map((alert) => seenNow(alert, current ? sample : undefined));
      return {
        agentId,
        site: row.site,
        at: new Date(now),
        ...judgeAgent(row, seen, at, given),
        alerts: countsOf(alerts[0]),
        figures: stored && sample && figuresOf(stored, sample, current),
        anomalies,
      };
    },

    fleet(filter) {
      const key = JSON.stringify([filter.site, filter.sites]);
      const report = underway.get(key) ?? fleetOf(filter).finally(() => underway.delete(key));
      underway.set(key, report);
      return report;
    },

    async trends(agentId, days) {
      if (!(days > 0 && days <= longestTrendDays))
        throw invalidField('days', `must be more than 0 and at most ${longestTrendDays}`);
      await agentAt(agentId);
      const now = clock.now();
      const seconds = days <= fineDays ? 900 : 3600;
      const from = Math.floor((now - days * dayMs) / hourMs) * hourMs;
      const [stored, disks, series] = await Promise.all([
        latest.get(agentId),
        disksSince(agentId, from, now, seconds),
        history.series(
          { agentId, from, to: now, metrics: machineMetrics, resolution: seconds },
          { size: 1000 },
        ),
      ]);
      // Disks that are not there any more go nowhere.
      const newest = stored === undefined ? [] : [{ at: measuredAt(stored), sample: sampleOf(stored) }];
      const known = stored === undefined ? [] : diskPoints([...disks, ...newest]);
      const ofDisks = known.map(([subject, points]) => trendOf({ metric: 'disk', subject, points, now }));
      const ofMachine = machineMetrics.flatMap((metric) => {
        const points = series.items.flatMap(({ at, metrics }) => {
          const value = metrics[metric]?.average;
          return value === undefined ? [] : [{ at: Math.min(now, at.getTime() + seconds * 500), value }];
        });
        return points.length === 0 ? [] : [trendOf({ metric, subject: '', points, now })];
      });
      return { agentId, from: new Date(from), to: new Date(now), trends: [...ofDisks, ...ofMachine] };
    },
  };
}

const countsOf = (alert: HealthAlertRow | undefined): AlertCounts => ({
  critical: alert?.critical ?? 0,
  warning: alert?.warning ?? 0,
  info: alert?.info ?? 0,
  silenced: alert?.silenced ?? 0,
});
