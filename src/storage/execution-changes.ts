import {
  boolColumn,
  bytesColumn,
  hexColumn,
  int4Column,
  int8Column,
  jsonColumn,
  textColumn,
  timeColumn,
  uuidColumn,
} from './columns.ts';
import { type Database, lookup } from './database.ts';

/** The one way in which the state of an execution changes after it was made. */

export interface ResultColumns {
  exitCode: number | null;
  signal: string | null;
  stdout: Uint8Array | null;
  stdoutTotal: number | null;
  stdoutTruncated: boolean | null;
  stderr: Uint8Array | null;
  stderrTotal: number | null;
  stderrTruncated: boolean | null;
  output: string | null;
  failureCode: string | null;
  failureMessage: string | null;
  startedAt: Date | null;
  finishedAt: Date | null;
}

/** Nothing of a result is known. */
export const noResult: ResultColumns = {
  exitCode: null,
  signal: null,
  stdout: null,
  stdoutTotal: null,
  stdoutTruncated: null,
  stderr: null,
  stderrTotal: null,
  stderrTruncated: null,
  output: null,
  failureCode: null,
  failureMessage: null,
  startedAt: null,
  finishedAt: null,
};

export interface TransitionRow {
  state: string;
  cause: string;
  /** ISO 8601, UTC. */
  at: string;
}

export interface ExecutionChange {
  executionId: string;
  /** Applied only where the row is in one of these states … */
  from: readonly string[];
  /** … and, where these are given, under this epoch, attempt and revision, and of this agent. */
  epoch?: number | undefined;
  attempt?: number | undefined;
  revision?: number | undefined;
  agentId?: string | undefined;
  /** Oldest first; the last one is the new state. */
  transitions: TransitionRow[];
  /**
   * The session that owns the execution from now on; null where it is known that no agent has it; undefined
   * leaves it as it is.
   */
  newEpoch?: number | null | undefined;
  /** The attempt that is offered next; undefined leaves it as it is. */
  newAttempt?: number | undefined;
  /** Vouches for it. */
  attemptBinding?: string | undefined;
  /** The next attempt is a retry, and counted as one. */
  retry?: boolean | undefined;
  deadlineAt: Date | null;
  /** Why it is held, where its new state is held. */
  hold?: string | undefined;
  result?: ResultColumns | undefined;
}

export interface AppliedChange {
  executionId: string;
  commandId: string;
  agentId: string;
  /** The state that it is in now. */
  state: string;
}

/** What was cancelled while an agent had it is not queued again. */
const cancelledInstead = `x.state in ('queued', 'held') and e.cancel_reason is not null`;

/**
 * What belongs to a rollout is not queued again but given back to it: only the rollout lets it go. Asked for
 * changes that queue something, and for no other.
 */
const gated = `case when x.state = 'queued' and e.cancel_reason is null
  then (select true from rollouts ro where ro.command_id = e.command_id) end`;

const applyChanges = lookup(
  'executions_apply',
  `with x as (
     select * from unnest($1::uuid[], $2::text[], $3::bigint[], $4::bigint[], $5::int[], $6::text[], $7::text[],
       $8::text[], $9::bigint[], $10::timestamptz[], $11::bool[], $12::int[], $13::text[], $14::bytea[],
       $15::bigint[], $16::bool[], $17::bytea[], $18::bigint[], $19::bool[], $20::text[], $21::text[],
       $22::text[], $23::timestamptz[], $24::timestamptz[], $25::int[], $26::text[],
       $27::bool[], $28::bytea[])
     as x(execution_id, from_states, epoch, attempt, revision, agent_id, state, transitions, new_epoch,
       deadline_at, has_result, exit_code, signal, stdout, stdout_total, stdout_truncated, stderr, stderr_total,
       stderr_truncated, output, failure_code, failure_message, started_at, finished_at, new_attempt, hold,
       retry, attempt_binding)
     order by execution_id
   )
   update executions e set
     state = case when ${cancelledInstead} then 'cancelled' when ${gated} then 'held' else x.state end,
     transitions = case
       when ${cancelledInstead}
       then e.transitions || x.transitions::jsonb || jsonb_build_array(jsonb_build_object('state', 'cancelled',
         'cause', e.cancel_reason, 'at', x.transitions::jsonb -> -1 -> 'at'))
       when ${gated} then e.transitions || jsonb_set(x.transitions::jsonb, '{-1,state}', '"held"')
       else e.transitions || x.transitions::jsonb end,
     hold = case when ${cancelledInstead} then null when ${gated} then 'rollout'
       when x.state = 'held' then x.hold end,
     revision = e.revision + 1,
     changed = pg_current_xact_id(),
     epoch = case when x.new_epoch = 0 then null else coalesce(x.new_epoch, e.epoch) end,
     attempt = coalesce(x.new_attempt, e.attempt),
     attempt_binding = coalesce(x.attempt_binding, e.attempt_binding),
     retries = case when x.retry then e.retries + 1 else e.retries end,
     deadline_at = case when ${cancelledInstead} then null else x.deadline_at end,
     exit_code = case when x.has_result then x.exit_code else e.exit_code end,
     signal = case when x.has_result then x.signal else e.signal end,
     stdout = case when x.has_result then x.stdout else e.stdout end,
     stdout_total = case when x.has_result then x.stdout_total else e.stdout_total end,
     stdout_truncated = case when x.has_result then x.stdout_truncated else e.stdout_truncated end,
     stderr = case when x.has_result then x.stderr else e.stderr end,
     stderr_total = case when x.has_result then x.stderr_total else e.stderr_total end,
     stderr_truncated = case when x.has_result then x.stderr_truncated else e.stderr_truncated end,
     output = case when x.has_result then x.output::jsonb else e.output end,
     failure_code = case when x.has_result then x.failure_code else e.failure_code end,
     failure_message = case when x.has_result then x.failure_message else e.failure_message end,
     started_at = case when x.has_result then x.started_at else e.started_at end,
     finished_at = case when x.has_result then x.finished_at else e.finished_at end
   from x
   where e.execution_id = x.execution_id
     and e.state = any(string_to_array(x.from_states, ','))
     and (x.epoch is null or e.epoch = x.epoch)
     and (x.attempt is null or e.attempt = x.attempt)
     and (x.revision is null or e.revision = x.revision)
     and (x.agent_id is null or e.agent_id = x.agent_id)
   returning e.execution_id as "executionId", e.command_id as "commandId", e.agent_id as "agentId",
     e.state`,
);

/**
 * Applies many changes in one transaction. A change that no longer fits its row is left out; the answer
 * names those that were applied. There must be at most one change for each execution.
 */
export async function applyExecutionChanges(
  query: Database['query'],
  changes: readonly ExecutionChange[],
): Promise<AppliedChange[]> {
  if (changes.length === 0) return [];
  return query<AppliedChange>(applyChanges, [
    uuidColumn(changes, (c) => c.executionId),
    textColumn(changes, (c) => c.from.join(',')),
    int8Column(changes, (c) => c.epoch),
    int8Column(changes, (c) => c.attempt),
    int4Column(changes, (c) => c.revision),
    textColumn(changes, (c) => c.agentId),
    textColumn(changes, (c) => c.transitions.at(-1)?.state),
    jsonColumn(changes, (c) => c.transitions),
    // Epochs begin at 1.
    int8Column(changes, (c) => (c.newEpoch === null ? 0 : c.newEpoch)),
    timeColumn(changes, (c) => c.deadlineAt),
    boolColumn(changes, (c) => c.result !== undefined || undefined),
    int4Column(changes, (c) => c.result?.exitCode),
    textColumn(changes, (c) => c.result?.signal),
    bytesColumn(changes, (c) => c.result?.stdout),
    int8Column(changes, (c) => c.result?.stdoutTotal),
    boolColumn(changes, (c) => c.result?.stdoutTruncated),
    bytesColumn(changes, (c) => c.result?.stderr),
    int8Column(changes, (c) => c.result?.stderrTotal),
    boolColumn(changes, (c) => c.result?.stderrTruncated),
    textColumn(changes, (c) => c.result?.output),
    textColumn(changes, (c) => c.result?.failureCode),
    textColumn(changes, (c) => c.result?.failureMessage),
    timeColumn(changes, (c) => c.result?.startedAt),
    timeColumn(changes, (c) => c.result?.finishedAt),
    int4Column(changes, (c) => c.newAttempt),
    textColumn(changes, (c) => c.hold),
    boolColumn(changes, (c) => c.retry || undefined),
    hexColumn(changes, (c) => c.attemptBinding),
  ]);
}
