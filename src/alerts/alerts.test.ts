import { createHmac } from 'node:crypto';
import { expect, test } from 'vitest';
import { alertsOn, becomes, cpu, receiver, watched } from '../../test/support/alerts.ts';
import { startFileCore } from '../../test/support/app-core-file.ts';
import type { RuleInput } from './types.ts';

const { core } = await startFileCore();
const { clock } = core;
const minute = 60_000;
const page = { size: 100 };

/** Of one test alone. */
const ruleFor = (agents: string[], change: Partial<RuleInput> = {}): RuleInput => ({
  name: `cpu-of-${agents[0]}`,
  severity: 'warning',
  metric: 'cpu.percent',
  threshold: 80,
  clearThreshold: 70,
  forMs: 2 * minute,
  selector: { agents },
  ...change,
});

test('a rule, a value past it, an alert that is stored, a webhook that is told, signed', async () => {
  const alerts = alertsOn(core);
  const hook = await receiver();
  await watched(core, 'web-1');
  await alerts.saveRule('ada', ruleFor(['web-1']), undefined);
  const { secret } = await alerts.addWebhook('ada', { name: 'slice', url: hook.url });
  const seen = async (usedPercent: number) => {
    clock.advance(minute);
    alerts.onStored([cpu('web-1', clock.now(), usedPercent)]);
    await alerts.look();
  };
  const states = async () =>
    (await alerts.list({ agentId: 'web-1', states: ['pending', 'firing', 'resolved'] }, page)).items.map(
      ({ state }) => state,
    );
  await seen(90);
  expect(await states()).toEqual(['pending']);
  await seen(91);
  await seen(92);
  expect(await states()).toEqual(['firing']);
  // It waits for more of the same.
  expect(await alerts.group()).toBe(0);
  clock.advance(1000);
  expect(await alerts.group()).toBe(1);
  expect(await alerts.deliver()).toBe(1);
  const [first] = hook.received;
  const body = JSON.parse(first?.body ?? '');
  expect(body).toMatchObject({
    type: 'alerts',
    rule: 'cpu-of-web-1',
    site: 'berlin',
    severity: 'warning',
    summary: 'cpu-of-web-1: web-1: cpu.percent is 92 %, above 80 % (berlin)',
    firingCount: 1,
    resolvedCount: 0,
    firing: [{ agentId: 'web-1', value: 92, threshold: 80 }],
  });
  const headers = first?.headers ?? {};
  const signed = `${headers['webhook-id']}.${headers['webhook-timestamp']}.${first?.body}`;
  const key = Buffer.from(secret.replace('whsec_', ''), 'base64');
  const expected = createHmac('sha256', key).update(signed).digest('base64');
  expect(headers['webhook-signature']).toBe(`v1,${expected}`);
  expect(headers['webhook-id']).toBe(body.id);
  expect(Number(headers['webhook-timestamp'])).toBe(Math.floor(clock.now() / 1000));
  // Its end is told too, and nothing twice.
  await seen(60);
  clock.advance(1000);
  expect(await alerts.group()).toBe(1);
  await alerts.deliver();
  expect(JSON.parse(hook.received[1]?.body ?? '')).toMatchObject({ firingCount: 0, resolvedCount: 1 });
  expect(await alerts.deliver()).toBe(0);
  expect(await states()).toEqual(['resolved']);
  await alerts.removeWebhook('slice');
});

test('a site that goes down is one message', async () => {
  const alerts = alertsOn(core);
  const hook = await receiver();
  await alerts.start();
  const agents = Array.from({ length: 300 }, (_, index) => `paris-${index}`);
  for (const agentId of agents) await watched(core, agentId, 'paris');
  await alerts.addWebhook('ada', { name: 'site', url: hook.url, filter: { sites: ['paris'] } });
  for (const agentId of agents) {
    await becomes(core, agentId, { presence: 'offline' });
    alerts.onAgent(agentId);
  }
  await alerts.look();
  clock.advance(2 * minute);
  await alerts.look();
  const { items } = await alerts.list({ site: 'paris', states: ['firing'] }, { size: 1000 });
  expect(items).toHaveLength(300);
  clock.advance(1000);
  await alerts.group();
  await alerts.deliver();
  await hook.until(1);
  expect(hook.received).toHaveLength(1);
  const body = JSON.parse(hook.received[0]?.body ?? '');
  expect(body).toMatchObject({ rule: 'agent-offline', site: 'paris', firingCount: 300 });
  expect(body.firing).toHaveLength(50);
  expect(body.summary).toBe('agent-offline: 300 firing on 300 agents (paris)');
  await alerts.removeWebhook('site');
});
