import { expect, test } from 'vitest';
import { alertsOn, becomes, cpu, receiver, sampleOf, watched } from '../../test/support/alerts.ts';
import { startFileCore } from '../../test/support/app-core-file.ts';
import { ViworksError } from '../errors.ts';
import { createAlerts } from './alerts.ts';
import type { RuleInput } from './types.ts';

/** What is known survives the instance; nothing is told twice, and nothing is forgotten. */

const { core } = await startFileCore();
const { clock } = core;
const minute = 60_000;

const ruleOf = (agentId: string, change: Partial<RuleInput> = {}): RuleInput => ({
  name: `cpu-of-${agentId}`,
  severity: 'critical',
  metric: 'cpu.percent',
  threshold: 80,
  selector: { agents: [agentId] },
  ...change,
});

const all = ['pending', 'firing', 'acknowledged', 'silenced', 'resolved'] as const;
const alertsOf = async (alerts: Pick<ReturnType<typeof alertsOn>, 'list'>, agentId: string) =>
  (await alerts.list({ agentId, states: all }, { size: 100 })).items;

/** Sends what is to be told, as far as it goes without waiting. */
async function tell(alerts: Pick<ReturnType<typeof alertsOn>, 'group' | 'deliver'>): Promise<void> {
  clock.advance(1000);
  await alerts.group();
  await alerts.deliver();
}

test('a duration goes on over a restart, also one that is longer than a gap', async () => {
  await watched(core, 'slow');
  const first = alertsOn(core);
  await first.saveRule('ada', ruleOf('slow', { forMs: 40 * minute }), undefined);
  const seen = async (alerts: typeof first, times: number) => {
    for (let count = 0; count < times; count++) {
      clock.advance(minute);
      alerts.onStored([cpu('slow', clock.now(), 90)]);
      await alerts.look();
    }
  };
  await seen(first, 30);
  const [pending] = await alertsOf(first, 'slow');
  expect(pending?.state).toBe('pending');
  // It is not stopped: it is gone.
  const second = alertsOn(core);
  await seen(second, 10);
  expect((await alertsOf(second, 'slow')).map(({ state }) => state)).toEqual(['pending']);
  await seen(second, 1);
  expect(await alertsOf(second, 'slow')).toMatchObject([{ alertId: pending?.alertId, state: 'firing' }]);
});

test('what fires is told once, whoever tells it, and its end too', async () => {
  const hook = await receiver();
  await watched(core, 'once');
  const instances = [alertsOn(core), alertsOn(core), alertsOn(core), alertsOn(core)] as const;
  const [first, second, third, fourth] = instances;
  await first.saveRule('ada', ruleOf('once'), undefined);
  await first.addWebhook('ada', { name: 'once', url: hook.url, filter: { rules: ['cpu-of-once'] } });
  clock.advance(1000);
  first.onStored([cpu('once', clock.now(), 90)]);
  await first.look();
  // The event is there, and its instance is not.
  await tell(second);
  expect(hook.received).toHaveLength(1);
  for (const later of [second, third]) {
    clock.advance(minute);
    later.onStored([cpu('once', clock.now(), 91)]);
    await later.look();
    await tell(later);
  }
  expect(hook.received).toHaveLength(1);
  fourth.onStored([cpu('once', clock.now(), 10)]);
  await fourth.look();
  await tell(fourth);
  await tell(third);
  expect(
    hook.received.map(({ body }) => JSON.parse(body)).map((m) => [m.firingCount, m.resolvedCount]),
  ).toEqual([
    [1, 0],
    [0, 1],
  ]);
  await first.removeWebhook('once');
});

test.each(['before', 'after'] as const)(
  'a commit that is lost %s it happened changes nothing',
  async (when) => {
    const agentId = `lost-${when}`;
    const hook = await receiver();
    await watched(core, agentId);
    let broken = 0;
    const { database, metrics } = core;
    const alerts = createAlerts({
      database: {
        ...database,
        async transaction(work) {
          const away = new ViworksError('database_unavailable', 'The database cannot be reached now.');
          if (broken > 0 && when === 'before') {
            broken -= 1;
            throw away;
          }
          const result = await database.transaction(work);
          if (broken === 0) return result;
          broken -= 1;
          throw away;
        },
      },
      box: { seal: (_context, content) => content, open: (_context, sealed) => sealed },
      clock,
      log: (await import('../lib/logger.ts')).silentLogger,
      metrics,
      audit: core.audit.trail,
      settings: { keepMs: 0, quietMs: 1000, windowMs: 5000 },
    });
    await alerts.saveRule('ada', ruleOf(agentId), undefined);
    const filter = { rules: [`cpu-of-${agentId}`] };
    await alerts.addWebhook('ada', { name: agentId, url: hook.url, filter });
    await alerts.look();
    for (const value of [90, 10, 95]) {
      clock.advance(minute);
      alerts.onStored([cpu(agentId, clock.now(), value)]);
      broken = 2;
      await expect(alerts.look()).rejects.toThrow('cannot be reached');
      broken = 0;
      await alerts.look();
    }
    expect((await alertsOf(alerts, agentId)).map(({ state }) => state)).toEqual(['firing', 'resolved']);
    await tell(alerts);
    const told = hook.received.map(({ body }) => JSON.parse(body));
    expect(told.map((m) => [m.firingCount, m.resolvedCount])).toEqual([[1, 1]]);
    await alerts.removeWebhook(agentId);
    await alerts.stop();
  },
);

test('while the database is away the newest of each agent is kept, and no agent waits', async () => {
  await watched(core, 'flood');
  await watched(core, 'calm');
  const alerts = alertsOn(core);
  await alerts.saveRule('ada', ruleOf('calm'), undefined);
  const start = clock.now();
  alerts.onStored([cpu('calm', start, 99)]);
  for (let batch = 0; batch < 60; batch++) {
    alerts.onStored(
      Array.from({ length: 1000 }, (_, index) => cpu('flood', start + batch * 1000 + index, 1)),
    );
  }
  await alerts.look();
  expect((await alertsOf(alerts, 'calm')).map(({ state }) => state)).toEqual(['firing']);
  const skipped = /viworks_alert_samples_skipped_total (\d+)/.exec(await core.metrics.render())?.[1];
  expect(Number(skipped)).toBeGreaterThan(40_000);
});

test('what is gone is resolved: its rule, its agent, what it was about', async () => {
  const alerts = alertsOn(core);
  await watched(core, 'gone-1');
  await watched(core, 'gone-2');
  const services = (names: string[]) => ({ services: names.map((name) => ({ name, state: 'failed' })) });
  const rule = { name: 'services', severity: 'info', metric: 'service.down', threshold: 0 } as const;
  await alerts.saveRule('ada', rule, undefined);
  clock.advance(1000);
  alerts.onStored([
    sampleOf('gone-1', clock.now(), services(['nginx', 'cron\u0000', 'x'.repeat(255)])),
    sampleOf('gone-2', clock.now(), services(['nginx'])),
  ]);
  await alerts.look();
  const subjects = async (state: 'firing' | 'resolved') =>
    (await alerts.list({ rule: 'services', states: [state] }, { size: 100 })).items
      .map(({ agentId, subject, reason }) => [agentId, subject.slice(0, 5), reason])
      .toSorted();
  expect(await subjects('firing')).toEqual([
    ['gone-1', 'cron\ufffd', undefined],
    ['gone-1', 'nginx', undefined],
    ['gone-1', 'xxxxx', undefined],
    ['gone-2', 'nginx', undefined],
  ]);
  clock.advance(minute);
  alerts.onStored([sampleOf('gone-1', clock.now(), services(['nginx']))]);
  await becomes(core, 'gone-2', { revoked: true });
  alerts.onAgent('gone-2');
  await alerts.look();
  expect(await subjects('resolved')).toEqual([
    ['gone-1', 'cron\ufffd', 'it is not there any more'],
    ['gone-1', 'xxxxx', 'it is not there any more'],
    ['gone-2', 'nginx', 'the agent is not there any more'],
  ]);
  await alerts.saveRule('ada', { ...rule, enabled: false }, 1);
  await alerts.look();
  expect(await subjects('firing')).toEqual([]);
  expect(await subjects('resolved')).toContainEqual(['gone-1', 'nginx', 'the rule does not apply any more']);
  await alerts.deleteRule('services', 2);
});
