import fc from 'fast-check';
import { expect, test } from 'vitest';
import { readerOf } from '../../test/support/stream-reader.ts';
import type { Alert, AlertState, Severity } from '../alerts/types.ts';
import type { Agent, AgentStatus } from '../registry/types.ts';
import { createMirror, sameBut } from './mirror.ts';
import { alertSource } from './sources.ts';
import type { LiveAlertsRequest } from './types.ts';

/** Alerts of agents that come and go, for readers of any speed that may see some of them. */

const epoch = 'here';
const alertAt = (alertId: string, site: string, state: AlertState, severity: Severity = 'warning'): Alert =>
  ({ alertId, agentId: alertId.slice(0, 1), site, state, severity, rule: 'cpu' }) as unknown as Alert;
const agentIs = (agentId: string, status: AgentStatus): Agent =>
  ({ agentId, site: 'here', labels: {}, capabilities: [], status }) as unknown as Agent;

const who = fc.constantFrom('a', 'b', 'c');
const step = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('alert' as const),
      agentId: who,
      which: fc.constantFrom('1', '2'),
      site: fc.constantFrom('here', 'there'),
      state: fc.constantFrom<AlertState | undefined>('pending', 'firing', 'resolved', undefined),
      severity: fc.constantFrom<Severity>('info', 'critical'),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('agent' as const),
      agentId: who,
      status: fc.constantFrom<AgentStatus | undefined>('online', 'offline', undefined),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant('read' as const), count: fc.integer({ min: 1, max: 4 }) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('cut' as const) }) },
);

function world(alertChanges: number, agentChanges: number) {
  return {
    alerts: createMirror<Alert>({
      capacity: alertChanges,
      same: sameBut(),
      isOver: ({ state }) => state === 'resolved',
    }),
    agents: createMirror<Agent>({ capacity: agentChanges, same: sameBut() }),
  };
}

const online: LiveAlertsRequest = { selector: { statuses: ['online'] } };
const requests: [string, LiveAlertsRequest, (alert: Alert) => boolean][] = [
  ['all', online, () => true],
  ['those of a site', { ...online, sites: ['here'] }, ({ site }) => site === 'here'],
  ['those that fire', { ...online, states: ['firing'] }, ({ state }) => state === 'firing'],
  [
    'those that are severe',
    { ...online, minSeverity: 'critical' },
    ({ severity }) => severity === 'critical',
  ],
];

test.each(
  requests.flatMap(([what, request, concerns]) => [
    { what, how: 'logs that are far too small', capacity: 3, request, concerns },
    { what, how: 'logs that hold everything', capacity: 1000, request, concerns },
  ]),
)(
  'who sees $what of agents that are online ends with those, and is told of no other: with $how',
  async ({ capacity, request, concerns }) => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 60, size: 'max' }),
        fc.integer({ min: 1, max: 3 }),
        async (steps, most) => {
          const { alerts, agents } = world(capacity, capacity);
          const reader = readerOf(alertSource(epoch, alerts, agents, request, most), most, (a) => a.alertId);
          for (const each of steps) {
            if (each.do === 'read') await reader.read(each.count);
            else if (each.do === 'cut') await reader.cut();
            else if (each.do === 'agent')
              agents.put(each.agentId, each.status && agentIs(each.agentId, each.status));
            else {
              const { agentId, which, site, state, severity } = each;
              const alertId = agentId + which;
              alerts.put(alertId, state && alertAt(alertId, site, state, severity));
            }
          }
          await reader.read(1000);
          const truth = [...alerts.values()].filter(
            (alert) => concerns(alert) && agents.get(alert.agentId)?.status === 'online',
          );
          const unresolved = [...reader.known.values()].filter(({ state }) => state !== 'resolved');
          const byId = (one: Alert, other: Alert) => one.alertId.localeCompare(other.alertId);
          expect(unresolved.sort(byId)).toEqual(truth.sort(byId));

          let known = new Set<string>();
          for (const { shown, gone, snapshot } of reader.events) {
            if (snapshot?.part === 1) known = new Set();
            expect(shown.filter((alert) => !concerns(alert))).toEqual([]);
            // An alert that was never shown is never called gone.
            expect(gone.filter((alertId) => !known.has(alertId))).toEqual([]);
            for (const alertId of gone) known.delete(alertId);
            for (const { alertId } of shown) known.add(alertId);
            // All of an agent are told together.
            expect(shown.length + gone.length).toBeLessThanOrEqual(Math.max(most, 2));
          }
        },
      ),
    );
  },
);

test('alerts of many agents that come back are told in pieces', async () => {
  const { alerts, agents } = world(10_000, 10_000);
  const names = Array.from({ length: 1200 }, (_, n) => `agent-${n}`);
  for (const name of names) {
    agents.put(name, agentIs(name, 'offline'));
    alerts.put(name, { ...alertAt(name, 'here', 'firing'), agentId: name });
  }
  const reader = readerOf(alertSource(epoch, alerts, agents, online), 500, ({ alertId }) => alertId);
  await reader.read(1);
  for (const name of names) agents.put(name, agentIs(name, 'online'));
  await reader.read(10);
  expect(reader.events.map(({ shown }) => shown.length)).toEqual([0, 500, 500, 200]);
  expect(reader.known.size).toBe(1200);
});

test('changes of alerts are told while agents come and go all the time', async () => {
  const { alerts, agents } = world(1000, 1000);
  agents.put('a', agentIs('a', 'online'));
  const reader = readerOf(alertSource(epoch, alerts, agents, online), 10, ({ alertId }) => alertId);
  await reader.read(1);
  agents.put('b', agentIs('b', 'offline'));
  alerts.put('b1', alertAt('b1', 'here', 'firing'));
  await reader.read(1);
  agents.put('b', agentIs('b', 'online'));
  alerts.put('a1', alertAt('a1', 'here', 'firing'));
  await reader.read(1);
  expect([...reader.known.keys()].sort()).toEqual(['a1', 'b1']);
});
