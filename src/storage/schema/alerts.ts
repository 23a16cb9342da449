import { sql } from 'drizzle-orm';
import {
  boolean,
  doublePrecision,
  index,
  integer,
  jsonb,
  pgTable,
  text,
  uniqueIndex,
  uuid,
} from 'drizzle-orm/pg-core';
import { bytea, moment } from './agents.ts';

/** When an alert begins and ends. */
export const alertRules = pgTable('alert_rules', {
  name: text('name').primaryKey(),
  description: text('description').notNull().default(''),
  enabled: boolean('enabled').notNull(),
  severity: text('severity').notNull(),
  metric: text('metric').notNull(),
  comparison: text('comparison').notNull(),
  threshold: doublePrecision('threshold').notNull(),
  clearThreshold: doublePrecision('clear_threshold').notNull(),
  /** Milliseconds for which it must be so, and for which it must be over. */
  forMs: integer('for_ms').notNull(),
  clearForMs: integer('clear_for_ms').notNull(),
  /** Which agents; {}: all. */
  selector: jsonb('selector').notNull(),
  /** Grows with each change. */
  revision: integer('revision').notNull().default(1),
  updatedBy: text('updated_by').notNull(),
  createdAt: moment('created_at').notNull(),
  updatedAt: moment('updated_at').notNull(),
});

/** Rules that were made by the system once; who deletes one does not get it again. */
export const alertSeeds = pgTable('alert_seeds', {
  name: text('name').primaryKey(),
  seededAt: moment('seeded_at').notNull(),
});

/** One row for each time that a rule held for something; at most one of them is not resolved. */
export const alerts = pgTable(
  'alerts',
  {
    alertId: uuid('alert_id').primaryKey(),
    rule: text('rule').notNull(),
    agentId: text('agent_id').notNull(),
    /** A mount, container or service; empty for the machine itself. */
    subject: text('subject').notNull(),
    site: text('site').notNull(),
    severity: text('severity').notNull(),
    metric: text('metric').notNull(),
    comparison: text('comparison').notNull(),
    threshold: doublePrecision('threshold').notNull(),
    state: text('state').notNull(),
    /** When the row was written last. */
    value: doublePrecision('value'),
    /** The time of the newest sample that was looked at. */
    seenAt: moment('seen_at').notNull(),
    pendingSince: moment('pending_since').notNull(),
    firedAt: moment('fired_at'),
    /** Since when it has been over, as long as that does not count yet. */
    clearSince: moment('clear_since'),
    resolvedAt: moment('resolved_at'),
    /** Why it was resolved. */
    reason: text('reason'),
    /** Receivers were told that it fires. */
    told: boolean('told').notNull(),
    acknowledgedAt: moment('acknowledged_at'),
    acknowledgedBy: text('acknowledged_by'),
    note: text('note'),
    updatedAt: moment('updated_at').notNull(),
  },
  (table) => [
    uniqueIndex('alerts_open').on(table.rule, table.agentId, table.subject).where(sql`state <> 'resolved'`),
    index('alerts_resolved').on(table.resolvedAt).where(sql`state = 'resolved'`),
    index('alerts_agent').on(table.agentId),
  ],
);

/** Nobody is told of what a silence names, until it ends. */
export const alertSilences = pgTable(
  'alert_silences',
  {
    silenceId: uuid('silence_id').primaryKey(),
    /** Each that is set must match. */
    rule: text('rule'),
    agentId: text('agent_id'),
    site: text('site'),
    subject: text('subject'),
    reason: text('reason').notNull(),
    createdBy: text('created_by').notNull(),
    createdAt: moment('created_at').notNull(),
    endsAt: moment('ends_at').notNull(),
    endedBy: text('ended_by'),
  },
  (table) => [index('alert_silences_ends').on(table.endsAt)],
);

/** What receivers are to be told; written with the change of the alert, deleted with the message that tells it. */
export const alertEvents = pgTable(
  'alert_events',
  {
    eventId: uuid('event_id').primaryKey(),
    rule: text('rule').notNull(),
    site: text('site').notNull(),
    /** `firing` or `resolved`. */
    kind: text('kind').notNull(),
    /** The alert as it was then. */
    alert: jsonb('alert').notNull(),
    createdAt: moment('created_at').notNull(),
  },
  (table) => [index('alert_events_group').on(table.rule, table.site)],
);

/** Where messages go. The secret that signs them is sealed with one that is not in the database. */
export const alertWebhooks = pgTable('alert_webhooks', {
  name: text('name').primaryKey(),
  webhookId: uuid('webhook_id').notNull(),
  url: text('url').notNull(),
  sealedSecret: bytea('sealed_secret').notNull(),
  /** { minSeverity, sites, rules }: what it is told. */
  filter: jsonb('filter').notNull(),
  createdBy: text('created_by').notNull(),
  createdAt: moment('created_at').notNull(),
});

/** One message for one webhook. */
export const alertDeliveries = pgTable(
  'alert_deliveries',
  {
    deliveryId: uuid('delivery_id').primaryKey(),
    webhook: text('webhook')
      .notNull()
      .references(() => alertWebhooks.name, { onDelete: 'cascade' }),
    rule: text('rule').notNull(),
    site: text('site').notNull(),
    /** Exactly what is sent. */
    body: text('body').notNull(),
    /** `waiting`, `delivered` or `dead`. */
    state: text('state').notNull(),
    attempts: integer('attempts').notNull().default(0),
    /** When it is tried next; while it is under way, when it counts as lost. */
    nextAt: moment('next_at').notNull(),
    lastError: text('last_error'),
    createdAt: moment('created_at').notNull(),
    endedAt: moment('ended_at'),
  },
  (table) => [
    index('alert_deliveries_due').on(table.nextAt).where(sql`state = 'waiting'`),
    index('alert_deliveries_order').on(table.webhook, table.rule, table.site).where(sql`state = 'waiting'`),
    index('alert_deliveries_dead').on(table.webhook, table.deliveryId).where(sql`state = 'dead'`),
    index('alert_deliveries_ended').on(table.endedAt).where(sql`state <> 'waiting'`),
  ],
);
