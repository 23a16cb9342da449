import { expect, test } from 'vitest';
import type { StoredSample } from '../storage/sample-rows.ts';
import { type JudgedAgent, reportOf } from './fleet.ts';
import { fleetText } from './text.ts';
import type { Reason, Verdict } from './types.ts';

const at = new Date('2026-05-04T12:00:00Z');
const none = { critical: 0, warning: 0, info: 0, silenced: 0 };

function agent(
  agentId: string,
  verdict: Verdict,
  change: Partial<JudgedAgent> & { load?: number } = {},
): JudgedAgent {
  const { load, ...rest } = change;
  const reason: Reason = { kind: 'alert', verdict, text: 'something is wrong', since: at };
  return {
    agentId,
    site: 'berlin',
    verdict,
    reasons: verdict === 'healthy' ? [] : [reason],
    alerts: none,
    sample: load === undefined ? undefined : ({ load, cpu: null } as StoredSample),
    ...rest,
  };
}

test('the worst agents are those with the worst verdict and the most alerts, and only so many', () => {
  const agents = [
    ...Array.from({ length: 30 }, (_, n) => agent(`warned-${n}`, 'degraded')),
    agent('busy', 'unhealthy', { alerts: { ...none, critical: 2 } }),
    agent('ill', 'unhealthy', { alerts: { ...none, critical: 3 } }),
    agent('well', 'healthy'),
    agent('lost', 'unknown'),
  ];
  const report = reportOf(agents, undefined, at);
  expect(report.worst).toHaveLength(20);
  expect(report.worst.slice(0, 4).map(({ agentId }) => agentId)).toEqual(['ill', 'busy', 'lost', 'warned-0']);
  expect(report.alerts.critical).toBe(5);
  expect(fleetText(report)).toMatch(/\n +and 13 more that are not healthy$/);
});

test('of many sites the worst are named, and of one none', () => {
  const agents = Array.from({ length: 60 }, (_, n) =>
    agent(`a-${n}`, n === 59 ? 'unhealthy' : 'healthy', { site: `site-${n}` }),
  );
  const report = reportOf(agents, undefined, at);
  expect(report.sites).toHaveLength(50);
  expect(report).toMatchObject({ siteCount: 60, verdict: 'degraded' });
  expect(report.sites[0]).toMatchObject({ site: 'site-59', verdict: 'unhealthy' });
  expect(fleetText(report)).toContain('and 10 sites more');
  expect(reportOf(agents.slice(0, 1), 'site-0', at)).toMatchObject({ siteCount: 1, sites: [] });
});

test('figures are of those that measure now, however large what they say', () => {
  const loads = Array.from({ length: 20 }, (_, n) => agent(`a-${n}`, 'healthy', { load: n + 1 }));
  const [metric, ...others] = reportOf([...loads, agent('gone', 'unknown')], undefined, at).metrics;
  expect(metric).toMatchObject({ metric: 'load', agents: 20, p95: 19, max: 20, maxAgentId: 'a-19' });
  expect(metric?.average).toBeCloseTo(10.5, 10);
  expect(others).toEqual([]);
  const liars = ['x', 'y', 'z'].map((name) => agent(name, 'healthy', { load: Number.MAX_VALUE }));
  expect(reportOf(liars, undefined, at).metrics[0]?.average).toBeLessThan(Number.POSITIVE_INFINITY);
});
