import { sql } from 'drizzle-orm';
import {
  bigint,
  boolean,
  customType,
  index,
  integer,
  jsonb,
  pgTable,
  primaryKey,
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
    /** How often a failed attempt may be followed by another one. */
    maxRetries: smallint('max_retries').notNull().default(0),
    /** Agents that the target named and that lack what the verb needs. */
    skipped: integer('skipped').notNull().default(0),
    /** The command that this one tries again. */
    retryOf: uuid('retry_of'),
    /** What submitted it in the actor's name, for example `schedule:nightly`; null for the actor itself. */
    origin: text('origin'),
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
    /** Written in the statement that writes the command; a foreign key would look it up again for each row. */
    commandId: uuid('command_id').notNull(),
    agentId: text('agent_id').notNull(),
    /** The enrolment it is meant for: a machine enrolled anew never gets the queue of the one before. */
    incarnation: integer('incarnation').notNull(),
    /** The order in which the command named its agents. */
    position: integer('position').notNull(),
    verb: text('verb').notNull(),
    /** Its place in the agent's queue, the lowest goes first (commands/submission/queue.ts). */
    rank: bigint('rank', { mode: 'number' }).notNull(),
    state: text('state').notNull(),
    /** Why a held execution waits: maintenance, approval, rollout, backoff. Null in other states. */
    hold: text('hold'),
    attempt: integer('attempt').notNull().default(1),
    /** Attempts that failed and were followed by another one. */
    retries: smallint('retries').notNull().default(0),
    /** The session it was last handed to. */
    epoch: bigint('epoch', { mode: 'number' }),
    expiresAt: moment('expires_at').notNull(),
    /** When somebody must look at it; null in final states. */
    deadlineAt: moment('deadline_at'),
    cancelReason: text('cancel_reason'),
    /** Vouches for what was submitted (storage/bound-rows.ts); without one that holds, it is not sent. */
    binding: bytea('binding'),
    /** Vouches for an attempt after the first. */
    attemptBinding: bytea('attempt_binding'),
    /** [{ state, cause, at }], oldest first. */
    transitions: jsonb('transitions').notNull(),
    revision: integer('revision').notNull().default(1),
    /** The transaction of the last change: what a reader of changes orders by (docs/architecture.md). */
    changed: xid8('changed').notNull().default(sql`pg_current_xact_id()`),
    exitCode: integer('exit_code'),
    signal: text('signal'),
    /** Null where it was streamed: then it is in execution_output. */
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
    // Of those that are over: the others are found by the two below, and an insert is spared this one, whose places
    // lie far apart.
    index('executions_agent').on(table.agentId, table.commandId).where(sql`deadline_at is null`),
    index('executions_waiting')
      .on(table.agentId, table.rank, table.executionId)
      .where(sql`state in ('queued', 'held')`),
    index('executions_open').on(table.agentId).where(sql`state in ('sent', 'accepted', 'running')`),
    index('executions_deadline').on(table.deadlineAt).where(sql`deadline_at is not null`),
  ],
);

/** What processes that were not done at once wrote, in pieces that may overlap. */
export const executionOutput = pgTable(
  'execution_output',
  {
    executionId: uuid('execution_id').notNull(),
    attempt: integer('attempt').notNull(),
    /** 1 stdout, 2 stderr. */
    stream: smallint('stream').notNull(),
    /** Position of the first byte in the whole stream. */
    position: bigint('position', { mode: 'number' }).notNull(),
    data: bytea('data').notNull(),
    commandId: uuid('command_id').notNull(),
    changed: xid8('changed').notNull().default(sql`pg_current_xact_id()`),
  },
  (table) => [
    primaryKey({ columns: [table.executionId, table.attempt, table.stream, table.position] }),
    index('execution_output_command').on(table.commandId, table.changed),
  ],
);

/** The course of a command that goes to its agents in steps. */
export const rollouts = pgTable(
  'rollouts',
  {
    commandId: uuid('command_id').primaryKey(),
    /** How: canary, batches, thresholds. */
    plan: jsonb('plan').notNull(),
    /** running, paused, stopped (by its threshold), aborted, completed. */
    state: text('state').notNull(),
    reason: text('reason'),
    /** Executions before this position were let go. */
    released: integer('released').notNull().default(0),
    updatedAt: moment('updated_at').notNull(),
  },
  (table) => [index('rollouts_running').on(table.commandId).where(sql`state = 'running'`)],
);

/** What a second person has to say, or said, of a command. */
export const approvals = pgTable(
  'approvals',
  {
    commandId: uuid('command_id').primaryKey(),
    /** pending, approved, rejected. */
    state: text('state').notNull(),
    requestedBy: text('requested_by').notNull(),
    requestedAt: moment('requested_at').notNull(),
    decidedBy: text('decided_by'),
    decidedAt: moment('decided_at'),
    reason: text('reason'),
  },
  (table) => [index('approvals_pending').on(table.commandId).where(sql`state = 'pending'`)],
);
