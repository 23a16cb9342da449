import { countsOf, type StoredCommand } from './commands.ts';
import { type Database, statement } from './database.ts';
import type { ResultColumns, TransitionRow } from './execution-changes.ts';
import { rolloutOf, type StoredRollout } from './rollout-columns.ts';

/** An execution as it is read back. */
export interface StoredExecution extends Omit<ResultColumns, 'output'> {
  executionId: string;
  commandId: string;
  agentId: string;
  position: number;
  state: string;
  attempt: number;
  transitions: TransitionRow[];
  revision: number;
  output: Record<string, unknown> | null;
}

const executionColumns = `e.execution_id as "executionId", e.command_id as "commandId", e.agent_id as "agentId",
  e.position, e.state, e.attempt, e.transitions, e.revision, e.exit_code as "exitCode", e.signal,
  e.stdout, e.stdout_total::float8 as "stdoutTotal", e.stdout_truncated as "stdoutTruncated",
  e.stderr, e.stderr_total::float8 as "stderrTotal", e.stderr_truncated as "stderrTruncated",
  e.output, e.failure_code as "failureCode", e.failure_message as "failureMessage",
  e.started_at as "startedAt", e.finished_at as "finishedAt"`;

const executionsOf = statement(
  'executions_of_command',
  `select ${executionColumns} from executions e
   where e.command_id = $1 and e.position > $2 order by e.position limit $3`,
);

/** In the order in which the command named its agents. */
export const listExecutions = (
  query: Database['query'],
  commandId: string,
  afterPosition: number,
  limit: number,
) => query<StoredExecution>(executionsOf, [commandId, afterPosition, limit]);

const changedSinceWith = (name: string, rollout: string) =>
  statement(
    name,
    `with h as (
       select pg_snapshot_xmin(pg_current_snapshot())::text as horizon, (${countsOf('$1')}) as counts,
         exists (
           select 1 from execution_output o where o.command_id = $1 and o.changed >= $2::text::xid8
         ) as streamed, ${rollout} as rollout
     )
     select h.horizon, h.counts, h.streamed, h.rollout, ${executionColumns}
     from h left join executions e on e.command_id = $1 and e.changed >= $2::text::xid8 and e.position > $3
     order by e.position limit $4`,
  );

const changedSince = changedSinceWith('executions_changed_since', 'null::jsonb');
const rolloutChangedSince = changedSinceWith('executions_changed_since_rollout', rolloutOf('$1'));

export interface ChangedExecutions {
  /** The oldest transaction that was still under way in this snapshot. */
  horizon: string;
  /** How many executions of the command were in which state in this snapshot. */
  counts: Record<string, number>;
  /** Processes wrote something since. */
  streamed: boolean;
  /** Its rollout in this snapshot, if it was asked for. */
  rollout: StoredRollout | null;
  executions: StoredExecution[];
}

/**
 * Executions of a command that changed in or after a transaction, from a position on. Whoever asks next from
 * the horizon skips nothing that commits late, and may see a change again (told by its revision).
 */
export async function executionsChangedSince(
  query: Database['query'],
  commandId: string,
  since: string,
  afterPosition: number,
  limit: number,
  withRollout: boolean,
): Promise<ChangedExecutions> {
  const rows = await query<
    StoredExecution &
      Pick<ChangedExecutions, 'horizon' | 'rollout' | 'streamed'> &
      Pick<StoredCommand, 'counts'>
  >(withRollout ? rolloutChangedSince : changedSince, [commandId, since, afterPosition, limit]);
  return {
    horizon: rows[0]?.horizon ?? since,
    counts: rows[0]?.counts ?? {},
    streamed: rows[0]?.streamed ?? false,
    rollout: rows[0]?.rollout ?? null,
    executions: rows.filter((row) => row.executionId !== null),
  };
}
