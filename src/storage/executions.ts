import type { UnapprovedRow } from './approvals.ts';
import { int8Column, textColumn, uuidColumn } from './columns.ts';
import { type Database, lookup, statement } from './database.ts';
import type { TransitionRow } from './execution-changes.ts';

/** What the outbox needs to make a COMMAND of an execution. */
export interface OrderRow {
  executionId: string;
  commandId: string;
  agentId: string;
  incarnation: number;
  epoch: number;
  attempt: number;
  retries: number;
  maxRetries: number;
  verb: string;
  argsBytes: Uint8Array;
  timeoutMs: number;
  expiresAt: Date;
  traceparent: string | null;
}

/** An execution that was taken, and what it was bound to when it was submitted. */
export interface TakenRow extends OrderRow {
  actor: string;
  /** Of its command. */
  commandExpiresAt: Date;
  binding: Uint8Array | null;
  attemptBinding: Uint8Array | null;
}

/** With limits of single verbs, what is beyond them stays where it is; otherwise their cost is not paid. */
const takeText = (limited: boolean) => `with wants as (
     select * from unnest($1::text[], $2::bigint[], $3::int[], $7::bigint[])
       as w(agent_id, epoch, credit, incarnation)
   ), picked as (
     select e.execution_id, e.verb, e.rank, w.epoch
     from wants w
     join agents a on a.agent_id = w.agent_id and a.epoch = w.epoch and a.incarnation = w.incarnation
       and not a.maintenance
     cross join lateral (
       select q.execution_id, q.verb, q.rank from executions q
       where q.agent_id = w.agent_id and q.state = 'queued' and q.incarnation = a.incarnation
         and q.expires_at > $4 and q.cancel_reason is null ${limited ? 'and q.verb <> all($8::text[])' : ''}
       order by q.rank, q.execution_id
       limit w.credit
       for update skip locked
     ) e
   )${limited ? withinLimits : ''}
   update executions e set
     state = 'sent',
     epoch = p.epoch,
     deadline_at = $5,
     transitions = e.transitions || $6::jsonb,
     revision = e.revision + 1,
     changed = pg_current_xact_id()
   from ${limited ? 'within' : 'picked'} p, commands c
   where e.execution_id = p.execution_id and c.command_id = e.command_id
   returning e.execution_id as "executionId", e.command_id as "commandId", e.agent_id as "agentId",
     e.incarnation, e.epoch::int8 as epoch, e.attempt, e.retries,
     c.max_retries as "maxRetries", e.verb, c.args_bytes as "argsBytes",
     c.timeout_ms as "timeoutMs", e.expires_at as "expiresAt", c.traceparent, e.rank::float8 as rank,
     c.actor, c.expires_at as "commandExpiresAt", e.binding, e.attempt_binding as "attemptBinding"`;

const withinLimits = `, within as (
     select n.execution_id, n.epoch
     from (
       select p.*, row_number() over (partition by p.verb order by p.rank, p.execution_id) as place from picked p
     ) n
     left join unnest($9::text[], $10::int[]) as l(verb, room) on l.verb = n.verb
     where l.room is null or n.place <= l.room
   )`;

const takeDue = lookup('executions_take', takeText(false));
const takeDueLimited = lookup('executions_take_limited', takeText(true));

/**
 * Marks as sent, for many agents in one statement, what is due for them: lowest rank first, then oldest, up
 * to each agent's credit. An agent whose epoch or incarnation has moved on, or that is in maintenance, gets
 * nothing.
 * @param verbs those with a limit of their own, and what is left of it
 */
export async function takeDueExecutions(
  query: Database['query'],
  wants: readonly { agentId: string; incarnation: number; epoch: number; credit: number }[],
  at: { now: Date; deadline: Date; transition: TransitionRow },
  verbs: readonly { verb: string; room: number }[],
): Promise<TakenRow[]> {
  const limited = verbs.length > 0;
  const rows = await query<TakenRow & { rank: number }>(limited ? takeDueLimited : takeDue, [
    wants.map((want) => want.agentId),
    wants.map((want) => want.epoch),
    wants.map((want) => want.credit),
    at.now,
    at.deadline,
    JSON.stringify([at.transition]),
    wants.map((want) => want.incarnation),
    ...(limited
      ? [
          verbs.filter(({ room }) => room === 0).map(({ verb }) => verb),
          verbs.map(({ verb }) => verb),
          verbs.map(({ room }) => room),
        ]
      : []),
  ]);
  rows.sort((a, b) => a.rank - b.rank || (a.executionId < b.executionId ? -1 : 1));
  return rows.map((row) => ({ ...row, epoch: Number(row.epoch), timeoutMs: Number(row.timeoutMs) }));
}

const forgotten = lookup(
  'executions_forgotten',
  `select f.* from (
     select a.id as "agentId",
       exists (select 1 from executions e where e.agent_id = a.id and e.state = 'queued') as queued,
       not g.maintenance and exists (
         select 1 from executions e where e.agent_id = a.id and e.state = 'held' and e.hold = 'maintenance'
       ) as held
     from unnest($1::text[]) as a(id) join agents g on g.agent_id = a.id
   ) f where f.queued or f.held`,
);

/** Of these agents, those that have something queued, or held for a maintenance that is over. */
export const agentsWithForgotten = (query: Database['query'], agentIds: readonly string[]) =>
  query<{ agentId: string; queued: boolean; held: boolean }>(forgotten, [agentIds]);

export interface OpenRow {
  executionId: string;
  commandId: string;
  state: string;
  hold: string | null;
  /** The session that it was handed to last; null where no agent can have it. */
  epoch: number | null;
  attempt: number;
  retries: number;
  maxRetries: number;
  verb: string;
  timeoutMs: number;
  expiresAt: Date;
  cancelReason: string | null;
  revision: number;
}

const openRows = `e.execution_id as "executionId", e.command_id as "commandId", e.agent_id as "agentId",
  e.state, e.hold, e.epoch::float8 as epoch, e.attempt, e.retries, c.max_retries as "maxRetries", e.verb, c.timeout_ms::float8 as "timeoutMs", e.expires_at as "expiresAt",
  e.cancel_reason as "cancelReason", e.revision`;

const openOfAgents = lookup(
  'executions_open_of_agents',
  `with x as (
     select * from unnest($1::text[], $2::int8[]) with ordinality as x(agent_id, incarnation, at)
   )
   select x.at::int as at, ${openRows} from x
   join executions e on e.agent_id = x.agent_id and e.incarnation = x.incarnation
     and e.state in ('sent', 'accepted', 'running')
   join commands c using (command_id)
   union all
   select x.at::int, ${openRows} from x
   join executions e on e.agent_id = x.agent_id and e.incarnation = x.incarnation
     and e.state in ('queued', 'held') and e.epoch is not null
   join commands c using (command_id)
   union all
   select x.at::int, ${openRows} from unnest($3::int8[], $4::uuid[]) as l(at, execution_id)
   join x on x.at = l.at
   join executions e on e.execution_id = l.execution_id and e.agent_id = x.agent_id
     and e.incarnation = x.incarnation
     and (e.state = 'outcome_unknown' or e.state in ('queued', 'held') and e.epoch is null)
   join commands c using (command_id)`,
);

const attemptOf = statement(
  'executions_attempt',
  `select attempt, deadline_at is null as ended,
     case when $2::int = 1 then stdout else stderr end as whole,
     (case when $2::int = 1 then stdout_total else stderr_total end)::float8 as "totalBytes"
   from executions where execution_id = $1`,
);

export interface AttemptRow {
  attempt: number;
  /** It is in a final state. */
  ended: boolean;
  /** The stream as it came with the result; null where it was streamed, or is not known yet. */
  whole: Uint8Array | null;
  totalBytes: number | null;
}

/** @param stream 1 stdout, 2 stderr */
export async function findAttempt(
  query: Database['query'],
  executionId: string,
  stream: number,
): Promise<AttemptRow | undefined> {
  const [row] = await query<AttemptRow>(attemptOf, [executionId, stream]);
  return row;
}

const verbOf = statement('executions_verb', `select verb from executions where execution_id = $1`);

export async function findVerb(query: Database['query'], executionId: string): Promise<string | undefined> {
  const [row] = await query<{ verb: string }>(verbOf, [executionId]);
  return row?.verb;
}

export interface AgentAccount {
  agentId: string;
  incarnation: number;
  /** Ids of the executions that it says it has. */
  account: readonly string[];
}

/** For each agent what the server thinks it has, and what it says it has, of this incarnation. */
export async function openExecutions(
  query: Database['query'],
  agents: readonly AgentAccount[],
): Promise<OpenRow[][]> {
  const lines = agents.flatMap(({ account }, index) => account.map((id) => ({ at: index + 1, id })));
  const rows = await query<OpenRow & { at: number }>(openOfAgents, [
    textColumn(agents, (agent) => agent.agentId),
    int8Column(agents, (agent) => agent.incarnation),
    int8Column(lines, (line) => line.at),
    uuidColumn(lines, (line) => line.id),
  ]);
  const found: OpenRow[][] = agents.map(() => []);
  for (const { at, ...row } of rows) found[at - 1]?.push(row);
  return found;
}

const overdue = lookup(
  'executions_overdue',
  `select ${openRows} from executions e join commands c using (command_id)
   where e.deadline_at <= $1 order by e.deadline_at limit $2`,
);

export const overdueExecutions = (query: Database['query'], now: Date, limit: number) =>
  query<OpenRow & { agentId: string }>(overdue, [now, limit]);

const cancelWaiting = statement(
  'executions_cancel_waiting',
  `update executions set state = 'cancelled', hold = null, deadline_at = null, transitions = transitions || $2::jsonb,
     revision = revision + 1, changed = pg_current_xact_id(), cancel_reason = $3
   where command_id = $1 and state in ('queued', 'held') and epoch is null
   returning execution_id`,
);

const cancelOpen = statement(
  'executions_cancel_open',
  `update executions set cancel_reason = coalesce(cancel_reason, $2)
   where command_id = $1 and state in ('queued', 'held', 'sent', 'accepted', 'running')
   returning execution_id as "executionId", agent_id as "agentId", attempt, epoch::float8 as epoch`,
);

const withdrawApproval = statement(
  'approvals_withdraw',
  `update approvals set state = 'withdrawn', decided_at = $2, reason = $3
   where command_id = $1 and state = 'pending'`,
);

const abortRollout = statement(
  'rollouts_abort',
  `update rollouts r set state = 'aborted', reason = $2, updated_at = $3
   where r.command_id = $1 and r.state in ('running', 'paused', 'stopped') and exists (
     select 1 from executions e where e.command_id = r.command_id and e.deadline_at is not null)`,
);

/** A row that was sent and comes back between two statements would be waiting for the one and open for the other. */
const lockOfCommand = statement(
  'executions_lock_of_command',
  `select from executions where command_id = $1 and deadline_at is not null order by execution_id for update`,
);

/**
 * Cancels what no agent can have, and marks what one may have; answers with the latter, for CANCEL to be sent. If
 * it is a rollout, it is over.
 */
export function cancelExecutions(
  database: Database,
  commandId: string,
  reason: string,
  transition: TransitionRow,
): Promise<{ executionId: string; agentId: string; attempt: number; epoch: number }[]> {
  return database.transaction(async (query) => {
    const at = new Date(transition.at);
    await query(withdrawApproval, [commandId, at, reason]);
    await query(abortRollout, [commandId, reason, at]);
    await query(lockOfCommand, [commandId]);
    await query(cancelWaiting, [commandId, JSON.stringify([transition]), reason]);
    return query(cancelOpen, [commandId, reason]);
  });
}

const inStates = statement(
  'executions_in_states',
  `select execution_id as "executionId", agent_id as "agentId", incarnation, verb, binding
   from executions where command_id = $1 and state = any($2::text[]) order by position`,
);

/** Of a command those that are in one of these states, in its order, with what they are bound to. */
export const executionsInStates = (query: Database['query'], commandId: string, states: readonly string[]) =>
  query<Omit<UnapprovedRow, 'commandId'>>(inStates, [commandId, states]);

/** What belongs to a rollout goes back to it, which alone lets it go. */
const toRollout = `case when $3 = 'queued'
  then (select true from rollouts ro where ro.command_id = e.command_id) end`;

const moveWaiting = statement(
  'executions_move_waiting',
  `update executions e set state = case when ${toRollout} then 'held' else $3 end,
     hold = case when $3 = 'held' then 'maintenance' when ${toRollout} then 'rollout' end,
     transitions = transitions || case when ${toRollout}
       then jsonb_set($4::jsonb, '{-1,state}', '"held"') else $4::jsonb end,
     revision = revision + 1, changed = pg_current_xact_id()
   where agent_id = $1 and state = $2 and hold is not distinct from case when $2 = 'held' then 'maintenance' end
   returning command_id as "commandId"`,
);

/** Holds an agent's queue, or lets it go. Answers with the commands that changed. */
export async function moveWaitingExecutions(
  query: Database['query'],
  agentId: string,
  from: 'queued' | 'held',
  transition: TransitionRow,
): Promise<string[]> {
  const rows = await query<{ commandId: string }>(moveWaiting, [
    agentId,
    from,
    transition.state,
    JSON.stringify([transition]),
  ]);
  return [...new Set(rows.map((row) => row.commandId))];
}

const neverHandedOver = `state in ('queued', 'held') and epoch is null`;

const cancelOlder = statement(
  'executions_cancel_older',
  `update executions set state = case when ${neverHandedOver} then 'cancelled' else 'outcome_unknown' end,
     hold = null, deadline_at = null, revision = revision + 1, changed = pg_current_xact_id(),
     transitions = transitions || jsonb_build_array(jsonb_build_object(
       'state', case when ${neverHandedOver} then 'cancelled' else 'outcome_unknown' end,
       'cause', $3::text, 'at', $4::text))
   where agent_id = $1 and incarnation < $2 and state in ('queued', 'held', 'sent', 'accepted', 'running')
   returning command_id as "commandId"`,
);

/** Ends what was meant for an earlier enrolment of the identity. Answers with the commands that changed. */
export async function endOlderIncarnations(
  query: Database['query'],
  agentId: string,
  incarnation: number,
  cause: string,
  at: Date,
): Promise<string[]> {
  const rows = await query<{ commandId: string }>(cancelOlder, [
    agentId,
    incarnation,
    cause,
    at.toISOString(),
  ]);
  return [...new Set(rows.map((row) => row.commandId))];
}

const waitingByVerb = statement(
  'executions_waiting_by_verb',
  `select agent_id as "agentId", verb, count(*)::int as count from executions
   where state in ('queued', 'held') group by agent_id, verb`,
);

/** How many executions wait, by agent and verb. */
export const countWaitingByVerb = (query: Database['query']) =>
  query<{ agentId: string; verb: string; count: number }>(waitingByVerb, []);

const byState = statement(
  'executions_by_state',
  `select state, count(*)::int as count from executions where deadline_at is not null group by state`,
);

/** How many executions that are not final are in each state. */
export const countOpenStates = (query: Database['query']) =>
  query<{ state: string; count: number }>(byState, []);
