import { expect, test } from 'vitest';
import {
  boot,
  frame,
  minute,
  type OwnTelemetry,
  ownTelemetry,
  sampleAt,
} from '../../test/support/telemetry.ts';
import { newId } from '../lib/ids.ts';
import { type Database, statement } from '../storage/database.ts';
import { resolutions } from '../telemetry/resolution.ts';
import { createHealthReports } from './reports.ts';

/** Health reports of what a real database has. */

const hour = 60 * minute;
const day = 24 * hour;

/** Reports over telemetry, with a count of the statements that they ask. */
async function ownHealth(anomalies = false) {
  const own = await ownTelemetry();
  const asked: string[] = [];
  const database: Pick<Database, 'query'> = {
    query: (wanted, values) => {
      asked.push(wanted.name);
      return own.database.query(wanted, values);
    },
  };
  const { latest, history } = own.telemetry;
  const { clock } = own;
  const settings = { intervalMs: () => 30_000, anomalies };
  return { own, asked, reports: createHealthReports({ database, clock, latest, history, settings }) };
}

const addAgent = statement(
  'test_agent',
  `insert into agents (agent_id, site, incarnation, presence, maintenance, revoked, last_seen_at)
   select $1, $2, 1, $3, $4, $5, $6`,
);
async function agent(
  { database, clock }: OwnTelemetry,
  agentId: string,
  { site = 'berlin', presence = 'online', maintenance = false, revoked = false, seenMs = 1000 } = {},
) {
  const mark = revoked ? { at: new Date(clock.now()).toISOString(), by: 'ada', reason: '' } : null;
  const seen = new Date(clock.now() - seenMs);
  await database.query(addAgent, [agentId, site, presence, maintenance, mark && JSON.stringify(mark), seen]);
}

const addAlert = statement(
  'test_alert',
  `insert into alerts (alert_id, rule, agent_id, subject, site, severity, metric, comparison, threshold, state, value,
     seen_at, pending_since, fired_at, told, updated_at)
   select $1, $2, $3, $4, 'berlin', $5, $6, 'above', 85, $7, 91, $8, $8, $8, true, $8`,
);
const alert = (
  { database, clock }: OwnTelemetry,
  agentId: string,
  { severity = 'warning', state = 'firing', subject = '', metric = 'cpu.percent' } = {},
) =>
  database.query(addAlert, [
    newId(),
    `${metric}-${severity}-${state}`,
    agentId,
    subject,
    severity,
    metric,
    state,
    new Date(clock.now() - 5 * minute),
  ]);

const measures = ({ telemetry, clock }: OwnTelemetry, agentId: string, cpu: number) =>
  telemetry.ingest({ agentId, bootId: boot(agentId) }, frame(sampleAt(1, clock.now(), cpu)));

const disk = (mount: string, percent: number) => ({
  mount,
  fileSystem: 'ext4',
  totalBytes: 1_000_000n,
  usedBytes: BigInt(Math.round(percent * 10_000)),
});

/** Takes the clock along. */
async function rolledUp({ telemetry, clock }: OwnTelemetry) {
  for (const seconds of resolutions) {
    clock.advance(seconds * 1000 + 2 * minute);
    await telemetry.rollUp();
  }
}

test('an agent is judged by its alerts, with what it measures now', async () => {
  const { own, reports } = await ownHealth();
  await agent(own, 'alpha');
  const sample = { ...sampleAt(1, own.clock.now(), 97), disks: [disk('/', 20), disk('/data', 92.5)] };
  await own.telemetry.ingest({ agentId: 'alpha', bootId: boot() }, frame(sample));
  expect(await reports.agent('alpha')).toMatchObject({
    verdict: 'healthy',
    reasons: [],
    figures: {
      current: true,
      metrics: { cpu: 97, disk: 92.5 },
      disks: [
        { mount: '/data', percent: 92.5, freeBytes: 75_000 },
        { mount: '/', percent: 20, freeBytes: 800_000 },
      ],
    },
    anomalies: { enabled: false, found: [] },
  });
  await alert(own, 'alpha', { metric: 'disk.percent', subject: '/data' });
  await alert(own, 'alpha', { severity: 'critical' });
  await alert(own, 'alpha', { severity: 'critical', state: 'silenced' });
  await alert(own, 'alpha', { severity: 'critical', state: 'pending' });
  await alert(own, 'alpha', { severity: 'critical', state: 'resolved' });
  const report = await reports.agent('alpha');
  expect(report).toMatchObject({
    verdict: 'unhealthy',
    alerts: { critical: 1, warning: 1, info: 0, silenced: 1 },
  });
  expect(report.reasons.map(({ metric, value, verdict }) => ({ metric, value, verdict }))).toEqual([
    { metric: 'cpu.percent', value: 97, verdict: 'unhealthy' },
    { metric: 'disk.percent', value: 92.5, verdict: 'degraded' },
    { metric: 'cpu.percent', value: 97, verdict: 'degraded' },
  ]);
});

test('of an agent that is away, what it measured is not of now', async () => {
  const { own, reports } = await ownHealth();
  await agent(own, 'alpha', { presence: 'offline', seenMs: 0 });
  await measures(own, 'alpha', 97);
  await alert(own, 'alpha', { severity: 'warning' });
  own.clock.advance(minute);
  expect(await reports.agent('alpha')).toMatchObject({ verdict: 'unknown', figures: { current: false } });
  own.clock.advance(10 * minute);
  const report = await reports.agent('alpha');
  expect(report).toMatchObject({
    verdict: 'unhealthy',
    figures: { asOf: new Date(own.clock.now() - 11 * minute), current: false, metrics: { cpu: 97 } },
  });
  // The value of when the alert fired: nobody knows a newer one.
  expect(report.reasons.map(({ kind, value }) => ({ kind, value }))).toEqual([
    { kind: 'offline', value: 660 },
    { kind: 'alert', value: 91 },
  ]);
});

test('there is no report of an agent that does not exist', async () => {
  const { reports } = await ownHealth();
  await expect(reports.agent('nobody')).rejects.toMatchObject({ code: 'agent_unknown' });
  await expect(reports.trends('nobody', 7)).rejects.toMatchObject({ code: 'agent_unknown' });
  await expect(reports.trends('nobody', 31)).rejects.toMatchObject({ code: 'invalid_request' });
});

test('a site, and all, are what their agents are', async () => {
  const { own, reports, asked } = await ownHealth();
  for (const [n, name] of ['a', 'b', 'c', 'd'].entries()) {
    await agent(own, name);
    await measures(own, name, 10 * (n + 1));
  }
  await agent(own, 'gone', { presence: 'offline' });
  await agent(own, 'silent', { site: 'paris' });
  await agent(own, 'thief', { site: 'paris', revoked: true });
  await alert(own, 'b');
  await alert(own, 'b', { severity: 'info' });
  await alert(own, 'c', { severity: 'critical' });
  await alert(own, 'c', { severity: 'critical', metric: 'memory.percent' });
  await alert(own, 'd', { state: 'pending' });
  const all = await reports.fleet({});
  expect(all).toMatchObject({
    verdict: 'unhealthy',
    agents: { healthy: 2, degraded: 1, unknown: 2, unhealthy: 1 },
    alerts: { critical: 2, warning: 1, info: 1, silenced: 0 },
    siteCount: 2,
    sites: [
      { site: 'berlin', verdict: 'unhealthy', agents: { healthy: 2, degraded: 1, unknown: 1, unhealthy: 1 } },
      { site: 'paris', verdict: 'unknown', agents: { healthy: 0, degraded: 0, unknown: 1, unhealthy: 0 } },
    ],
  });
  expect(all.worst.map(({ agentId, verdict }) => `${agentId} ${verdict}`)).toEqual([
    'c unhealthy',
    'gone unknown',
    'silent unknown',
    'b degraded',
  ]);
  // What is measured now, and not when the alert began.
  expect(all.worst.find(({ agentId }) => agentId === 'b')?.reason).toMatchObject({
    metric: 'cpu.percent',
    value: 20,
  });
  expect(all.metrics[0]).toEqual({
    metric: 'cpu',
    agents: 4,
    average: 25,
    p95: 40,
    max: 40,
    maxAgentId: 'd',
  });
  const berlin = await reports.fleet({ site: 'berlin' });
  expect(berlin).toMatchObject({ site: 'berlin', agents: { unknown: 1, unhealthy: 1 }, sites: [] });
  expect(await reports.fleet({ sites: ['paris'] })).toMatchObject({
    verdict: 'unknown',
    agents: { unknown: 1, healthy: 0 },
    alerts: { critical: 0 },
    metrics: [],
  });
  expect(await reports.fleet({ site: 'berlin', sites: ['paris'] })).toMatchObject({
    verdict: 'unknown',
    text: 'there are no agents',
    siteCount: 0,
  });
  // However many agents there are.
  expect(asked).toEqual(Array.from({ length: 4 }, () => ['health_agents', 'health_alerts_fleet']).flat());
});

test('many who ask for the same at once ask the database once', async () => {
  const { own, reports, asked } = await ownHealth();
  await agent(own, 'alpha');
  const [first, ...others] = await Promise.all([
    ...Array.from({ length: 5 }, () => reports.fleet({})),
    reports.fleet({ site: 'paris' }),
  ]);
  expect(asked.filter((name) => name === 'health_agents')).toHaveLength(2);
  expect(first?.agents.unknown).toBe(1);
  expect(others.at(-1)?.agents.unknown).toBe(0);
  await agent(own, 'beta');
  expect((await reports.fleet({})).agents.unknown).toBe(2);
});

test('what an agent is in its own report, it is in that of all', async () => {
  const { own, reports } = await ownHealth();
  const states = ['firing', 'acknowledged', 'silenced', 'pending', 'resolved'];
  const names: string[] = [];
  for (const severity of ['critical', 'warning', 'info']) {
    for (const state of states) {
      for (const maintenance of [true, false]) {
        const name = `${severity}-${state}-${maintenance}`;
        names.push(name);
        await agent(own, name, { maintenance, site: name });
        await measures(own, name, 50);
        await alert(own, name, { severity, state });
        await alert(own, name, { severity: 'info', metric: 'memory.percent' });
      }
    }
  }
  const verdictOf = new Map((await reports.fleet({})).sites.map(({ site, agents }) => [site, agents]));
  for (const name of names) {
    const { verdict } = await reports.agent(name);
    expect({ name, agents: verdictOf.get(name)?.[verdict] }).toEqual({ name, agents: 1 });
  }
});

test('each disk has a trend of its own, and the machine has others', async () => {
  const { own, reports } = await ownHealth();
  await agent(own, 'alpha');
  const end = own.clock.now();
  const samples = Array.from({ length: 7 * 48 }, (_, n) => {
    const at = end - (7 * 48 - 1 - n) * 30 * minute;
    const sample = sampleAt(n + 1, at, 20 + (n % 3));
    return {
      ...sample,
      disks: [disk('/', 88), disk('/data', 40 + n / 24), ...(n < 300 ? [disk('/old', 1)] : [])],
    };
  });
  for (let from = 0; from < samples.length; from += 100)
    await own.telemetry.ingest(
      { agentId: 'alpha', bootId: boot() },
      frame(...samples.slice(from, from + 100)),
    );
  await rolledUp(own);
  const { trends, from, to } = await reports.trends('alpha', 7);
  expect(to.getTime() - from.getTime()).toBeGreaterThanOrEqual(7 * day);
  const shown = trends.map(({ metric, subject, direction }) => `${metric} ${subject} ${direction}`.trim());
  expect(shown).toEqual(['disk / flat', 'disk /data rising', 'cpu  flat', 'memory  flat', 'load  flat']);
  const data = trends[1];
  // Two percent a day, from 54 % at the end.
  expect(data?.line?.slopePerDay).toBeCloseTo(2, 1);
  expect(data?.line?.points).toBeGreaterThan(150);
  expect(Math.abs((data?.full?.at.getTime() ?? 0) - (end + 23 * day))).toBeLessThan(day);
  expect(trends[2]?.line?.points).toBeGreaterThan(150);
});

test('a disk that does not answer takes no other one out of a report', async () => {
  const { own, reports } = await ownHealth();
  await agent(own, 'alpha');
  const end = own.clock.now();
  const reserved = { ...disk('/', 95), availableBytes: 0n };
  const samples = Array.from({ length: 48 }, (_, n) => {
    const [sample, last] = [sampleAt(n + 1, end - (47 - n) * 30 * minute), n === 47];
    return {
      ...sample,
      disks: [reserved, ...(last ? [] : [disk('/data', 40 + n / 24)])],
      unread: last ? ['disks'] : [],
    };
  });
  await own.telemetry.ingest({ agentId: 'alpha', bootId: boot() }, frame(...samples));
  const { figures } = await reports.agent('alpha');
  expect(figures).toMatchObject({ metrics: { disk: 100 }, unread: ['disks'] });
  expect(figures?.disks).toEqual([{ mount: '/', percent: 100, freeBytes: 0 }]);
  const { trends } = await reports.trends('alpha', 1);
  const ofDisks = trends.filter(({ metric }) => metric === 'disk');
  expect(ofDisks.map(({ subject, direction }) => `${subject} ${direction}`)).toEqual([
    '/ flat',
    '/data rising',
  ]);
});

test('an agent is compared with its own past where that is switched on', async () => {
  const { own, reports } = await ownHealth(true);
  await agent(own, 'alpha');
  const start = own.clock.now();
  const source = { agentId: 'alpha', bootId: boot() };
  expect((await reports.agent('alpha')).anomalies.text).toMatch(/^not known: nothing was measured/);
  const past = Array.from({ length: 10 }, (_, n) => n + 1).flatMap((ago) =>
    [5, 20, 35, 50].map((into) => ({ at: start - ago * day + hour + into * minute, cpu: 20 + (ago % 5) })),
  );
  const samples = past.toSorted((a, b) => a.at - b.at).map(({ at, cpu }, n) => sampleAt(n + 1, at, cpu));
  await own.telemetry.ingest(source, frame(...samples));
  await rolledUp(own);
  own.clock.advance(start + hour + 30 * minute - own.clock.now());
  await own.telemetry.ingest(source, frame(sampleAt(samples.length + 1, own.clock.now(), 91)));
  const { verdict, anomalies } = await reports.agent('alpha');
  expect(verdict).toBe('healthy');
  expect(anomalies).toMatchObject({
    enabled: true,
    days: 10,
    found: [{ metric: 'cpu', value: 91 }, { metric: 'load' }],
  });
  expect(anomalies.text).toBe(
    'cpu 91.0 %, at this hour of the last 10 days usually 20.0 % to 24.0 %; ' +
      'load 11.38, at this hour of the last 10 days usually 2.50 to 3.00',
  );
});
