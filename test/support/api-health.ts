import { ViworksError } from '../../src/errors.ts';
import type { AgentHealth, FleetHealth, HealthReports, Reason, TrendReport } from '../../src/health/types.ts';
import type { AgentService } from '../../src/registry/types.ts';

/** Reports of a core in memory: always the same, with every field that there is. */

const then = new Date('2030-01-01T00:00:00.000Z');
const later = new Date('2030-01-08T00:00:00.000Z');

const reason: Reason = {
  kind: 'alert',
  verdict: 'unhealthy',
  text: 'disk-critical: disk.percent of /data is 97.5 %, above 95 %',
  since: then,
  rule: 'disk-critical',
  severity: 'critical',
  state: 'firing',
  metric: 'disk.percent',
  subject: '/data',
  comparison: 'above',
  value: 97.5,
  threshold: 95,
};
const alerts = { critical: 1, warning: 2, info: 3, silenced: 4 };

export const sickAgent: AgentHealth = {
  agentId: 'alpha',
  site: 'berlin',
  at: later,
  verdict: 'unhealthy',
  reasons: [
    reason,
    { kind: 'maintenance', verdict: 'degraded', text: 'it is in maintenance', since: undefined },
  ],
  alerts,
  figures: {
    asOf: then,
    current: false,
    metrics: { cpu: 12.5, disk: 97.5 },
    disks: [{ mount: '/data', percent: 97.5, freeBytes: 1024 }],
    containers: { total: 3, unhealthy: 1, stopped: 2 },
    services: { total: 5, down: 4 },
    uptimeSeconds: 60,
    unread: ['services'],
  },
  anomalies: {
    enabled: true,
    days: 8,
    neededDays: 7,
    found: [
      { metric: 'cpu', value: 91, median: 25, usualLow: 20, usualHigh: 35, score: 9.5, text: 'cpu 91.0 %' },
    ],
    text: 'cpu 91.0 %',
  },
};

export const sickFleet: FleetHealth = {
  site: undefined,
  at: later,
  verdict: 'unhealthy',
  text: '1 unhealthy of 2 agents',
  agents: { healthy: 1, degraded: 0, unknown: 0, unhealthy: 1 },
  worst: [{ agentId: 'alpha', site: 'berlin', verdict: 'unhealthy', reason }],
  metrics: [{ metric: 'cpu', agents: 2, average: 10, p95: 12.5, max: 12.5, maxAgentId: 'alpha' }],
  alerts,
  sites: [
    { site: 'berlin', verdict: 'unhealthy', agents: { healthy: 0, degraded: 0, unknown: 0, unhealthy: 1 } },
  ],
  siteCount: 2,
};

const line = { from: then, to: later, points: 168, last: 97.5, slopePerDay: 1.5, slopeLow: 1, slopeHigh: 2 };

export const trendReport: TrendReport = {
  agentId: 'alpha',
  from: then,
  to: later,
  trends: [
    {
      metric: 'disk',
      subject: '/data',
      line: { ...line, explained: 0.75 },
      direction: 'rising',
      full: { at: later, earliest: later, latest: undefined },
      text: 'disk /data: it fills',
    },
    { metric: 'cpu', subject: '', line: undefined, direction: 'unclear', full: undefined, text: 'cpu: ?' },
  ],
};

/** Of the agents that there are; what it was asked for comes back in the report. */
export function memoryHealthReports(agents: Pick<AgentService, 'list'>): HealthReports {
  async function find(agentId: string) {
    const { items } = await agents.list({}, { size: 1000 });
    const agent = items.find((each) => each.agentId === agentId);
    if (agent === undefined) throw new ViworksError('agent_unknown', `There is no agent ${agentId}.`);
    return agent;
  }
  return {
    agent: async (agentId) => ({ ...sickAgent, agentId, site: (await find(agentId)).site }),
    async fleet({ site, sites }) {
      const { items } = await agents.list({ site, sites }, { size: 1000 });
      if (items.length > 1) return { ...sickFleet, site };
      const text = items.map(({ agentId }) => agentId).join(' ') || 'there are no agents';
      return { ...sickFleet, site, text, worst: [], sites: [], siteCount: items.length };
    },
    async trends(agentId, days) {
      await find(agentId);
      return { ...trendReport, agentId, to: new Date(then.getTime() + days * 86_400_000) };
    },
  };
}
