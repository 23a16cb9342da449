import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { rowsLookedAt } from '../../test/support/plans.ts';
import { createTestDatabase, type TestDatabase } from '../../test/support/postgres.ts';
import {
  claimDeliveries,
  insertDelivery,
  listDeadLetters,
  listWebhooks,
  nextDeliveryAt,
  webhookFilters,
} from './alert-deliveries.ts';
import { listAlerts } from './alerts.ts';
import type { Database } from './database.ts';

/** What statements about alerts look at while much lies in their tables that is over. */

const over = 10_000;
const open = 40;
let database: TestDatabase;
let client: pg.Client;
const id = (number: number) => `01990000-0000-7000-8000-${String(number).padStart(12, '0')}`;
const query: Database['query'] = async ({ text }, values) => (await client.query(text, values)).rows;

beforeAll(async () => {
  database = await createTestDatabase();
  client = new pg.Client({ connectionString: database.url });
  await client.connect();
  // The open ones are the oldest.
  await client.query(
    `insert into alerts (alert_id, rule, agent_id, subject, site, severity, metric, comparison, threshold, state,
       seen_at, pending_since, resolved_at, told, updated_at)
     select ('01990000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, 'cpu', 'a-' || n, '', 'berlin', 'info',
       'cpu.percent', 'above', 1, case when n <= $2 then 'firing' else 'resolved' end, now(), now(),
       case when n > $2 then now() end, true, now()
     from generate_series(1, $1::int) n`,
    [over + open, open],
  );
  await client.query(
    `insert into alert_webhooks (name, webhook_id, url, sealed_secret, filter, created_by, created_at)
     select name, gen_random_uuid(), 'https://chat.example/', '', '{"minSeverity": "info"}', 'ada', now()
     from unnest('{calm,noisy}'::text[]) name`,
  );
  // The dead ones of the calm one are the oldest.
  await client.query(
    `insert into alert_deliveries (delivery_id, webhook, rule, site, body, state, next_at, created_at, ended_at)
     select ('01990000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid,
       case when n <= $2 then 'calm' else 'noisy' end, 'cpu', 'berlin', '{}',
       case when n <= $2 or n % 2 = 0 then 'dead' else 'delivered' end, now(), now(), now()
     from generate_series(1, $1::int) n`,
    [over + open, open],
  );
  await client.query('analyze alerts, alert_deliveries, alert_webhooks');
});
afterAll(async () => {
  await client.end();
  await database.drop();
});

test.each([
  ['of all', {}],
  ['of a site', { site: 'berlin', severities: ['info', 'critical'] }],
])('alerts that are open are listed without reading those that are resolved, %s', async (_, filter) => {
  const ids = async (before?: string) =>
    (await listAlerts(query, filter, before, 30)).map(({ alertId }) => alertId);
  expect((await ids()).slice(0, 2)).toEqual([id(open), id(open - 1)]);
  expect(await ids(id(open - 29))).toEqual(Array.from({ length: 10 }, (_, n) => id(10 - n)));
  for (const before of [undefined, id(20)])
    expect(await rowsLookedAt(client, (look) => listAlerts(look, filter, before, 30))).toBeLessThan(2 * open);
});

test('alerts of some states are listed', async () => {
  const listed = async (states: string[]) =>
    (await listAlerts(query, { states, rule: 'cpu' }, undefined, 2)).map(({ alertId }) => alertId);
  expect(await listed(['firing'])).toEqual([id(open), id(open - 1)]);
  expect(await listed(['resolved', 'firing'])).toEqual([id(over + open), id(over + open - 1)]);
});

test('dead letters are listed without reading other messages', async () => {
  const ids = async (webhook?: string, before?: string) =>
    (await listDeadLetters(query, webhook, before, 2)).map(({ deliveryId }) => deliveryId);
  expect(await ids('calm')).toEqual([id(open), id(open - 1)]);
  expect(await ids('calm', id(2))).toEqual([id(1)]);
  expect(await ids()).toEqual([id(over + open), id(over + open - 2)]);
  expect(await ids(undefined, id(open + 2))).toEqual([id(open), id(open - 1)]);
  for (const [webhook, before] of [['calm'], ['noisy', id(5000)], [], [undefined, id(5000)]])
    expect(await rowsLookedAt(client, (look) => listDeadLetters(look, webhook, before, 20))).toBeLessThan(
      100,
    );
});

test('who has to be told is found without counting what was given up', async () => {
  expect(await webhookFilters(query, 10)).toEqual([
    { name: 'calm', filter: { minSeverity: 'info' } },
    { name: 'noisy', filter: { minSeverity: 'info' } },
  ]);
  expect(await rowsLookedAt(client, (look) => webhookFilters(look, 10))).toBeLessThan(10);
  expect(await listWebhooks(query, undefined, 10)).toMatchObject([
    { name: 'calm', dead: open },
    { name: 'noisy', dead: over / 2 },
  ]);
});

test('the next message is one that can be claimed', async () => {
  const at = new Date('2030-01-01T00:00:00Z');
  const later = (ms: number) => new Date(at.getTime() + ms);
  const none: string[] = [];
  expect(await nextDeliveryAt(query, none)).toBeUndefined();
  const add = (number: number, webhook: string, rule: string, when: Date) =>
    insertDelivery(
      query,
      { deliveryId: id(900_000 + number), webhook, rule, site: 'x', body: '{}' },
      when,
      100,
    );
  // What comes after the first of its rule waits for it, however long that is.
  await add(1, 'noisy', 'disk', later(60_000));
  await add(2, 'noisy', 'disk', later(1000));
  expect(await nextDeliveryAt(query, none)).toEqual(later(60_000));
  expect(await claimDeliveries(query, later(50_000), later(90_000), none, 10)).toEqual([]);
  await add(3, 'calm', 'disk', later(20_000));
  expect(await nextDeliveryAt(query, none)).toEqual(later(20_000));
  expect(await nextDeliveryAt(query, ['calm'])).toEqual(later(60_000));
  expect(await nextDeliveryAt(query, ['calm', 'noisy'])).toBeUndefined();
  const claimed = await claimDeliveries(query, later(60_000), later(90_000), none, 10);
  expect(claimed.map(({ deliveryId }) => deliveryId).toSorted()).toEqual([id(900_001), id(900_003)]);
  expect(await nextDeliveryAt(query, none)).toEqual(later(90_000));
});
