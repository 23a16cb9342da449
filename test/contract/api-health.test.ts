import { durationMs, type Timestamp, timestampDate } from '@bufbuild/protobuf/wkt';
import { createTRPCClient, httpLink } from '@trpc/client';
import { describe, expect, test } from 'vitest';
import {
  type HealthReason,
  HealthReasonKind,
  TrendDirection,
  Verdict,
} from '#gen/viworks/control/v1/health_pb.js';
import type { AppRouter } from '../../src/api/client.ts';
import { agentHealthView, fleetHealthView, trendsView } from '../../src/api/schemas/health.ts';
import { agentText, fleetText, trendsText } from '../../src/health/text.ts';
import { longestTrendDays } from '../../src/health/types.ts';
import { sickAgent, sickFleet, trendReport } from '../support/api-health.ts';
import { startApi, type TestApi } from '../support/api-server.ts';
import { errorOf } from '../support/api-surfaces.ts';

/** How agents are, over every surface: all that the core says arrives. */

interface Surface {
  agent(agentId: string): Promise<unknown>;
  fleet(site?: string): Promise<unknown>;
  trends(agentId: string, days?: number): Promise<unknown>;
}

async function trpc(api: TestApi): Promise<Surface> {
  const { health } = await api.trpc('viewer');
  return {
    agent: (agentId) => health.report.query({ agentId }),
    fleet: (site) => health.report.query(site === undefined ? { all: true } : { site }),
    trends: (agentId, days) => health.trends.query({ agentId, days }),
  };
}

const iso = (at: Timestamp | undefined) => at && timestampDate(at).toISOString();
const nameOf = <T extends Record<number, string>>(names: T, value: number): string | undefined =>
  value === 0 ? undefined : names[value]?.toLowerCase();

/** As tRPC says it. Alerts have tests of their own for their words. */
function reasonIn(reason: HealthReason | undefined) {
  const { kind = 0, verdict = 0, text = '', since, rule, metric, subject, value, threshold } = reason ?? {};
  const words = { kind: nameOf(HealthReasonKind, kind), verdict: nameOf(Verdict, verdict), text };
  return { ...words, since: iso(since), rule, metric, subject, value, threshold };
}

async function grpc(api: TestApi): Promise<Surface> {
  const control = await api.control('grpc', 'viewer');
  const counts = (message: object | undefined) => {
    const { $typeName: _, ...rest } = { $typeName: '', ...message };
    return rest;
  };
  return {
    async agent(agentId) {
      const { report, text } = await control.getHealthReport({ of: { case: 'agentId', value: agentId } });
      if (report.case !== 'agent') throw new Error('no report of an agent');
      const { figures, anomalies, ...agent } = report.value;
      return {
        text,
        agent: {
          agentId: agent.agentId,
          site: agent.site,
          at: iso(agent.at),
          verdict: nameOf(Verdict, agent.verdict),
          reasons: agent.reasons.map(reasonIn),
          alerts: counts(agent.alerts),
          figures: {
            asOf: iso(figures?.asOf),
            current: figures?.current,
            metrics: figures?.metrics,
            disks: figures?.disks.map(({ mount, percent, freeBytes }) => ({
              mount,
              percent,
              freeBytes: Number(freeBytes),
            })),
            containers: {
              total: figures?.containers,
              unhealthy: figures?.containersUnhealthy,
              stopped: figures?.containersStopped,
            },
            services: { total: figures?.services, down: figures?.servicesDown },
            uptimeSeconds: figures?.uptime && durationMs(figures.uptime) / 1000,
            unread: figures?.unread,
          },
          anomalies: { ...counts(anomalies), found: anomalies?.found.map(counts) },
        },
      };
    },
    async fleet(site) {
      const of =
        site === undefined ? { case: 'all' as const, value: true } : { case: 'site' as const, value: site };
      const { report, text } = await control.getHealthReport({ of });
      if (report.case !== 'fleet') throw new Error('no report of many');
      const fleet = report.value;
      return {
        text,
        fleet: {
          site: fleet.site || undefined,
          at: iso(fleet.at),
          verdict: nameOf(Verdict, fleet.verdict),
          text: fleet.text,
          agents: counts(fleet.agents),
          worst: fleet.worst.map((agent) => ({
            agentId: agent.agentId,
            site: agent.site,
            verdict: nameOf(Verdict, agent.verdict),
            reason: reasonIn(agent.reason),
          })),
          metrics: fleet.metrics.map(counts),
          alerts: counts(fleet.alerts),
          sites: fleet.sites.map((each) => ({
            site: each.site,
            verdict: nameOf(Verdict, each.verdict),
            agents: counts(each.agents),
          })),
          siteCount: fleet.siteCount,
        },
      };
    },
    async trends(agentId, days) {
      const report = await control.getTrends({ agentId, ...(days !== undefined && { days }) });
      return {
        text: report.text,
        agentId: report.agentId,
        from: iso(report.from),
        to: iso(report.to),
        trends: report.trends.map(({ metric, subject, line, direction, full, text }) => ({
          metric,
          subject,
          line: line && { ...counts(line), from: iso(line.from), to: iso(line.to) },
          direction: nameOf(TrendDirection, direction),
          full: full && { at: iso(full.at), earliest: iso(full.earliest), latest: iso(full.latest) },
          text,
        })),
      };
    },
  };
}

/** The words of alerts left out, and what is absent as the empty text of a message. */
const comparable = (report: object): unknown =>
  JSON.parse(
    JSON.stringify(report, (key, value) =>
      ['severity', 'state', 'comparison'].includes(key) || value === '' ? undefined : value,
    ),
  );

describe.each([
  ['tRPC', trpc],
  ['gRPC', grpc],
])('over %s', (_name, surfaceOf) => {
  test('the report of an agent has all that is known, and is written out', async () => {
    await using api = await startApi();
    const surface = await surfaceOf(api);
    const report = (await surface.agent('alpha')) as object;
    const expected = { agent: agentHealthView(sickAgent), text: agentText(sickAgent) };
    expect(comparable(report)).toEqual(comparable(expected));
    expect((await errorOf(surface.agent('nobody'))).code).toBe('agent_unknown');
    expect((await errorOf(surface.agent('NOBODY'))).code).toBe('invalid_request');
  });

  test('the report of all, and of a site', async () => {
    await using api = await startApi();
    const surface = await surfaceOf(api);
    const all = (await surface.fleet()) as object;
    expect(comparable(all)).toEqual(
      comparable({ fleet: fleetHealthView(sickFleet), text: fleetText(sickFleet) }),
    );
    expect(await surface.fleet('paris')).toMatchObject({ fleet: { site: 'paris', text: 'beta' } });
    expect(await surface.fleet('nowhere')).toMatchObject({ fleet: { text: 'there are no agents' } });
    expect((await errorOf(surface.fleet('Not A Site'))).code).toBe('invalid_request');
  });

  test('trends of a week, or of as many days as are asked for', async () => {
    await using api = await startApi();
    const surface = await surfaceOf(api);
    const report = (await surface.trends('alpha')) as object;
    expect(comparable(report)).toEqual(
      comparable({ ...trendsView(trendReport), text: trendsText(trendReport) }),
    );
    expect(await surface.trends('alpha', 1)).toMatchObject({ to: '2030-01-02T00:00:00.000Z' });
    expect((await errorOf(surface.trends('nobody'))).code).toBe('agent_unknown');
    expect(await surface.trends('alpha', longestTrendDays)).toMatchObject({ to: '2030-01-31T00:00:00.000Z' });
    expect((await errorOf(surface.trends('alpha', longestTrendDays + 1))).message).toMatch(/^days/);
  });
});

test('of an agent beyond the limits there is no report, and all is all within them', async () => {
  await using api = await startApi();
  const headers = { authorization: `Bearer ${await api.tokenFor('operator', { sites: ['paris'] })}` };
  const client = createTRPCClient<AppRouter>({ links: [httpLink({ url: `${api.url1}/trpc`, headers })] });
  const { report, trends } = client.health;
  expect((await report.query({ agentId: 'beta' })).agent?.site).toBe('paris');
  expect((await report.query({ all: true })).fleet?.text).toBe('beta');
  expect((await errorOf(report.query({ agentId: 'alpha' }))).code).toBe('agent_unknown');
  expect((await errorOf(trends.query({ agentId: 'alpha' }))).code).toBe('agent_unknown');
  expect((await report.query({ site: 'berlin' })).fleet?.text).toBe('there are no agents');
});
