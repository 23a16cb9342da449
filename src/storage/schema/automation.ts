import { sql } from 'drizzle-orm';
import { boolean, index, integer, jsonb, pgTable, text, uuid } from 'drizzle-orm/pg-core';
import type { Scope } from '../../lib/scope.ts';
import { bytea, moment } from './agents.ts';

/** Commands with parameters, kept under a name. */
export const templates = pgTable('templates', {
  name: text('name').primaryKey(),
  description: text('description').notNull().default(''),
  /** [{ name, type, … }], in the order in which they are asked for. */
  parameters: jsonb('parameters').notNull(),
  /** What is submitted, with the places of the parameters in its args. */
  command: jsonb('command').notNull(),
  /** Grows with each change. */
  revision: integer('revision').notNull().default(1),
  updatedBy: text('updated_by').notNull(),
  createdAt: moment('created_at').notNull(),
  updatedAt: moment('updated_at').notNull(),
  /** Vouches for what was saved (storage/bound-rows.ts); without one that holds, it is not run. */
  binding: bytea('binding'),
});

/** Commands that are submitted at their time. */
export const schedules = pgTable(
  'schedules',
  {
    name: text('name').primaryKey(),
    description: text('description').notNull().default(''),
    /** Once, or cron with its time zone; and what becomes of missed runs. */
    timing: jsonb('timing').notNull(),
    /** What is submitted: a command, or a template with its parameters. */
    action: jsonb('action').notNull(),
    /** In whose name. */
    actor: text('actor').notNull(),
    /** What its commands are limited to: what limited whoever made it. Null: nothing. */
    scope: jsonb('scope').$type<Scope>(),
    enabled: boolean('enabled').notNull(),
    revision: integer('revision').notNull().default(1),
    /** Null when nothing is to come. */
    nextAt: moment('next_at'),
    lastAt: moment('last_at'),
    lastCommandId: uuid('last_command_id'),
    /** Why the last run submitted nothing. */
    lastError: text('last_error'),
    createdAt: moment('created_at').notNull(),
    updatedAt: moment('updated_at').notNull(),
    /** As that of a template. */
    binding: bytea('binding'),
  },
  (table) => [index('schedules_due').on(table.nextAt).where(sql`enabled and next_at is not null`)],
);
