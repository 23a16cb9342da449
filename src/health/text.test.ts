import { expect, test } from 'vitest';
import { sickAgent, sickFleet, trendReport } from '../../test/support/api-health.ts';
import { agentText, fleetText, trendsText } from './text.ts';

test('the report of an agent has its reasons, its figures with their age, and what is unusual', () => {
  expect(agentText(sickAgent)).toBe(
    [
      'alpha in berlin is unhealthy',
      '  unhealthy  disk-critical: disk.percent of /data is 97.5 %, above 95 %, for 7d',
      '  degraded   it is in maintenance',
      'alerts     1 critical, 2 warning, 3 info, 4 silenced',
      'figures    as of 7d ago, not of now: cpu 12.5 %',
      'disk       /data 97.5 %, 1.0 KiB free',
      'machine    3 containers (1 unhealthy, 2 stopped), 5 services (4 down), up 1m, could not read services',
      'unusual    cpu 91.0 %',
    ].join('\n'),
  );
});

test('the report of an agent that never measured anything says so', () => {
  const text = agentText({ ...sickAgent, verdict: 'healthy', reasons: [], figures: undefined });
  expect(text).toContain('\nfigures    none: it has measured nothing that is kept\n');
});

test('the report of many has counts, figures, sites and the worst', () => {
  const sites = [...sickFleet.sites, { ...sickFleet.sites[0], site: 'paris', verdict: 'healthy' }];
  expect(fleetText({ ...sickFleet, sites: sites as typeof sickFleet.sites })).toBe(
    [
      'all agents: unhealthy (1 unhealthy of 2 agents)',
      'agents     1 healthy, 1 unhealthy',
      'alerts     1 critical, 2 warning, 3 info, 4 silenced',
      'cpu        average 10.0 %, 95th percentile 12.5 %, most 12.5 % on alpha (2 of 2 agents)',
      'site       berlin is unhealthy: 1 unhealthy',
      'site       paris is healthy: 1 unhealthy',
      'unhealthy  alpha: disk-critical: disk.percent of /data is 97.5 %, above 95 %, for 7d',
    ].join('\n'),
  );
});

test('what an agent calls its disks makes no line of its own', () => {
  const name = '/x\nall agents: healthy\u001b[2J';
  const [reason] = sickAgent.reasons;
  const disks = [{ mount: name, percent: 1, freeBytes: 1 }];
  const figures = sickAgent.figures && { ...sickAgent.figures, disks };
  const reasons = reason === undefined ? [] : [{ ...reason, text: name }];
  const worst = sickFleet.worst.map((agent) => ({ ...agent, reason: { ...agent.reason, text: name } }));
  const trends = trendReport.trends.map((trend) => ({ ...trend, text: name }));
  for (const text of [
    agentText({ ...sickAgent, figures, reasons }),
    fleetText({ ...sickFleet, worst }),
    trendsText({ ...trendReport, trends }),
  ]) {
    expect(text).toContain('/x\ufffdall agents: healthy\ufffd[2J');
    expect(text).not.toMatch(/^all agents: healthy/m);
  }
});
