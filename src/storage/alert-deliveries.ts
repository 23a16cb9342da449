import type { AlertEventRow } from './alerts.ts';
import { type Database, statement } from './database.ts';

/** Webhooks, and the messages that wait for them. */
export interface WebhookRow {
  name: string;
  webhookId: string;
  url: string;
  sealedSecret: Uint8Array;
  filter: unknown;
  createdBy: string;
  createdAt: Date;
}

type Query = Database['query'];

const columns = `name, webhook_id as "webhookId", url, sealed_secret as "sealedSecret", filter,
  created_by as "createdBy", created_at as "createdAt"`;
const counts = `(select count(*)::int from alert_deliveries d where d.webhook = w.name and d.state = 'waiting') as waiting,
  (select count(*)::int from alert_deliveries d where d.webhook = w.name and d.state = 'dead') as dead`;

const list = statement(
  'alert_webhooks_list',
  `select ${columns}, ${counts} from alert_webhooks w where ($1::text is null or name > $1) order by name limit $2`,
);

export type CountedWebhookRow = WebhookRow & { waiting: number; dead: number };

/** By name; `after` is the last name of the page before. */
export const listWebhooks = (query: Query, after: string | undefined, limit: number) =>
  query<CountedWebhookRow>(list, [after, limit]);

// Nothing is counted here: it runs for each group of events.
const filters = statement(
  'alert_webhooks_filters',
  'select name, filter from alert_webhooks order by name limit $1',
);

/** Who may have to be told. */
export const webhookFilters = (query: Query, limit: number) =>
  query<Pick<WebhookRow, 'name' | 'filter'>>(filters, [limit]);

const byName = statement('alert_webhooks_by_name', `select ${columns} from alert_webhooks where name = $1`);

export async function findWebhook(query: Query, name: string): Promise<WebhookRow | undefined> {
  const [row] = await query<WebhookRow>(byName, [name]);
  return row;
}

const insert = statement(
  'alert_webhooks_insert',
  `insert into alert_webhooks (name, webhook_id, url, sealed_secret, filter, created_by, created_at)
   select $1, $2, $3, $4, $5::jsonb, $6, $7 where (select count(*) from alert_webhooks) < $8
   on conflict (name) do nothing returning name`,
);

/** False where there is one of that name, or there are as many as there may be. */
export async function insertWebhook(query: Query, row: WebhookRow, maximum: number): Promise<boolean> {
  const { name, webhookId, url, sealedSecret, filter, createdBy, createdAt } = row;
  const values = [
    name,
    webhookId,
    url,
    Buffer.from(sealedSecret),
    JSON.stringify(filter),
    createdBy,
    createdAt,
  ];
  return (await query(insert, [...values, maximum])).length > 0;
}

const remove = statement(
  'alert_webhooks_delete',
  'delete from alert_webhooks where name = $1 returning name',
);

/** With all that waits for it. False if there is none. */
export const deleteWebhook = async (query: Query, name: string): Promise<boolean> =>
  (await query(remove, [name])).length > 0;

const ripe = statement(
  'alert_events_ripe',
  `select rule, site from alert_events group by rule, site
   having max(created_at) <= $1 or min(created_at) <= $2 order by min(created_at) limit $3`,
);

/** Groups of which nothing came since `quietSince`, or whose oldest is from `oldest` or before. */
export const ripeGroups = (query: Query, quietSince: Date, oldest: Date, limit: number) =>
  query<{ rule: string; site: string }>(ripe, [quietSince, oldest, limit]);

const nextRipe = statement(
  'alert_events_next',
  `select min(at) as at from (
     select least(max(created_at) + $1 * interval '1 ms', min(created_at) + $2 * interval '1 ms') as at
     from alert_events group by rule, site) g`,
);

/** When the next group is to be told; undefined where there is none. */
export async function nextRipeAt(query: Query, quietMs: number, windowMs: number): Promise<Date | undefined> {
  const [row] = await query<{ at: Date | null }>(nextRipe, [quietMs, windowMs]);
  return row?.at ?? undefined;
}

const take = statement(
  'alert_events_take',
  `delete from alert_events where event_id in (
     select event_id from alert_events where rule = $1 and site = $2 order by event_id limit $3
     for update skip locked)
   returning event_id as "eventId", rule, site, kind, alert, created_at as "createdAt"`,
);

/** Takes the events of a group away; they come in no order. */
export const takeEvents = (query: Query, rule: string, site: string, limit: number) =>
  query<AlertEventRow>(take, [rule, site, limit]);

export interface DeliveryRow {
  deliveryId: string;
  webhook: string;
  rule: string;
  site: string;
  body: string;
  attempts: number;
}

const add = statement(
  'alert_deliveries_insert',
  `insert into alert_deliveries (delivery_id, webhook, rule, site, body, state, next_at, last_error, created_at, ended_at)
   select $1, $2, $3, $4, $5, case when full_ then 'dead' else 'waiting' end, $6,
     case when full_ then 'too many messages wait for this webhook' end, $6, case when full_ then $6::timestamptz end
   from (select count(*) >= $7 as full_ from alert_deliveries where webhook = $2 and state = 'waiting') w`,
);

/** Where as many wait for the webhook as may, it is given up at once. */
export async function insertDelivery(
  query: Query,
  row: Omit<DeliveryRow, 'attempts'>,
  at: Date,
  maximum: number,
): Promise<void> {
  await query(add, [row.deliveryId, row.webhook, row.rule, row.site, row.body, at, maximum]);
}

/** Messages of one rule and site go to a webhook in order, so only the oldest is due; except those of some webhooks. */
const first = (except: string) => `state = 'waiting' and webhook <> all(${except}::text[])
       and not exists (
         select 1 from alert_deliveries b
         where b.webhook = c.webhook and b.rule = c.rule and b.site = c.site and b.state = 'waiting'
           and b.delivery_id < c.delivery_id)`;

const claim = statement(
  'alert_deliveries_claim',
  `update alert_deliveries d set attempts = d.attempts + 1, next_at = $2
   from (
     select delivery_id from alert_deliveries c
     where next_at <= $1 and ${first('$3')}
     order by next_at limit $4 for update skip locked
   ) x
   where d.delivery_id = x.delivery_id
   returning d.delivery_id as "deliveryId", webhook, rule, site, body, attempts`,
);

/**
 * Some that are due, except those of these webhooks; of one rule and site only the oldest, so that they come in order.
 * They are due again at `lostAt`, unless it is said before how they ended.
 */
export const claimDeliveries = (
  query: Query,
  now: Date,
  lostAt: Date,
  except: readonly string[],
  limit: number,
) => query<DeliveryRow>(claim, [now, lostAt, except, limit]);

const settle = statement(
  'alert_deliveries_settle',
  `update alert_deliveries set state = $3, next_at = $4, last_error = $5,
     ended_at = case when $3 <> 'waiting' then $6::timestamptz end
   where delivery_id = $1 and attempts = $2 and state = 'waiting'`,
);

/** How an attempt ended. */
export async function settleDelivery(
  query: Query,
  { deliveryId, attempts }: Pick<DeliveryRow, 'deliveryId' | 'attempts'>,
  outcome: { state: 'waiting' | 'delivered' | 'dead'; nextAt: Date; error: string | undefined },
  at: Date,
): Promise<void> {
  await query(settle, [deliveryId, attempts, outcome.state, outcome.nextAt, outcome.error, at]);
}

const nextDue = statement(
  'alert_deliveries_next',
  `select min(next_at) as at from alert_deliveries c where ${first('$1')}`,
);

/** When there is something to claim, except for these webhooks; undefined where nothing waits. */
export async function nextDeliveryAt(query: Query, except: readonly string[]): Promise<Date | undefined> {
  const [row] = await query<{ at: Date | null }>(nextDue, [except]);
  return row?.at ?? undefined;
}

export interface DeadLetterRow extends DeliveryRow {
  lastError: string | null;
  createdAt: Date;
  endedAt: Date;
}

// Webhook by webhook, each from its newest dead letter on as far as it is needed. With an equation for the webhook and
// the order of the ids alone, a plan may go through all messages by their ids instead.
const dead = statement(
  'alert_deliveries_dead',
  `select d.* from alert_webhooks w cross join lateral (
     select delivery_id as "deliveryId", webhook, rule, site, body, attempts, last_error as "lastError",
       created_at as "createdAt", ended_at as "endedAt"
     from alert_deliveries
     where state = 'dead' and webhook >= w.name
       and (webhook, delivery_id) < (w.name, coalesce($2::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
     order by webhook desc, delivery_id desc limit $3) d
   where $1::text is null or w.name = $1
   order by d."deliveryId" desc limit $3`,
);

/** The newest first; `before` is the last id of the page before. */
export const listDeadLetters = (
  query: Query,
  webhook: string | undefined,
  before: string | undefined,
  limit: number,
) => query<DeadLetterRow>(dead, [webhook, before, limit]);

const revive = statement(
  'alert_deliveries_revive',
  `update alert_deliveries set state = 'waiting', attempts = 0, next_at = $3, ended_at = null
   where state = 'dead' and ($1::uuid is null or delivery_id = $1) and ($2::text is null or webhook = $2)
   returning delivery_id`,
);

/** Lets them wait again; answers with how many. @param of one of the two is set */
export const retryDead = async (
  query: Query,
  of: { deliveryId?: string | undefined; webhook?: string | undefined },
  at: Date,
): Promise<number> => (await query(revive, [of.deliveryId, of.webhook, at])).length;

const forget = statement(
  'alert_deliveries_forget',
  `delete from alert_deliveries where delivery_id in (
     select delivery_id from alert_deliveries where state <> 'waiting' and ended_at < $1 limit $2)
   returning delivery_id`,
);

/** Deletes some that ended before then; answers with how many. */
export const forgetDeliveries = async (query: Query, before: Date, limit: number): Promise<number> =>
  (await query(forget, [before, limit])).length;
