import type { StoredSample } from '../storage/sample-rows.ts';
import type { TelemetryMetric } from '../storage/telemetry-metrics.ts';
import { quantile, sortedNumbers } from './quantile.ts';
import type { AlertCounts, FleetHealth, FleetMetric, Reason, Verdict } from './types.ts';
import { byWorst, judgeFleet } from './verdict.ts';

/** What many agents make together, as a pure function. */

export interface JudgedAgent {
  agentId: string;
  site: string;
  verdict: Verdict;
  /** The worst first. */
  reasons: readonly Reason[];
  alerts: AlertCounts;
  /** What it measures now; undefined where that is not known. */
  sample: StoredSample | undefined;
}

/** Agents, and sites, that a report names; of the others it has counts. */
const mostWorst = 20;
const mostSites = 50;
const metrics: readonly TelemetryMetric[] = ['cpu', 'memory', 'disk', 'load'];

const noAgents = (): Record<Verdict, number> => ({ healthy: 0, degraded: 0, unknown: 0, unhealthy: 0 });
const noAlerts = (): AlertCounts => ({ critical: 0, warning: 0, info: 0, silenced: 0 });

export function reportOf(agents: readonly JudgedAgent[], site: string | undefined, at: Date): FleetHealth {
  const counts = noAgents();
  const alerts = noAlerts();
  const bySite = new Map<string, Record<Verdict, number>>();
  for (const agent of agents) {
    counts[agent.verdict] += 1;
    const ofSite = bySite.get(agent.site) ?? noAgents();
    bySite.set(agent.site, ofSite);
    ofSite[agent.verdict] += 1;
    for (const name of ['critical', 'warning', 'info', 'silenced'] as const)
      alerts[name] += agent.alerts[name];
  }
  return {
    site,
    at,
    ...judgeFleet(counts),
    agents: counts,
    worst: worstOf(agents),
    metrics: metrics.flatMap((metric) => metricOf(agents, metric) ?? []),
    alerts,
    sites: site === undefined ? worstSites(bySite) : [],
    siteCount: bySite.size,
  };
}

function worstOf(agents: readonly JudgedAgent[]): FleetHealth['worst'] {
  const seriousness = ({ alerts }: JudgedAgent) => alerts.critical * 1000 + alerts.warning;
  return agents
    .filter(({ verdict }) => verdict !== 'healthy')
    .sort((a, b) => byWorst(a.verdict, b.verdict) || seriousness(b) - seriousness(a))
    .slice(0, mostWorst)
    .flatMap(({ agentId, site, verdict, reasons }) => {
      const [reason] = reasons;
      return reason === undefined ? [] : [{ agentId, site, verdict, reason }];
    });
}

function worstSites(bySite: ReadonlyMap<string, Record<Verdict, number>>): FleetHealth['sites'] {
  return [...bySite]
    .map(([site, agents]) => ({ site, verdict: judgeFleet(agents).verdict, agents }))
    .sort(
      (a, b) =>
        byWorst(a.verdict, b.verdict) ||
        b.agents.unhealthy - a.agents.unhealthy ||
        (a.site < b.site ? -1 : 1),
    )
    .slice(0, mostSites);
}

function metricOf(agents: readonly JudgedAgent[], metric: TelemetryMetric): FleetMetric | undefined {
  let [max, maxAgentId] = [Number.NEGATIVE_INFINITY, ''];
  const values: number[] = [];
  for (const { agentId, sample } of agents) {
    const value = sample?.[metric];
    if (value === null || value === undefined) continue;
    values.push(value);
    if (value > max) [max, maxAgentId] = [value, agentId];
  }
  if (values.length === 0) return undefined;
  // Step by step, since agents may say numbers whose sum is none.
  const average = values.reduce((before, value, index) => before + (value - before) / (index + 1), 0);
  const p95 = quantile(sortedNumbers(values), 0.95);
  return { metric, agents: values.length, average, p95, max, maxAgentId };
}
