import { hexColumn, uuidColumn } from './columns.ts';
import { type Database, statement } from './database.ts';
import type { TransitionRow } from './execution-changes.ts';

/** Approvals: what a second person has to say of a command, and what follows from it. */

type Query = Database['query'];

/** The approval of a command as one JSON value, null where it needs none. @param commandId the SQL for the command */
export const approvalOf = (commandId: string) => `(
  select jsonb_build_object('state', ap.state, 'requestedBy', ap.requested_by, 'requestedAt', ap.requested_at,
    'decidedBy', ap.decided_by, 'decidedAt', ap.decided_at, 'reason', ap.reason)
  from approvals ap where ap.command_id = ${commandId})`;

/** An approval as `approvalOf` reads it; times in ISO 8601. */
export interface StoredApproval {
  state: string;
  requestedBy: string;
  requestedAt: string;
  decidedBy: string | null;
  decidedAt: string | null;
  reason: string | null;
}

const lock = statement(
  'approvals_lock',
  `select state, requested_by as "requestedBy", decided_by as "decidedBy" from approvals
   where command_id = $1 for update`,
);

/** Locks the approval until the transaction ends. */
export async function lockApproval(
  query: Query,
  commandId: string,
): Promise<Pick<StoredApproval, 'state' | 'requestedBy' | 'decidedBy'> | undefined> {
  const [row] = await query<Pick<StoredApproval, 'state' | 'requestedBy' | 'decidedBy'>>(lock, [commandId]);
  return row;
}

const decide = statement(
  'approvals_decide',
  `update approvals set state = $2, decided_by = $3, decided_at = $4, reason = $5 where command_id = $1`,
);

export async function saveDecision(
  query: Query,
  commandId: string,
  decision: { state: string; by: string; at: Date; reason: string },
): Promise<void> {
  const { state, by, at, reason } = decision;
  await query(decide, [commandId, state, by, at, reason === '' ? null : reason]);
}

const unapproved = statement(
  'approvals_executions',
  `select e.execution_id as "executionId", e.command_id as "commandId", e.agent_id as "agentId", e.incarnation,
     e.verb, e.binding
   from executions e
   where e.command_id = $1 and e.state = 'held' and e.hold = 'approval'
   order by e.execution_id for update of e`,
);

export interface UnapprovedRow {
  executionId: string;
  commandId: string;
  agentId: string;
  incarnation: number;
  verb: string;
  binding: Uint8Array | null;
}

/** What waits for the approval; locked. */
export const findUnapproved = (query: Query, commandId: string) =>
  query<UnapprovedRow>(unapproved, [commandId]);

const submitted = statement(
  'approvals_command',
  `select actor, args_bytes as "argsBytes", timeout_ms::float8 as "timeoutMs", max_retries as "maxRetries",
     expires_at as "expiresAt"
   from commands where command_id = $1`,
);

/** What of a command its executions are bound to. */
export interface SubmittedRow {
  actor: string;
  argsBytes: Uint8Array;
  timeoutMs: number;
  maxRetries: number;
  expiresAt: Date;
}

export async function findSubmitted(query: Query, commandId: string): Promise<SubmittedRow | undefined> {
  const [row] = await query<SubmittedRow>(submitted, [commandId]);
  return row;
}

const bind = statement(
  'approvals_bind',
  `update executions e set binding = x.binding
   from unnest($1::uuid[], $2::bytea[]) as x(execution_id, binding) where e.execution_id = x.execution_id`,
);

export async function bindApproved(
  query: Query,
  rows: readonly { executionId: string; binding: string }[],
): Promise<void> {
  if (rows.length === 0) return;
  await query(bind, [uuidColumn(rows, (row) => row.executionId), hexColumn(rows, (row) => row.binding)]);
}

const release = statement(
  'approvals_release',
  `with r as (
     select e.execution_id, case
       when exists (select 1 from rollouts ro where ro.command_id = e.command_id) then 'rollout'
       when a.maintenance then 'maintenance' end as hold
     from executions e join agents a on a.agent_id = e.agent_id
     where e.command_id = $1 and e.state = 'held' and e.hold = 'approval'
     order by e.execution_id
     for update of e
   )
   update executions e set
     state = case when r.hold is null then 'queued' else 'held' end,
     hold = r.hold,
     transitions = e.transitions || jsonb_build_array($2::jsonb || jsonb_build_object(
       'state', case when r.hold is null then 'queued' else 'held' end,
       'cause', ($2::jsonb ->> 'cause') || case r.hold
         when 'rollout' then '; waits for its turn in the rollout'
         when 'maintenance' then '; the agent is in maintenance' else '' end)),
     revision = e.revision + 1,
     changed = pg_current_xact_id()
   from r where e.execution_id = r.execution_id
   returning e.agent_id as "agentId"`,
);

/** Lets go what waits for the approval: into the queue, or where its rollout or its agent has it wait. */
export async function releaseApproved(
  query: Query,
  commandId: string,
  transition: TransitionRow,
): Promise<string[]> {
  const rows = await query<{ agentId: string }>(release, [commandId, JSON.stringify(transition)]);
  return rows.map((row) => row.agentId);
}

const drop = statement(
  'approvals_drop',
  `update executions e set state = 'cancelled', hold = null, deadline_at = null, cancel_reason = $3,
     transitions = e.transitions || jsonb_build_array($2::jsonb), revision = e.revision + 1,
     changed = pg_current_xact_id()
   where e.command_id = $1 and e.state = 'held' and e.hold = 'approval'
   returning e.agent_id as "agentId"`,
);

/** Cancels what waits for the approval. */
export async function cancelUnapproved(
  query: Query,
  commandId: string,
  transition: TransitionRow,
): Promise<string[]> {
  const values = [commandId, JSON.stringify(transition), transition.cause];
  return (await query<{ agentId: string }>(drop, values)).map((row) => row.agentId);
}
