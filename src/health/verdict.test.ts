import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Verdict } from './types.ts';
import { verdicts } from './types.ts';
import { type AgentFacts, type AlertFacts, judgeAgent, judgeFleet } from './verdict.ts';

const now = Date.parse('2026-05-04T12:00:00Z');
const minute = 60_000;
const ago = (minutes: number) => new Date(now - minutes * minute);
const circumstances = {
  now,
  listeningSince: now - 600 * minute,
  offlineAfterMs: 2 * minute,
  silentAfterMs: 2 * minute,
};

const well: AgentFacts = {
  agentId: 'web-1',
  site: 'berlin',
  presence: 'online',
  maintenance: false,
  statusReason: null,
  held: null,
  revoked: null,
  connectedAt: ago(100),
  lastSeenAt: ago(1),
};
const alert: AlertFacts = {
  rule: 'disk-high',
  subject: '/data',
  severity: 'warning',
  metric: 'disk.percent',
  comparison: 'above',
  threshold: 85,
  value: 91.5,
  state: 'firing',
  since: ago(5),
};
const offline = { presence: 'offline', lastSeenAt: ago(10) } as const;

interface Case {
  is: string;
  agent?: Partial<AgentFacts>;
  alerts?: Partial<AlertFacts>[];
  /** Minutes ago. */
  measured?: number;
  /** Minutes ago. */
  listening?: number;
  verdict: Verdict;
  reasons: string[];
}

test.each<Case>([
  { is: 'connected and measured just now', verdict: 'healthy', reasons: [] },
  {
    is: 'a warning',
    alerts: [{}],
    verdict: 'degraded',
    reasons: ['disk-high: disk.percent of /data is 91.5 %, above 85 %'],
  },
  {
    is: 'something critical that somebody takes care of',
    alerts: [{ severity: 'critical', state: 'acknowledged', subject: '', value: null }],
    verdict: 'unhealthy',
    reasons: ['disk-high: disk.percent above 85 % (acknowledged)'],
  },
  {
    is: 'something critical that is silenced',
    alerts: [{ severity: 'critical', state: 'silenced' }],
    verdict: 'degraded',
    reasons: ['disk-high: disk.percent of /data is 91.5 %, above 85 % (silenced)'],
  },
  {
    is: 'a service that does not run',
    alerts: [
      { rule: 'service-down', metric: 'service.down', subject: 'nginx', value: 1, severity: 'critical' },
    ],
    verdict: 'unhealthy',
    reasons: ['service-down: service.down of nginx'],
  },
  {
    is: 'something to know',
    alerts: [{ severity: 'info' }],
    verdict: 'healthy',
    reasons: ['disk-high: disk.percent of /data is 91.5 %, above 85 %'],
  },
  {
    is: 'away for a minute',
    agent: { ...offline, lastSeenAt: ago(1) },
    verdict: 'unknown',
    reasons: ['it is not connected'],
  },
  { is: 'away for ten minutes', agent: offline, verdict: 'unhealthy', reasons: ['it is not connected'] },
  {
    is: 'away for longer than this server runs',
    agent: offline,
    listening: 1,
    verdict: 'unknown',
    reasons: ['it is not connected'],
  },
  {
    is: 'away, and what it measured before is long ago',
    agent: offline,
    measured: 10,
    verdict: 'unhealthy',
    reasons: ['it is not connected'],
  },
  {
    is: 'never there',
    agent: { presence: 'offline', lastSeenAt: null, connectedAt: null },
    verdict: 'unknown',
    reasons: ['it was never connected'],
  },
  {
    is: 'connected and silent',
    measured: 3,
    verdict: 'unknown',
    reasons: ['it is connected and has measured nothing for 3m'],
  },
  {
    is: 'connected, silent, and with a warning',
    measured: 3,
    alerts: [{}],
    verdict: 'unknown',
    reasons: [
      'it is connected and has measured nothing for 3m',
      'disk-high: disk.percent of /data is 91.5 %, above 85 %',
    ],
  },
  {
    is: 'late with a heartbeat',
    agent: { presence: 'degraded' },
    verdict: 'degraded',
    reasons: ['it missed a heartbeat'],
  },
  {
    is: 'in maintenance, with something critical',
    agent: { maintenance: true, statusReason: 'new disk' },
    alerts: [{ severity: 'critical' }],
    verdict: 'degraded',
    reasons: ['it is in maintenance: new disk', 'disk-high: disk.percent of /data is 91.5 %, above 85 %'],
  },
  {
    is: 'in maintenance and away',
    agent: { ...offline, maintenance: true },
    verdict: 'unknown',
    reasons: ['it is not connected', 'it is in maintenance'],
  },
  {
    is: 'held because of a copy',
    agent: { ...offline, maintenance: true, held: { at: ago(9).toISOString(), reason: 'two copies' } },
    verdict: 'unhealthy',
    reasons: ['it is held until an operator decides: two copies', 'it is not connected'],
  },
  {
    is: 'revoked',
    agent: { ...offline, revoked: { at: ago(9).toISOString(), reason: 'stolen' } },
    verdict: 'unknown',
    reasons: ['it is revoked: stolen'],
  },
])('$is: $verdict', ({ agent, alerts = [], measured = 0.2, listening = 600, verdict, reasons }) => {
  const judged = judgeAgent(
    { ...well, ...agent },
    alerts.map((change) => ({ ...alert, ...change })),
    now - measured * minute,
    { ...circumstances, listeningSince: now - listening * minute },
  );
  expect({ verdict: judged.verdict, reasons: judged.reasons.map(({ text }) => text) }).toEqual({
    verdict,
    reasons,
  });
});

test('a reason has what is so, where it begins to be wrong, and since when', () => {
  const { reasons } = judgeAgent(
    { ...well, ...offline },
    [{ ...alert, severity: 'critical' }],
    undefined,
    circumstances,
  );
  expect(reasons).toMatchObject([
    { kind: 'offline', value: 600, threshold: 120, since: ago(10) },
    { kind: 'alert', value: 91.5, threshold: 85, since: ago(5), rule: 'disk-high', subject: '/data' },
  ]);
});

test('an agent that is connected and never measured anything is unknown', () => {
  expect(judgeAgent(well, [], undefined, circumstances)).toMatchObject({
    verdict: 'unknown',
    reasons: [{ kind: 'no_telemetry', text: 'it is connected and has measured nothing' }],
  });
});

const moments = fc.option(fc.integer({ min: 0, max: 1000 }).map(ago), { nil: null });
const anyAgent: fc.Arbitrary<AgentFacts> = fc.record({
  agentId: fc.constant('web-1'),
  site: fc.constant('berlin'),
  presence: fc.constantFrom('online', 'degraded', 'offline'),
  maintenance: fc.boolean(),
  statusReason: fc.option(fc.string(), { nil: null }),
  held: fc.option(fc.record({ at: fc.constant(ago(9).toISOString()), reason: fc.string() }), { nil: null }),
  revoked: fc.option(fc.record({ at: fc.constant(ago(9).toISOString()), reason: fc.string() }), {
    nil: null,
  }),
  connectedAt: moments,
  lastSeenAt: moments,
});
const anyAlert: fc.Arbitrary<AlertFacts> = fc.record({
  rule: fc.constant('a-rule'),
  subject: fc.string(),
  severity: fc.constantFrom('info', 'warning', 'critical'),
  metric: fc.constant('disk.percent'),
  comparison: fc.constantFrom('above', 'below'),
  threshold: fc.double({ noNaN: true }),
  value: fc.option(fc.double({ noNaN: true }), { nil: null }),
  state: fc.constantFrom('firing', 'acknowledged', 'silenced'),
  since: fc.integer({ min: 0, max: 1000 }).map(ago),
});
const measured = fc.option(
  fc.integer({ min: 0, max: 1000 }).map((minutes) => now - minutes * minute),
  {
    nil: undefined,
  },
);
const rank = (verdict: Verdict) => verdicts.indexOf(verdict);

test('one more alert never makes an agent better, and the verdict is that of its worst reason', () => {
  fc.assert(
    fc.property(anyAgent, fc.array(anyAlert), anyAlert, measured, (agent, alerts, more, at) => {
      const before = judgeAgent(agent, alerts, at, circumstances);
      const after = judgeAgent(agent, [...alerts, more], at, circumstances);
      expect(rank(after.verdict)).toBeGreaterThanOrEqual(rank(before.verdict));
      expect(rank(before.verdict)).toBe(Math.max(0, ...before.reasons.map(({ verdict }) => rank(verdict))));
      if (more.severity === 'critical' && more.state === 'firing' && !agent.maintenance)
        expect(after.verdict).toBe('unhealthy');
    }),
  );
});

test('an agent of which nothing new is known is never healthy', () => {
  fc.assert(
    fc.property(anyAgent, fc.array(anyAlert), measured, (agent, alerts, at) => {
      const { verdict } = judgeAgent(agent, alerts, at, circumstances);
      const known =
        agent.presence !== 'offline' && at !== undefined && now - at < circumstances.silentAfterMs;
      if (!known) expect(rank(verdict)).toBeGreaterThanOrEqual(rank('unknown'));
    }),
  );
});

test.each([
  [{}, 'unknown', 'there are no agents'],
  [{ healthy: 1 }, 'healthy', 'the one agent is healthy'],
  [{ healthy: 40 }, 'healthy', 'all 40 agents are healthy'],
  [{ healthy: 39, degraded: 1 }, 'degraded', '1 degraded of 40 agents'],
  [{ healthy: 37, unhealthy: 3 }, 'degraded', '3 unhealthy of 40 agents'],
  [{ healthy: 36, unhealthy: 4 }, 'unhealthy', '4 unhealthy of 40 agents'],
  [{ healthy: 2, unhealthy: 1 }, 'unhealthy', '1 unhealthy of 3 agents'],
  [{ healthy: 21, unknown: 19 }, 'degraded', '19 unknown of 40 agents'],
  [{ healthy: 20, unknown: 20 }, 'unknown', '20 unknown of 40 agents'],
  [{ healthy: 20, unknown: 18, unhealthy: 2 }, 'unknown', '2 unhealthy, 18 unknown of 40 agents'],
] as const)('agents %j are together %s: %s', (counts, verdict, text) => {
  const none = { healthy: 0, degraded: 0, unknown: 0, unhealthy: 0 };
  expect(judgeFleet({ ...none, ...counts })).toEqual({ verdict, text });
});

test('one agent that gets worse never makes all of them better', () => {
  const many = fc.integer({ min: 0, max: 30 });
  fc.assert(
    fc.property(
      fc.record({ healthy: many, degraded: many, unknown: many, unhealthy: many }),
      fc.constantFrom(...verdicts),
      fc.constantFrom(...verdicts),
      (counts, from, to) => {
        fc.pre(rank(from) < rank(to) && counts[from] > 0);
        const after = { ...counts, [from]: counts[from] - 1, [to]: counts[to] + 1 };
        expect(rank(judgeFleet(after).verdict)).toBeGreaterThanOrEqual(rank(judgeFleet(counts).verdict));
      },
    ),
  );
});
