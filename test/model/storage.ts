import type { ExecutionChange } from '../../src/storage/execution-changes.ts';
import type { OpenRow } from '../../src/storage/executions.ts';

/** What the model keeps of an execution's row: everything that a decision looks at. */
export interface Row extends OpenRow {
  agentId: string;
  deadlineAt: Date | null;
  /** The states that it was in, with their causes. */
  history: { state: string; cause: string }[];
}

/** One statement over the rows: what `applyExecutionChanges` does in SQL, which a test compares with this. */
export function apply(rows: Map<string, Row>, changes: readonly ExecutionChange[]): Set<string> {
  const applied = new Set<string>();
  for (const change of changes) {
    const row = rows.get(change.executionId);
    if (row === undefined || !fits(row, change)) continue;
    applied.add(row.executionId);
    rows.set(row.executionId, changed(row, change));
  }
  return applied;
}

function fits(row: Row, change: ExecutionChange): boolean {
  const { epoch, attempt, revision, agentId } = change;
  return (
    change.from.includes(row.state) &&
    (epoch === undefined || epoch === row.epoch) &&
    (attempt === undefined || attempt === row.attempt) &&
    (revision === undefined || revision === row.revision) &&
    (agentId === undefined || agentId === row.agentId)
  );
}

function changed(row: Row, change: ExecutionChange): Row {
  const transitions = change.transitions.map(({ state, cause }) => ({ state, cause }));
  const wanted = transitions.at(-1)?.state ?? row.state;
  const calledOff = row.cancelReason !== null && (wanted === 'queued' || wanted === 'held');
  if (calledOff) transitions.push({ state: 'cancelled', cause: row.cancelReason ?? '' });
  return {
    ...row,
    state: calledOff ? 'cancelled' : wanted,
    hold: !calledOff && wanted === 'held' ? (change.hold ?? null) : null,
    attempt: change.newAttempt ?? row.attempt,
    retries: row.retries + (change.retry ? 1 : 0),
    epoch: change.newEpoch === undefined ? row.epoch : change.newEpoch,
    revision: row.revision + 1,
    deadlineAt: calledOff ? null : change.deadlineAt,
    history: [...row.history, ...transitions],
  };
}
