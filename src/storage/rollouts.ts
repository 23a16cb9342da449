import { likePatterns, type Scope } from '../lib/scope.ts';
import { commandColumns, inScope, type StoredCommand } from './commands.ts';
import { type Database, statement } from './database.ts';
import type { TransitionRow } from './execution-changes.ts';
import { rolloutProgress } from './rollout-columns.ts';

/**
 * Rollouts. The row of a rollout is the lock under which its executions are let go: they become queued in no
 * other way, so that whoever holds it and takes back what is queued knows that nothing follows.
 */

export interface RolloutRow {
  commandId: string;
  plan: unknown;
  state: string;
  reason: string | null;
  released: number;
}

type Query = Database['query'];

// What follows in the transaction looks its rows up by the command, also with a plan made while tables were small.
const lockOne = statement(
  'rollouts_lock',
  `select command_id as "commandId", plan, state, reason, released, set_config('enable_seqscan', 'off', true)
   from rollouts where command_id = $1 for update`,
);

/** Locks the rollout until the transaction ends. */
export async function lockRollout(query: Query, commandId: string): Promise<RolloutRow | undefined> {
  const [row] = await query<RolloutRow>(lockOne, [commandId]);
  return row;
}

const progressColumns = Object.entries(rolloutProgress('$2::int', '$3::int')).map(
  ([name, expression]) => `${expression} as "${name}"`,
);

const progress = statement(
  'rollouts_progress',
  `select ${progressColumns.join(', ')} from executions e where e.command_id = $1`,
);

export type RolloutProgressRow = {
  [K in keyof ReturnType<typeof rolloutProgress>]: K extends 'awaitsApproval' ? boolean : number;
};

/** How the executions of a rollout are. */
export async function readRolloutProgress(
  query: Query,
  commandId: string,
  released: number,
  canary: number,
): Promise<RolloutProgressRow> {
  const [row] = await query<RolloutProgressRow>(progress, [commandId, released, canary]);
  if (row === undefined) throw new Error('an aggregate without a row');
  return row;
}

const save = statement(
  'rollouts_save',
  `update rollouts set plan = $2::jsonb, state = $3, reason = $4, released = $5, updated_at = $6
   where command_id = $1`,
);

export async function saveRollout(query: Query, row: RolloutRow, at: Date): Promise<void> {
  const { commandId, plan, state, reason, released } = row;
  await query(save, [commandId, JSON.stringify(plan), state, reason, released, at]);
}

const release = statement(
  'rollouts_release',
  `with r as (
     select e.execution_id, a.maintenance,
       case when a.maintenance then jsonb_build_array($4::jsonb || jsonb_build_object('state', 'held',
         'cause', 'the agent is in maintenance: ' || coalesce(a.status_reason, '')))
         else jsonb_build_array($4::jsonb) end as transitions
     from executions e join agents a on a.agent_id = e.agent_id
     where e.command_id = $1 and e.position < $2 and e.state = 'held'
       and (e.hold = 'rollout' or e.hold = 'maintenance' and not a.maintenance)
     order by e.execution_id
     for update of e
   )
   update executions e set
     state = case when r.maintenance then 'held' else 'queued' end,
     hold = case when r.maintenance then 'maintenance' end,
     expires_at = least(e.expires_at, $3),
     deadline_at = least(e.expires_at, $3),
     transitions = e.transitions || r.transitions,
     revision = e.revision + 1,
     changed = pg_current_xact_id()
   from r where e.execution_id = r.execution_id
   returning e.agent_id as "agentId", e.position, e.state, e.attempt`,
);

/**
 * Lets executions before a position go: they are queued, or held where the agent is in maintenance, and
 * expire at that time at the latest.
 */
export const releaseExecutions = (
  query: Query,
  commandId: string,
  upTo: number,
  expiresAt: Date,
  transition: TransitionRow,
) =>
  query<{ agentId: string; position: number; state: string; attempt: number }>(release, [
    commandId,
    upTo,
    expiresAt,
    JSON.stringify(transition),
  ]);

const takeBack = statement(
  'rollouts_take_back',
  `with r as (
     select e.execution_id, c.expires_at
     from executions e join commands c using (command_id)
     where e.command_id = $1 and (e.state = 'queued' or e.state = 'held' and (e.hold = 'maintenance'
       or e.hold = 'rollout' and e.expires_at < c.expires_at))
     order by e.execution_id
     for update of e
   )
   update executions e set state = 'held', hold = 'rollout', expires_at = r.expires_at, deadline_at = r.expires_at,
     transitions = e.transitions || jsonb_build_array($2::jsonb), revision = e.revision + 1,
     changed = pg_current_xact_id()
   from r where e.execution_id = r.execution_id
   returning e.execution_id`,
);

/** Holds what was let go and is with no agent; it may wait as long as the command may. Answers with how many. */
export async function takeBackExecutions(
  query: Query,
  commandId: string,
  transition: TransitionRow,
): Promise<number> {
  return (await query(takeBack, [commandId, JSON.stringify(transition)])).length;
}

// What an agent was handed, and may have run, cannot be called cancelled.
const calledOff = `case when e.epoch is null then 'cancelled' else 'outcome_unknown' end`;

const cancelBefore = statement(
  'rollouts_cancel_before',
  `with r as (
     select e.execution_id from executions e
     where e.command_id = $1 and ($2::int is null or e.position < $2) and e.state in ('queued', 'held')
     order by e.execution_id
     for update of e
   )
   update executions e set state = ${calledOff}, hold = null, deadline_at = null, cancel_reason = $4,
     transitions = e.transitions || jsonb_build_array($3::jsonb || jsonb_build_object('state', ${calledOff})), revision = e.revision + 1,
     changed = pg_current_xact_id()
   from r where e.execution_id = r.execution_id
   returning e.execution_id`,
);

/** Cancels what waits, before a position or wherever it is. Answers with how many. */
export async function cancelUnsent(
  query: Query,
  commandId: string,
  before: number | undefined,
  transition: TransitionRow,
): Promise<number> {
  const values = [commandId, before ?? null, JSON.stringify(transition), transition.cause];
  return (await query(cancelBefore, values)).length;
}

const running = statement(
  'rollouts_running',
  `select command_id as "commandId" from rollouts where state = 'running'`,
);

const unfinished = statement(
  'rollouts_unfinished',
  `select r.command_id as "commandId" from rollouts r
   where r.state in ('running', 'paused') or r.state in ('stopped', 'aborted') and exists (
     select 1 from executions e where e.command_id = r.command_id and e.deadline_at is not null)`,
);

const idsOf = (rows: { commandId: string }[]) => rows.map((row) => row.commandId);

export const runningRollouts = async (query: Query) => idsOf(await query(running, []));

/** Those whose executions have not all ended. Reads every rollout: for the start of the service. */
export const unfinishedRollouts = async (query: Query) => idsOf(await query(unfinished, []));

const list = statement(
  'rollouts_list',
  `select ${commandColumns} from rollouts o join commands c using (command_id)
   where ($1::text is null or o.state = $1) and ($2::uuid is null or o.command_id < $2)
     and ${inScope('$4', '$5')}
   order by o.command_id desc limit $3`,
);

/** Commands that are rollouts, newest first; `before` is the last id of the page before. */
export const listRolloutCommands = (
  query: Query,
  state: string | undefined,
  before: string | undefined,
  limit: number,
  scope: Scope | undefined,
) => query<StoredCommand>(list, [state, before, limit, scope?.sites, scope && likePatterns(scope)]);
