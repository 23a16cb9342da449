import { ViworksError } from '../../errors.ts';
import { backoffDelay } from '../../lib/backoff.ts';
import type { Clock } from '../../lib/clock.ts';
import { newId } from '../../lib/ids.ts';
import type { Logger } from '../../lib/logger.ts';
import type { Metrics } from '../../lib/metrics.ts';
import { createWaits } from '../../lib/waits.ts';
import {
  claimDeliveries,
  type DeliveryRow,
  findWebhook,
  insertDelivery,
  nextDeliveryAt,
  nextRipeAt,
  ripeGroups,
  settleDelivery,
  takeEvents,
  webhookFilters,
} from '../../storage/alert-deliveries.ts';
import type { AlertEventRow } from '../../storage/alerts.ts';
import type { Database } from '../../storage/database.ts';
import type { Attempt, WebhookFilter } from '../types.ts';
import { type AlertEvent, isTold, messageOf } from './message.ts';
import { maximumWebhooks, post, type SecretBox } from './webhooks.ts';

/**
 * Makes messages of what happened to alerts, and delivers them. What happened to alerts of one rule in one site goes
 * into one message: it waits until nothing more comes for a while, but not for long. Making a message takes its events
 * away in the same transaction, so that each is told once; a delivery is repeated until the webhook says that it has it.
 */
export interface Notifier {
  start(): void;
  /** Gives up what is under way, which is tried again after the next start. */
  stop(): Promise<void>;
  /** There is something to do. Never waits, never throws. */
  wake(): void;
  /** Makes the messages that are due now. Answers with how many. */
  group(): Promise<number>;
  /** Delivers what is due now; answers with how many attempts there were. */
  deliver(): Promise<number>;
}

export interface NotifierSettings {
  /** Milliseconds without anything new after which a group is told. */
  quietMs: number;
  /** Milliseconds after which it is told in any case. */
  windowMs: number;
  /** http is allowed anywhere. */
  clearText: boolean;
  /** Attempts after which a message is given up. */
  attempts: number;
  /** Milliseconds between attempts. */
  retry: { baseMs: number; maximumMs: number };
}

export const notifierDefaults: NotifierSettings = {
  quietMs: 10_000,
  windowMs: 60_000,
  clearText: false,
  attempts: 12,
  retry: { baseMs: 5000, maximumMs: 3_600_000 },
};

export interface NotifierDeps {
  database: Database;
  box: Pick<SecretBox, 'open'>;
  clock: Pick<Clock, 'now'>;
  log: Logger;
  metrics: Pick<Metrics, 'alertDeliveries'>;
  settings: NotifierSettings;
}

const groupsAtOnce = 100;
/** Of one group in one message; what is more makes another one. */
const eventsAtOnce = 10_000;
/** Messages that may wait for one webhook; over it they are given up at once. */
const maximumWaiting = 1000;
const attemptsAtOnce = 16;
const attemptsOfWebhook = 4;
/** Milliseconds after which an attempt of which nothing was heard counts as lost: longer than one may take. */
const lostMs = 60_000;
/** Milliseconds between looks, however far the next time is. */
const lookAgainMs = 30_000;

export function createNotifier(deps: NotifierDeps): Notifier {
  const { database, box, clock, log, metrics, settings } = deps;
  const stopping = new AbortController();
  const underWay = new Set<Promise<void>>();
  const busy = new Map<string, number>();
  const waits = createWaits();
  let running: Promise<void> | undefined;
  let stopped = false;

  const { wake } = waits;

  async function groupOne({ rule, site }: { rule: string; site: string }): Promise<number> {
    return database.transaction(async (query) => {
      const rows = await takeEvents(query, rule, site, eventsAtOnce);
      if (rows.length === 0) return 0;
      const events = inOrder(rows);
      const at = new Date(clock.now());
      let messages = 0;
      for (const { name, filter } of await webhookFilters(query, maximumWebhooks)) {
        const told = events.filter((event) => isTold(filter as WebhookFilter, event));
        if (told.length === 0) continue;
        const id = newId();
        const body = JSON.stringify(messageOf({ id, createdAt: at.toISOString() }, { rule, site }, told));
        const delivery = { deliveryId: id, webhook: name, rule, site, body };
        await insertDelivery(query, delivery, at, maximumWaiting);
        messages += 1;
      }
      return messages;
    });
  }

  async function group(): Promise<number> {
    let messages = 0;
    while (!stopped) {
      const now = clock.now();
      const quietSince = new Date(now - settings.quietMs);
      const groups = await ripeGroups(
        database.query,
        quietSince,
        new Date(now - settings.windowMs),
        groupsAtOnce,
      );
      for (const each of groups) messages += await groupOne(each);
      if (groups.length < groupsAtOnce) break;
    }
    return messages;
  }

  async function attempt(delivery: DeliveryRow): Promise<void> {
    const { deliveryId: id, webhook: name, body, attempts } = delivery;
    const webhook = await findWebhook(database.query, name);
    // It was removed, and its messages with it.
    if (webhook === undefined) return;
    const { clearText } = settings;
    const done = await post(webhook, box, { id, body, at: clock.now(), clearText, signal: stopping.signal });
    // What was given up because of a stop is tried again after the next start.
    if (!done.delivered && stopping.signal.aborted) return;
    const outcome = outcomeOf(done, attempts);
    const at = clock.now();
    const nextAt = new Date(at + outcome.delayMs);
    await settleDelivery(
      database.query,
      delivery,
      { state: outcome.state, nextAt, error: done.error },
      new Date(at),
    );
    metrics.alertDeliveries.inc({ outcome: outcome.name });
    if (outcome.state === 'dead')
      log.error({ webhook: name, deliveryId: id, attempts, error: done.error }, 'a message was given up');
    else if (!done.delivered)
      log.warn({ webhook: name, deliveryId: id, attempts, error: done.error }, 'a message was not delivered');
  }

  function outcomeOf({ delivered, status }: Attempt, attempts: number) {
    if (delivered) return { state: 'delivered', name: 'delivered', delayMs: 0 } as const;
    // 410 says that nobody will ever take it.
    if (attempts >= settings.attempts || status === 410)
      return { state: 'dead', name: 'given up', delayMs: 0 } as const;
    const delayMs = backoffDelay(settings.retry, attempts - 1, 0.5 + Math.random() / 2);
    return { state: 'waiting', name: 'failed', delayMs } as const;
  }

  function begin(delivery: DeliveryRow): void {
    const { webhook } = delivery;
    busy.set(webhook, (busy.get(webhook) ?? 0) + 1);
    const work = attempt(delivery)
      .catch((error: unknown) =>
        log.warn({ err: ViworksError.from(error), webhook }, 'cannot deliver a message now'),
      )
      .finally(() => {
        underWay.delete(work);
        const left = (busy.get(webhook) ?? 1) - 1;
        if (left === 0) busy.delete(webhook);
        else busy.set(webhook, left);
        wake();
      });
    underWay.add(work);
  }

  /** Webhooks that have as many attempts under way as they may. */
  const full = () => [...busy].filter(([, count]) => count >= attemptsOfWebhook).map(([name]) => name);

  /** Begins some of what is due, as far as there is room; answers with how many. */
  async function beginDue(): Promise<number> {
    // All that come may be for the webhook that has the most under way of those that have room.
    const most = Math.max(0, ...[...busy.values()].filter((count) => count < attemptsOfWebhook));
    const room = Math.min(attemptsOfWebhook - most, attemptsAtOnce - underWay.size);
    if (room <= 0 || stopped) return 0;
    const now = clock.now();
    const due = await claimDeliveries(database.query, new Date(now), new Date(now + lostMs), full(), room);
    for (const delivery of due) begin(delivery);
    return due.length;
  }

  async function deliver(): Promise<number> {
    let total = 0;
    for (;;) {
      const begun = await beginDue();
      total += begun;
      if (begun === 0 && underWay.size === 0) return total;
      if (begun === 0) await Promise.race(underWay);
    }
  }

  /** Milliseconds until there is something to do. */
  async function untilNext(): Promise<number> {
    const times = await Promise.all([
      nextRipeAt(database.query, settings.quietMs, settings.windowMs),
      underWay.size >= attemptsAtOnce ? undefined : nextDeliveryAt(database.query, full()),
    ]);
    const soonest = Math.min(...times.map((time) => time?.getTime() ?? Number.POSITIVE_INFINITY));
    // The end of what is under way wakes.
    return Math.min(lookAgainMs, Math.max(underWay.size > 0 ? 1000 : 50, soonest - clock.now()));
  }

  async function run(): Promise<void> {
    let failures = 0;
    while (!stopped) {
      waits.lower();
      let delayMs: number;
      try {
        await group();
        while ((await beginDue()) > 0);
        delayMs = await untilNext();
        failures = 0;
      } catch (error) {
        log.warn({ err: ViworksError.from(error) }, 'cannot tell of alerts now');
        delayMs = backoffDelay({ baseMs: 200, maximumMs: 5000 }, failures++, 0.5 + Math.random() / 2);
      }
      await waits.untilWoken(delayMs);
    }
  }

  return {
    wake,
    group,
    deliver,
    start() {
      running ??= run();
    },
    async stop() {
      stopped = true;
      stopping.abort();
      waits.end();
      await running;
      await Promise.all(underWay);
    },
  };
}

/** As it happened; ids sort by the time they were made. */
const inOrder = (rows: readonly AlertEventRow[]): AlertEvent[] =>
  rows
    .toSorted((a, b) => (a.eventId < b.eventId ? -1 : 1))
    .map(({ kind, alert }) => ({
      kind: kind === 'resolved' ? 'resolved' : 'firing',
      alert: alert as AlertEvent['alert'],
    }));
