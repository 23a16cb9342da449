import { expect, test } from 'vitest';
import { alertsOn, becomes, cpu, receiver, watched } from '../../test/support/alerts.ts';
import { startFileCore } from '../../test/support/app-core-file.ts';
import { statement } from '../storage/database.ts';
import { seededRules } from './rules.ts';
import type { Alert, RuleInput } from './types.ts';

/** What people do: rules, silences, taking care, webhooks. */

const { core } = await startFileCore();
const { clock } = core;
const minute = 60_000;
const page = { size: 100 };

async function firing(agentId: string, settings: Parameters<typeof alertsOn>[1] = {}) {
  const alerts = alertsOn(core, settings);
  await watched(core, agentId);
  const rule: RuleInput = {
    name: `cpu-of-${agentId}`,
    severity: 'critical',
    metric: 'cpu.percent',
    threshold: 80,
    selector: { agents: [agentId] },
  };
  await alerts.saveRule('ada', rule, undefined);
  const seen = async (value: number, late = false) => {
    clock.advance(minute);
    alerts.onStored([cpu(agentId, clock.now(), value, late)]);
    await alerts.look();
  };
  const one = async (): Promise<Alert> => {
    const states = ['pending', 'firing', 'acknowledged', 'silenced', 'resolved'] as const;
    const [alert] = (await alerts.list({ agentId, states }, page)).items;
    if (alert === undefined) throw new Error('no alert');
    return alert;
  };
  const tell = async () => {
    clock.advance(1000);
    await alerts.group();
    await alerts.deliver();
  };
  const hookOf = (hook: { url: string }, filter = {}) =>
    alerts.addWebhook('ada', { name: agentId, url: hook.url, filter: { rules: [rule.name], ...filter } });
  return { alerts, seen, one, tell, hookOf };
}

test('the rules of the system are made once: who deletes one does not get it again', async () => {
  const alerts = alertsOn(core);
  await alerts.start();
  const names = async () => (await alerts.listRules(page)).items.map(({ name }) => name);
  for (const { name } of seededRules) expect(await names()).toContain(name);
  expect(await alerts.getRule('disk-critical')).toMatchObject({
    threshold: 95,
    clearThreshold: 90,
    enabled: true,
  });
  await alerts.deleteRule('cpu-critical', 1);
  const again = alertsOn(core);
  await again.start();
  expect(await names()).not.toContain('cpu-critical');
});

test('rules have a revision, and are refused with what is wrong', async () => {
  const { alerts } = await firing('revised');
  const rule = {
    name: 'cpu-of-revised',
    severity: 'info',
    metric: 'cpu.percent',
    threshold: 5,
    selector: { agents: ['revised'] },
  } as const;
  await expect(alerts.saveRule('bea', rule, undefined)).rejects.toMatchObject({ code: 'revision_conflict' });
  await expect(alerts.saveRule('bea', rule, 7)).rejects.toMatchObject({ code: 'revision_conflict' });
  expect(await alerts.saveRule('bea', rule, 1)).toMatchObject({ revision: 2, updatedBy: 'bea' });
  await expect(alerts.saveRule('bea', { ...rule, name: 'none' }, 1)).rejects.toMatchObject({
    code: 'alert_rule_unknown',
  });
  await expect(alerts.saveRule('bea', { ...rule, metric: 'cpu' }, 2)).rejects.toThrow(
    /^metric: must be one of cpu/,
  );
  await expect(alerts.saveRule('bea', { ...rule, clearThreshold: 6 }, 2)).rejects.toThrow(
    /^clearThreshold: must be at most/,
  );
  const day = 86_400_000;
  await expect(alerts.saveRule('bea', { ...rule, forMs: 24 * day + 1 }, 2)).rejects.toThrow(
    /^forMs: must be whole milliseconds from 0 to 24 days$/,
  );
  const longest = { ...rule, forMs: 24 * day, clearForMs: 24 * day };
  expect(await alerts.saveRule('bea', longest, 2)).toMatchObject({ forMs: 24 * day, clearForMs: 24 * day });
  await expect(alerts.deleteRule('cpu-of-revised', 1)).rejects.toMatchObject({ code: 'revision_conflict' });
});

test('who acknowledges is named with a note, and it is resolved all the same', async () => {
  const { alerts, seen, one } = await firing('taken');
  await seen(90);
  const { alertId } = await one();
  const changed: string[] = [];
  alerts.onChanged((all) => changed.push(...all.map(({ state }) => state)));
  const taken = await alerts.acknowledge('ada', alertId, 'on my way');
  expect(taken).toMatchObject({ state: 'acknowledged', acknowledgedBy: 'ada', note: 'on my way' });
  await seen(95);
  expect((await one()).state).toBe('acknowledged');
  await seen(10);
  await expect(alerts.acknowledge('bea', alertId, '')).rejects.toMatchObject({ code: 'alert_state' });
  await expect(alerts.acknowledge('bea', crypto.randomUUID(), '')).rejects.toMatchObject({
    code: 'alert_unknown',
  });
  expect(await one()).toMatchObject({ state: 'resolved', acknowledgedBy: 'ada' });
  expect(changed).toEqual(['acknowledged', 'resolved']);
});

test('a silence keeps it from being told of until it ends by itself', async () => {
  const hook = await receiver();
  const { alerts, seen, one, tell, hookOf } = await firing('quiet');
  await hookOf(hook);
  await alerts.silence('ada', { of: { agentId: 'quiet' }, lifetimeMs: 10 * minute, reason: 'works' });
  await seen(90);
  await tell();
  expect([(await one()).state, hook.received.length]).toEqual(['silenced', 0]);
  clock.advance(10 * minute);
  await alerts.look();
  await tell();
  expect([(await one()).state, hook.received.length]).toEqual(['firing', 1]);
  expect((await alerts.listSilences(page)).items).toEqual([]);
  await alerts.removeWebhook('quiet');
});

test('a silence of an alert ends when somebody says so, and counts for that alert alone', async () => {
  const { alerts, seen, one } = await firing('muted');
  await seen(90);
  const { alertId } = await one();
  const silence = await alerts.silence('ada', { of: { alertId }, lifetimeMs: 60 * minute, reason: '' });
  expect(silence).toMatchObject({ rule: 'cpu-of-muted', agentId: 'muted', subject: '', site: undefined });
  await alerts.look();
  expect((await one()).state).toBe('silenced');
  expect(await alerts.endSilence('bea', silence.silenceId)).toMatchObject({ endedBy: 'bea' });
  await alerts.look();
  expect((await one()).state).toBe('firing');
  await expect(alerts.endSilence('bea', silence.silenceId)).rejects.toMatchObject({
    code: 'silence_unknown',
  });
  await expect(alerts.silence('ada', { of: {}, lifetimeMs: minute, reason: '' })).rejects.toThrow(/^of: /);
});

test('nobody is told of an agent in maintenance, until it is over', async () => {
  const hook = await receiver();
  const { alerts, seen, one, tell, hookOf } = await firing('resting');
  await hookOf(hook);
  await becomes(core, 'resting', { maintenance: true });
  await seen(90);
  await tell();
  expect([(await one()).state, hook.received.length]).toEqual(['silenced', 0]);
  await becomes(core, 'resting', { maintenance: false });
  await alerts.look();
  await tell();
  expect(hook.received).toHaveLength(1);
  await alerts.removeWebhook('resting');
});

test('what was measured while the agent was cut off is told of only if it is so still', async () => {
  const hook = await receiver();
  const { alerts, seen, one, tell, hookOf } = await firing('cut-off');
  await hookOf(hook);
  await seen(90, true);
  await tell();
  await seen(10, true);
  await tell();
  expect([(await one()).state, hook.received.length]).toEqual(['resolved', 0]);
  await seen(90, true);
  await seen(91);
  await tell();
  expect(hook.received).toHaveLength(1);
  await alerts.removeWebhook('cut-off');
});

test('a message is tried again with waits, given up, listed, and tried again when somebody says so', async () => {
  let status = 500;
  const hook = await receiver(() => status);
  const { alerts, seen, tell, hookOf } = await firing('stubborn', {
    attempts: 3,
    retry: { baseMs: 5000, maximumMs: 60_000 },
  });
  await hookOf(hook);
  await seen(90);
  await tell();
  expect(hook.received).toHaveLength(1);
  expect(await alerts.deliver()).toBe(0);
  clock.advance(2400);
  expect(await alerts.deliver()).toBe(0);
  clock.advance(2600);
  expect(await alerts.deliver()).toBe(1);
  // Its end waits behind it.
  await seen(10);
  clock.advance(1000);
  await alerts.group();
  expect(await alerts.listWebhooks(page)).toMatchObject({
    items: [{ name: 'stubborn', waiting: 2, dead: 0 }],
  });
  clock.advance(10_000);
  // The third attempt is the last one; then it is the turn of what comes after it.
  expect(await alerts.deliver()).toBe(2);
  const { items } = await alerts.listDeadLetters('stubborn', page);
  expect(items).toMatchObject([{ attempts: 3, lastError: 'it answered 500', rule: 'cpu-of-stubborn' }]);
  const ids = hook.received.map(({ headers }) => headers['webhook-id']);
  expect(new Set(ids.slice(0, 3))).toEqual(new Set([items[0]?.deliveryId]));
  status = 204;
  expect(await alerts.retryDeadLetters({ webhook: 'stubborn' })).toBe(1);
  clock.advance(60_000);
  await alerts.deliver();
  expect(await alerts.listWebhooks(page)).toMatchObject({ items: [{ waiting: 0, dead: 0 }] });
  await expect(alerts.retryDeadLetters({ deliveryId: items[0]?.deliveryId ?? '' })).rejects.toMatchObject({
    code: 'dead_letter_unknown',
  });
  await alerts.removeWebhook('stubborn');
});

test('redirects are not followed, and 410 is final', async () => {
  const hook = await receiver(({ path }, count) => (path === '/elsewhere' ? 204 : count === 1 ? 302 : 410));
  const { alerts, seen, tell, hookOf } = await firing('redirected');
  await hookOf(hook);
  await seen(90);
  await tell();
  clock.advance(10_000);
  await alerts.deliver();
  expect(hook.received.map(({ path }) => path)).toEqual(['/hook', '/hook']);
  expect((await alerts.listDeadLetters('redirected', page)).items).toMatchObject([
    { lastError: 'it answered 410' },
  ]);
  await alerts.removeWebhook('redirected');
});

test('a webhook is told of what its filter says', async () => {
  const hook = await receiver();
  const { alerts, seen, tell, hookOf } = await firing('filtered');
  await hookOf(hook, { sites: ['paris'] });
  await seen(90);
  await tell();
  expect(hook.received).toHaveLength(0);
  await alerts.removeWebhook('filtered');
});

test('a test is sent at once and says what came of it', async () => {
  const hook = await receiver((_request, count) => (count === 1 ? 200 : 503));
  const alerts = alertsOn(core);
  await alerts.addWebhook('ada', { name: 'tried', url: hook.url });
  expect(await alerts.testWebhook('tried')).toMatchObject({ delivered: true, status: 200, error: undefined });
  expect(await alerts.testWebhook('tried')).toMatchObject({
    delivered: false,
    status: 503,
    error: 'it answered 503',
  });
  expect(JSON.parse(hook.received[0]?.body ?? '')).toMatchObject({ type: 'test' });
  await expect(alerts.testWebhook('nobody')).rejects.toMatchObject({ code: 'webhook_unknown' });
  await alerts.removeWebhook('tried');
});

test('the secret is not in the database, and opens for the address that it was saved for alone', async () => {
  const hook = await receiver();
  const other = await receiver();
  const alerts = alertsOn(core);
  const { secret } = await alerts.addWebhook('ada', { name: 'sealed', url: hook.url });
  const dump = statement('test_dump', `select encode(sealed_secret, 'escape') as text from alert_webhooks`);
  const [row] = await core.database.query<{ text: string }>(dump, []);
  expect(row?.text).not.toContain(secret.slice(6, 30));
  await core.database.query(statement('test_move', 'update alert_webhooks set url = $1'), [other.url]);
  expect(await alerts.testWebhook('sealed')).toMatchObject({ delivered: false });
  expect(other.received).toHaveLength(0);
  await alerts.removeWebhook('sealed');
});

test.each([
  ['http://example.com/hook', 'must be https'],
  ['ftp://example.com', 'must be a URL with https'],
  ['https://ada:secret@example.com/', 'must not have a name or password'],
  ['hook', 'must be a URL'],
])('%s is no address of a webhook', async (url, problem) => {
  const alerts = alertsOn(core);
  await expect(alerts.addWebhook('ada', { name: 'bad', url })).rejects.toThrow(`url: ${problem}`);
  await expect(
    alerts.addWebhook('ada', { name: 'bad', url: 'https://chat.example/', secret: 'whsec_c2hvcnQ=' }),
  ).rejects.toThrow('secret: must be whsec_');
});

test('a clock that was ahead and is set back makes nobody blind', async () => {
  const { seen, one, alerts } = await firing('ahead');
  const hours = 3 * 60 * minute;
  clock.advance(hours);
  await seen(90);
  expect((await one()).state).toBe('firing');
  clock.advance(-hours);
  await seen(10);
  await seen(10);
  expect((await one()).state).toBe('resolved');
  await seen(95);
  expect((await alerts.list({ agentId: 'ahead', states: ['firing'] }, page)).items).toHaveLength(1);
});
