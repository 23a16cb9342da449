import { sql } from 'drizzle-orm';
import {
  bigint,
  boolean,
  customType,
  index,
  integer,
  jsonb,
  pgTable,
  smallint,
  text,
  uniqueIndex,
  uuid,
} from 'drizzle-orm/pg-core';
import { bytea, moment } from './agents.ts';

const xid8 = customType<{ data: string; driverData: string }>({ dataType: () => 'xid8' });

/** What somebody asked for. Never changes. */
export const commands = pgTable(
  'commands',
  {
    commandId: uuid('command_id').primaryKey(),
    actor: text('actor').notNull(),
    verb: text('verb').notNull(),
    args: jsonb('args').notNull(),
    /** The args as they travel: the exact bytes, made once. */
    argsBytes: bytea('args_bytes').notNull(),
    target: jsonb('target').notNull(),
    /** 0 critical, 1 high, 2 normal, 3 low. */
    priority: smallint('priority').notNull(),
    timeoutMs: bigint('timeout_ms', { mode: 'number' }).notNull(),
    timeToLiveMs: bigint('time_to_live_ms', { mode: 'number' }).notNull(),
    idempotencyKey: text('idempotency_key'),
    /** SHA-256 of what was asked under that key. */
    idempotencyDigest: bytea('idempotency_digest'),
    correlationId: text('correlation_id'),
    traceparent: text('traceparent'),
    createdAt: moment('created_at').notNull(),
    expiresAt: moment('expires_at').notNull(),
  },
  (table) => [
    uniqueIndex('commands_idempotency')
      .on(table.actor, table.idempotencyKey)
      .where(sql`idempotency_key is not null`),
    index('commands_verb').on(table.verb, table.commandId),
  ],
);

/** A command on one agent. */
export const executions = pgTable(
  'executions',
  {
    executionId: uuid('execution_id').primaryKey(),
    commandId: uuid('command_id')
      .notNull()
      .references(() => commands.commandId, { onDelete: 'cascade' }),
    agentId: text('agent_id').notNull(),
    /** The enrolment it is meant for: a machine enrolled anew never gets the queue of the one before. */
    incarnation: integer('incarnation').notNull(),
    /** The order in which the command named its agents. */
    position: integer('position').notNull(),
    priority: smallint('priority').notNull(),
    state: text('state').notNull(),
    attempt: integer('attempt').notNull().default(1),
    /** The session it was last handed to. */
    epoch: bigint('epoch', { mode: 'number' }),
    expiresAt: moment('expires_at').notNull(),
    /** When somebody must look at it; null in final states. */
    deadlineAt: moment('deadline_at'),
    cancelReason: text('cancel_reason'),
    /** [{ state, cause, at }], oldest first. */
    transitions: jsonb('transitions').notNull(),
    revision: integer('revision').notNull().default(1),
    /** The transaction of the last change: what a reader of changes orders by (docs/architecture.md). */
    changed: xid8('changed').notNull().default(sql`pg_current_xact_id()`),
    exitCode: integer('exit_code'),
    signal: text('signal'),
    stdout: bytea('stdout'),
    stdoutTotal: bigint('stdout_total', { mode: 'number' }),
    stdoutTruncated: boolean('stdout_truncated'),
    stderr: bytea('stderr'),
    stderrTotal: bigint('stderr_total', { mode: 'number' }),
    stderrTruncated: boolean('stderr_truncated'),
    output: jsonb('output'),
    failureCode: text('failure_code'),
    failureMessage: text('failure_message'),
    startedAt: moment('started_at'),
    finishedAt: moment('finished_at'),
  },
  (table) => [
    uniqueIndex('executions_command').on(table.commandId, table.position),
    index('executions_agent').on(table.agentId, table.executionId),
    index('executions_waiting')
      .on(table.agentId, table.priority, table.executionId)
      .where(sql`state in ('queued', 'held')`),
    index('executions_open').on(table.agentId).where(sql`state in ('sent', 'accepted', 'running')`),
    index('executions_deadline').on(table.deadlineAt).where(sql`deadline_at is not null`),
  ],
);
