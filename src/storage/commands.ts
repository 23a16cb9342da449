import { likePatterns, type Scope } from '../lib/scope.ts';
import { approvalOf, type StoredApproval } from './approvals.ts';
import {
  bytesColumn,
  hexColumn,
  int2Column,
  int4Column,
  int8Column,
  jsonColumn,
  textColumn,
  timeColumn,
  uuidColumn,
} from './columns.ts';
import { type Database, statement } from './database.ts';
import type { TransitionRow } from './execution-changes.ts';
import { rolloutOf, type StoredRollout } from './rollout-columns.ts';
import { insertSubmitAudit, type SubmitAuditRow, submitAuditColumns } from './submit-audit.ts';

export interface CommandRow {
  commandId: string;
  actor: string;
  verb: string;
  /** JSON. */
  args: string;
  argsBytes: Uint8Array;
  /** JSON. */
  target: string;
  priority: number;
  timeoutMs: number;
  timeToLiveMs: number;
  maxRetries: number;
  skipped: number;
  retryOf: string | null;
  origin: string | null;
  idempotencyKey: string | null;
  idempotencyDigest: Uint8Array | null;
  correlationId: string | null;
  traceparent: string | null;
  createdAt: Date;
  expiresAt: Date;
  /** The plan of its rollout, JSON; null where it goes to all its agents at once. */
  rollout: string | null;
  /** A second person must agree. */
  needsApproval: boolean;
  /** Its entry in the audit log. */
  audit: SubmitAuditRow;
}

export interface NewExecutionRow {
  executionId: string;
  commandId: string;
  agentId: string;
  incarnation: number;
  position: number;
  verb: string;
  rank: number;
  state: string;
  /** Why it is held; null in other states. */
  hold: string | null;
  epoch: number | null;
  expiresAt: Date;
  deadlineAt: Date;
  transitions: TransitionRow[];
  /** Vouches for what was submitted. */
  binding: string;
}

const insert = statement(
  'commands_insert',
  `with c as (
     insert into commands (command_id, actor, verb, args, args_bytes, target, priority, timeout_ms,
       time_to_live_ms, max_retries, skipped, retry_of, origin, idempotency_key, idempotency_digest,
       correlation_id, traceparent, created_at, expires_at)
     select command_id, actor, verb, args::jsonb, args_bytes, target::jsonb, priority, timeout_ms, time_to_live_ms,
       max_retries, skipped, retry_of, origin, idempotency_key, idempotency_digest, correlation_id, traceparent,
       created_at, expires_at
     from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bytea[], $6::text[], $7::int2[], $8::int8[],
       $9::int8[], $10::int2[], $11::int4[], $12::uuid[], $13::text[], $14::text[], $15::bytea[], $16::text[],
       $17::text[], $18::timestamptz[], $19::timestamptz[])
     as x(command_id, actor, verb, args, args_bytes, target, priority, timeout_ms, time_to_live_ms, max_retries,
       skipped, retry_of, origin, idempotency_key, idempotency_digest, correlation_id, traceparent, created_at,
       expires_at)
     on conflict (actor, idempotency_key) where idempotency_key is not null do nothing
     returning command_id
   ), e as (
     insert into executions (execution_id, command_id, agent_id, incarnation, position, verb, rank, state, hold,
       epoch, expires_at, deadline_at, transitions, binding)
     select x.execution_id, x.command_id, x.agent_id, x.incarnation, x.position, x.verb, x.rank, x.state, x.hold,
       x.epoch, x.expires_at, x.deadline_at, x.transitions::jsonb, x.binding
     from unnest($20::uuid[], $21::uuid[], $22::text[], $23::int[], $24::int[], $25::text[], $26::int8[],
       $27::text[], $28::text[], $29::int8[], $30::timestamptz[], $31::timestamptz[], $32::text[], $40::bytea[])
     as x(execution_id, command_id, agent_id, incarnation, position, verb, rank, state, hold, epoch, expires_at,
       deadline_at, transitions, binding)
     where not $39::bool or x.command_id in (select command_id from c)
   ), r as (
     insert into rollouts (command_id, plan, state, updated_at)
     select x.command_id, x.plan::jsonb, 'running', x.at
     from unnest($33::uuid[], $34::text[], $35::timestamptz[]) as x(command_id, plan, at)
     join c on c.command_id = x.command_id
   ), a as (
     insert into approvals (command_id, state, requested_by, requested_at)
     select x.command_id, 'pending', x.actor, x.at
     from unnest($36::uuid[], $37::text[], $38::timestamptz[]) as x(command_id, actor, at)
     join c on c.command_id = x.command_id
   ), u as (
     ${insertSubmitAudit(
       { commandId: 1, actor: 2, verb: 3, args: 4, target: 6, correlationId: 16, createdAt: 18 },
       41,
       'not $39::bool or x.command_id in (select command_id from c)',
     )}
   )
   select command_id from c`,
);

/**
 * Stores many commands with their executions in one statement, so in one commit. Answers with the ids that
 * were stored; what is missing met an idempotency key that was there already.
 */
export async function insertCommands(
  query: Database['query'],
  commands: readonly CommandRow[],
  executions: readonly NewExecutionRow[],
): Promise<Set<string>> {
  const rollouts = commands.filter((row) => row.rollout !== null);
  const approvals = commands.filter((row) => row.needsApproval);
  const rows = await query<{ command_id: string }>(insert, [
    uuidColumn(commands, (row) => row.commandId),
    textColumn(commands, (row) => row.actor),
    textColumn(commands, (row) => row.verb),
    textColumn(commands, (row) => row.args),
    bytesColumn(commands, (row) => row.argsBytes),
    textColumn(commands, (row) => row.target),
    int2Column(commands, (row) => row.priority),
    int8Column(commands, (row) => row.timeoutMs),
    int8Column(commands, (row) => row.timeToLiveMs),
    int2Column(commands, (row) => row.maxRetries),
    int4Column(commands, (row) => row.skipped),
    uuidColumn(commands, (row) => row.retryOf),
    textColumn(commands, (row) => row.origin),
    textColumn(commands, (row) => row.idempotencyKey),
    bytesColumn(commands, (row) => row.idempotencyDigest),
    textColumn(commands, (row) => row.correlationId),
    textColumn(commands, (row) => row.traceparent),
    timeColumn(commands, (row) => row.createdAt),
    timeColumn(commands, (row) => row.expiresAt),
    uuidColumn(executions, (row) => row.executionId),
    uuidColumn(executions, (row) => row.commandId),
    textColumn(executions, (row) => row.agentId),
    int4Column(executions, (row) => row.incarnation),
    int4Column(executions, (row) => row.position),
    textColumn(executions, (row) => row.verb),
    int8Column(executions, (row) => row.rank),
    textColumn(executions, (row) => row.state),
    textColumn(executions, (row) => row.hold),
    int8Column(executions, (row) => row.epoch),
    timeColumn(executions, (row) => row.expiresAt),
    timeColumn(executions, (row) => row.deadlineAt),
    jsonColumn(executions, (row) => row.transitions),
    uuidColumn(rollouts, (row) => row.commandId),
    textColumn(rollouts, (row) => row.rollout),
    timeColumn(rollouts, (row) => row.createdAt),
    uuidColumn(approvals, (row) => row.commandId),
    textColumn(approvals, (row) => row.actor),
    timeColumn(approvals, (row) => row.createdAt),
    // Without one, none of the commands can be left out.
    commands.some((row) => row.idempotencyKey !== null),
    hexColumn(executions, (row) => row.binding),
    ...submitAuditColumns(commands),
  ]);
  return new Set(rows.map((row) => row.command_id));
}

/** A command as it is read back, with the states of its executions counted. */
export interface StoredCommand
  extends Omit<
    CommandRow,
    'args' | 'argsBytes' | 'target' | 'traceparent' | 'rollout' | 'needsApproval' | 'audit'
  > {
  args: Record<string, unknown>;
  target: unknown;
  counts: Record<string, number> | null;
  rollout: StoredRollout | null;
  approval: StoredApproval | null;
}

/** How many executions of a command are in which state. */
export function countsOf(commandId: string): string {
  return `select jsonb_object_agg(s.state, s.n) from (
     select state, count(*) as n from executions x where x.command_id = ${commandId} group by state) s`;
}

export const commandColumns = `c.command_id as "commandId", c.actor, c.verb, c.args, c.target, c.priority,
  c.timeout_ms::float8 as "timeoutMs", c.time_to_live_ms::float8 as "timeToLiveMs",
  c.max_retries as "maxRetries", c.skipped, c.retry_of as "retryOf", c.origin,
  c.idempotency_key as "idempotencyKey", c.idempotency_digest as "idempotencyDigest",
  c.correlation_id as "correlationId", c.created_at as "createdAt", c.expires_at as "expiresAt",
  (${countsOf('c.command_id')}) as counts, ${rolloutOf('c.command_id')} as rollout,
  ${approvalOf('c.command_id')} as approval`;

const byId = statement('commands_by_id', `select ${commandColumns} from commands c where c.command_id = $1`);

export async function findCommand(
  query: Database['query'],
  commandId: string,
): Promise<StoredCommand | undefined> {
  const [row] = await query<StoredCommand>(byId, [commandId]);
  return row;
}

const byKey = statement(
  'commands_by_key',
  `select ${commandColumns} from commands c where c.actor = $1 and c.idempotency_key = $2`,
);

export async function findCommandByKey(
  query: Database['query'],
  actor: string,
  idempotencyKey: string,
): Promise<StoredCommand | undefined> {
  const [row] = await query<StoredCommand>(byKey, [actor, idempotencyKey]);
  return row;
}

/** Of few, by the index of those that are pending. */
const awaitingApproval = `select p.command_id from approvals p where p.state = 'pending' and exists (
  select 1 from executions e where e.command_id = p.command_id and e.hold = 'approval')`;

/** Sites: every agent that a command went to is of one of them, now. Verbs: its own is like one of them. */
export const inScope = (sites: string, verbs: string): string => `(
  ${verbs}::text[] is null or c.verb like any(${verbs})) and (${sites}::text[] is null or not exists (
    select 1 from executions e left join agents a using (agent_id)
    where e.command_id = c.command_id and (a.site = any(${sites})) is not true))`;

const list = statement(
  'commands_list',
  `select ${commandColumns} from commands c
   where ($1::text is null or c.verb = $1)
     and ($2::text is null or c.actor = $2)
     and ($3::text is null or c.command_id in (
       select e.command_id from executions e where e.agent_id = $3 and (e.deadline_at is null
         or e.state in ('sent', 'accepted', 'running') or e.state in ('queued', 'held'))))
     and ($4::text is null or exists (
       select 1 from executions e where e.command_id = c.command_id and e.state = $4))
     and ($9::int2 is null or c.priority = $9)
     and ($10::text is null or exists (
       select 1 from executions e join agents a using (agent_id)
       where e.command_id = c.command_id and a.site = $10))
     and ($11::text is null or c.correlation_id = $11)
     and ($12::text is null or c.origin = $12)
     and ($13::bool is distinct from true or c.command_id in (${awaitingApproval}))
     and ($13::bool is distinct from false or c.command_id not in (${awaitingApproval}))
     and ${inScope('$14', '$15')}
     and ($5::timestamptz is null or c.created_at >= $5)
     and ($6::timestamptz is null or c.created_at < $6)
     and ($7::uuid is null or c.command_id < $7)
   order by c.command_id desc limit $8`,
);

export interface CommandListFilter {
  verb?: string | undefined;
  actor?: string | undefined;
  /** Commands that reached this agent. */
  agentId?: string | undefined;
  /** Commands with at least one execution in this state. */
  state?: string | undefined;
  /** 0 critical, 1 high, 2 normal, 3 low. */
  priority?: number | undefined;
  /** Commands that reached an agent of this site. */
  site?: string | undefined;
  correlationId?: string | undefined;
  origin?: string | undefined;
  /** Whether they wait for a second person. */
  awaitingApproval?: boolean | undefined;
  createdAfter?: Date | undefined;
  createdBefore?: Date | undefined;
  /** Only what a caller who is limited so may see. */
  scope?: Scope | undefined;
}

/** Newest first; `before` is the last id of the page before. */
export const listCommands = (
  query: Database['query'],
  filter: CommandListFilter,
  before: string | undefined,
  limit: number,
) =>
  query<StoredCommand>(list, [
    filter.verb,
    filter.actor,
    filter.agentId,
    filter.state,
    filter.createdAfter,
    filter.createdBefore,
    before,
    limit,
    filter.priority,
    filter.site,
    filter.correlationId,
    filter.origin,
    filter.awaitingApproval,
    filter.scope?.sites,
    filter.scope && likePatterns(filter.scope),
  ]);

const visible = statement(
  'commands_in_scope',
  `select 1 from commands c where c.command_id = $1::uuid and ${inScope('$2', '$3')}`,
);

/** Whether a caller who is limited so may see the command; false if there is none. */
export const isCommandInScope = async (
  query: Database['query'],
  commandId: string,
  scope: Scope,
): Promise<boolean> => (await query(visible, [commandId, scope.sites, likePatterns(scope)])).length > 0;

const executionVisible = statement(
  'executions_in_scope',
  `select 1 from commands c where c.command_id = (select x.command_id from executions x where x.execution_id = $1::uuid)
     and ${inScope('$2', '$3')}`,
);

export const isExecutionInScope = async (
  query: Database['query'],
  executionId: string,
  scope: Scope,
): Promise<boolean> =>
  (await query(executionVisible, [executionId, scope.sites, likePatterns(scope)])).length > 0;
