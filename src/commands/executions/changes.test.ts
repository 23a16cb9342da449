import fc from 'fast-check';
import { expect, test } from 'vitest';
import { apply, type Row } from '../../../test/model/storage.ts';
import type { ExecutionChange } from '../../storage/execution-changes.ts';
import { type ExecutionState, executionStates } from '../types.ts';
import { mergeChanges } from './changes.ts';
import { allowedFrom } from './state.ts';

function change(
  executionId: string,
  to: ExecutionState,
  part: Partial<ExecutionChange> = {},
): ExecutionChange {
  return {
    executionId,
    from: allowedFrom[to],
    epoch: 1,
    attempt: 1,
    transitions: [{ state: to, cause: '', at: '2026-01-01T00:00:00.000Z' }],
    deadlineAt: null,
    ...part,
  };
}

const rowOf = (executionId: string, state: ExecutionState, cancelReason: string | null): Row => ({
  executionId,
  commandId: '',
  agentId: 'agent',
  state,
  hold: null,
  epoch: 1,
  attempt: 1,
  retries: 0,
  maxRetries: 0,
  verb: 'exec',
  timeoutMs: 1,
  expiresAt: new Date(0),
  cancelReason,
  revision: 1,
  deadlineAt: null,
  history: [],
});

const ids = ['a', 'b', 'c'];
const changes = fc.array(
  fc
    .record({
      id: fc.constantFrom(...ids),
      to: fc.constantFrom(...executionStates),
      epoch: fc.option(fc.constantFrom(1, 2), { nil: undefined }),
      revision: fc.option(fc.constantFrom(1, 2), { nil: undefined, freq: 4 }),
      newEpoch: fc.option(fc.constantFrom(2, null), { nil: undefined, freq: 4 }),
      retry: fc.option(fc.constant(true), { nil: undefined, freq: 4 }),
      agentId: fc.option(fc.constantFrom('agent', 'another'), { nil: undefined, freq: 4 }),
      newAttempt: fc.option(fc.constant(2), { nil: undefined, freq: 4 }),
      attempt: fc.constantFrom(1, 1, 1, 2),
    })
    .map(({ id, to, ...guards }) => change(id, to, guards)),
  { maxLength: 12 },
);

test('a batch ends in the states that its changes one by one would have led to', () => {
  fc.assert(
    fc.property(
      changes,
      fc.constantFrom(...executionStates),
      fc.constantFrom(null, 'called off'),
      (batch, state, reason) => {
        const start = (): Map<string, Row> => new Map(ids.map((id) => [id, rowOf(id, state, reason)]));
        const [oneByOne, merged] = [start(), start()];
        for (const one of batch) apply(oneByOne, [one]);
        for (const round of mergeChanges(batch)) apply(merged, round.changes);
        for (const id of ids) {
          // A merged change is one revision where its parts were several.
          expect({ ...merged.get(id), revision: 0 }).toEqual({ ...oneByOne.get(id), revision: 0 });
        }
      },
    ),
    { numRuns: 2000 },
  );
});

test('no round changes an execution twice, and every change is in exactly one', () => {
  fc.assert(
    fc.property(changes, (batch) => {
      const rounds = mergeChanges(batch);
      for (const { changes: round } of rounds) {
        expect(new Set(round.map((one) => one.executionId)).size).toBe(round.length);
      }
      const parts = rounds.flatMap((round) => round.parts);
      expect(parts).toHaveLength(batch.length);
      expect(new Set(parts)).toEqual(new Set(batch));
    }),
  );
});

test('accepted, running and the result of one execution become one change with all their times', () => {
  const result = { exitCode: 0 } as NonNullable<ExecutionChange['result']>;
  const rounds = mergeChanges([
    change('a', 'accepted'),
    change('b', 'accepted'),
    change('a', 'running'),
    change('a', 'succeeded', { result }),
  ]);
  expect(rounds).toHaveLength(1);
  const [a, b] = rounds[0]?.changes ?? [];
  expect(a?.transitions.map((t) => t.state)).toEqual(['accepted', 'running', 'succeeded']);
  expect(a?.result).toBe(result);
  expect(b?.transitions).toHaveLength(1);
});

test('a second result, or progress after a result, is not merged with it', () => {
  const rounds = mergeChanges([change('a', 'succeeded'), change('a', 'failed'), change('a', 'running')]);
  expect(rounds.map((round) => round.changes.map((one) => one.transitions.at(-1)?.state))).toEqual([
    ['succeeded'],
    ['failed'],
    ['running'],
  ]);
});

test('what a deadline decided does not overrule a result of the same batch', () => {
  const late = change('a', 'outcome_unknown', { epoch: undefined, attempt: undefined, revision: 3 });
  const rounds = mergeChanges([change('a', 'succeeded'), late]);
  expect(rounds).toHaveLength(2);
});
