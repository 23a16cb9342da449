import type { Bus } from '../../bus/bus.ts';
import type { Metrics } from '../../lib/metrics.ts';
import { type BatchWriter, createBatchWriter } from '../../storage/batch-writer.ts';
import type { ExecutionBinding } from '../../storage/bound-rows.ts';
import type { Database } from '../../storage/database.ts';
import {
  type AppliedChange,
  applyExecutionChanges,
  type ExecutionChange,
} from '../../storage/execution-changes.ts';
import { type ExecutionState, finalStates } from '../types.ts';

/**
 * The writer through which every change of an execution goes. Changes of one execution that wait for the
 * same batch become one row update with all their times.
 */
export type ChangeWriter = BatchWriter<ExecutionChange, AppliedChange | undefined>;

export interface ChangeWriterDeps {
  database: Database;
  bus: Bus;
  metrics: Metrics;
  binding: Pick<ExecutionBinding, 'bindAttempt'>;
}

export function createChangeWriter({ database, bus, metrics, binding }: ChangeWriterDeps): ChangeWriter {
  return createBatchWriter<ExecutionChange, AppliedChange | undefined>({
    async write(changes) {
      const rounds = mergeChanges(changes);
      for (const round of rounds)
        for (const change of round.changes)
          if (change.newAttempt !== undefined)
            change.attemptBinding = binding.bindAttempt(change.executionId, change.newAttempt);
      const answers = await applyRounds(database, rounds);
      const commandIds = new Set<string>();
      for (const applied of answers) {
        for (const { state, commandId } of applied.values()) {
          commandIds.add(commandId);
          if (finalStates.has(state as ExecutionState)) metrics.executionsFinished.inc({ state });
        }
      }
      for (const commandId of commandIds) bus.publish('command.changed', commandId);
      const roundOf = new Map(rounds.flatMap((round, n) => round.parts.map((part) => [part, n] as const)));
      return changes.map((change) => answers[roundOf.get(change) ?? 0]?.get(change.executionId));
    },
    maximumBatch: 2000,
    maximumWaiting: 200_000,
    retryForMs: 600_000,
    onBatch: (weight) => metrics.batchRows.observe({ writer: 'executions' }, weight),
  });
}

/** Changes of different executions, which one statement applies. */
export interface Round {
  changes: ExecutionChange[];
  /** What they were merged from. */
  parts: ExecutionChange[];
}

async function applyRounds(
  database: Database,
  rounds: readonly Round[],
): Promise<Map<string, AppliedChange>[]> {
  const [first, ...more] = rounds;
  if (first === undefined) return [];
  const apply = async (query: Database['query'], { changes }: Round) => {
    const applied = await applyExecutionChanges(query, changes);
    return new Map(applied.map((row) => [row.executionId, row]));
  };
  if (more.length === 0) return [await apply(database.query, first)];
  // All or nothing: a batch that is written again must find its rows as they were.
  return database.transaction(async (query) => {
    const answers = [];
    for (const round of rounds) answers.push(await apply(query, round));
    return answers;
  });
}

interface Merging {
  merged: Map<string, ExecutionChange>;
  parts: ExecutionChange[];
}

/**
 * The changes in as few rounds as their order allows. A change that goes on from where the one before it
 * leads is merged with it: its state, and the transitions of both. Any other waits for the next round, where
 * it meets the row as the one before has left it.
 */
export function mergeChanges(changes: readonly ExecutionChange[]): Round[] {
  const rounds: Merging[] = [];
  /** The round in which the execution is changed last. */
  const lastRound = new Map<string, number>();
  for (const change of changes) {
    const { executionId } = change;
    let at = lastRound.get(executionId) ?? 0;
    const earlier = rounds[at]?.merged.get(executionId);
    const together = earlier === undefined ? change : joined(earlier, change);
    if (together === undefined) at += 1;
    const round: Merging = rounds[at] ?? { merged: new Map(), parts: [] };
    rounds[at] = round;
    round.merged.set(executionId, together ?? change);
    round.parts.push(change);
    lastRound.set(executionId, at);
  }
  return rounds.map(({ merged, parts }) => ({ changes: [...merged.values()], parts }));
}

/** Both as one change, or undefined where the later one does not simply go on from the earlier one. */
function joined(earlier: ExecutionChange, later: ExecutionChange): ExecutionChange | undefined {
  const reached = earlier.transitions.at(-1)?.state;
  const goesOn =
    reached !== undefined &&
    reached !== 'queued' &&
    later.from.includes(reached) &&
    later.revision === undefined &&
    earlier.revision === undefined &&
    earlier.newEpoch === undefined &&
    earlier.newAttempt === undefined &&
    !earlier.retry &&
    later.epoch === earlier.epoch &&
    later.attempt === earlier.attempt &&
    later.agentId === earlier.agentId;
  if (!goesOn) return undefined;
  return {
    ...later,
    // The row is still where the earlier change expects it, or where the later one does.
    from: [...new Set([...earlier.from, ...later.from])],
    transitions: [...earlier.transitions, ...later.transitions],
    result: later.result ?? earlier.result,
  };
}
