import type { Bus } from '../bus/bus.ts';
import type { Metrics } from '../lib/metrics.ts';
import { type BatchWriter, createBatchWriter } from '../storage/batch-writer.ts';
import type { Database } from '../storage/database.ts';
import {
  type AppliedChange,
  applyExecutionChanges,
  type ExecutionChange,
} from '../storage/execution-changes.ts';
import { type ExecutionState, finalStates } from './types.ts';

/**
 * The writer through which every change of an execution goes. Changes of one execution that wait for the
 * same batch become one row update with all their times.
 */
export type ChangeWriter = BatchWriter<ExecutionChange, AppliedChange | undefined>;

export interface ChangeWriterDeps {
  database: Database;
  bus: Bus;
  metrics: Metrics;
}

export function createChangeWriter({ database, bus, metrics }: ChangeWriterDeps): ChangeWriter {
  return createBatchWriter<ExecutionChange, AppliedChange | undefined>({
    async write(changes) {
      const merged = mergeChanges(changes);
      const applied = await applyExecutionChanges(database.query, merged);
      const byId = new Map(applied.map((row) => [row.executionId, row]));
      for (const change of merged) {
        const state = change.transitions.at(-1)?.state as ExecutionState;
        if (byId.has(change.executionId) && finalStates.has(state)) {
          metrics.executionsFinished.inc({ state });
        }
      }
      for (const commandId of new Set(applied.map((row) => row.commandId)))
        bus.publish('command.changed', commandId);
      return changes.map((change) => byId.get(change.executionId));
    },
    maximumBatch: 2000,
    maximumWaiting: 200_000,
    retryForMs: 600_000,
    onBatch: (weight) => metrics.batchRows.observe({ writer: 'executions' }, weight),
  });
}

/** One change for each execution: the later one's state and guard, and the transitions of all. */
export function mergeChanges(changes: readonly ExecutionChange[]): ExecutionChange[] {
  const merged = new Map<string, ExecutionChange>();
  for (const change of changes) {
    const earlier = merged.get(change.executionId);
    if (earlier === undefined) {
      merged.set(change.executionId, change);
      continue;
    }
    merged.set(change.executionId, {
      ...change,
      // The row is still where the earlier change expects it, or where the later one does.
      from: [...new Set([...earlier.from, ...change.from])],
      transitions: [...earlier.transitions, ...change.transitions],
      newEpoch: change.newEpoch ?? earlier.newEpoch,
      result: change.result ?? earlier.result,
    });
  }
  return [...merged.values()];
}
