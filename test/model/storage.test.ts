import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type ExecutionState, executionStates, finalStates } from '../../src/commands/types.ts';
import { newId } from '../../src/lib/ids.ts';
import { type Database, statement } from '../../src/storage/database.ts';
import { applyExecutionChanges, type ExecutionChange } from '../../src/storage/execution-changes.ts';
import { openTestDatabase } from '../support/postgres.ts';
import { apply, type Row } from './storage.ts';

/** The model's idea of a statement over the rows is what PostgreSQL does. */

let own: Awaited<ReturnType<typeof openTestDatabase>>;
let database: Database;

beforeAll(async () => {
  own = await openTestDatabase();
  database = own.database;
});

afterAll(() => own.drop());

const insert = statement(
  'model_insert',
  `insert into executions (execution_id, command_id, agent_id, incarnation, position, verb, rank, state, hold, epoch,
     attempt, retries, revision, cancel_reason, expires_at, deadline_at, transitions)
   values ($1, gen_random_uuid(), $2, 1, 0, 'exec', 0, $3, $4, $5, $6, $7, $8, $9, now(), $10, '[]')`,
);
const read = statement(
  'model_read',
  `select state, hold, epoch::float8 as epoch, attempt, retries, revision, deadline_at as "deadlineAt",
     jsonb_path_query_array(transitions, '$[*].state') as states, jsonb_path_query_array(transitions, '$[*].cause') as causes
   from executions where execution_id = $1`,
);

const anyState = fc.constantFrom<ExecutionState>(...executionStates);
const at = new Date('2026-01-01T00:00:00.000Z');
const rows = fc.record({
  state: anyState,
  epoch: fc.constantFrom(null, 1, 2),
  attempt: fc.constantFrom(1, 2),
  retries: fc.nat({ max: 2 }),
  revision: fc.constantFrom(1, 2),
  cancelReason: fc.constantFrom(null, 'called off'),
  agentId: fc.constantFrom('a', 'b'),
});
const maybe = <T>(...values: T[]) => fc.option(fc.constantFrom(...values), { nil: undefined });
const changes = fc.record({
  from: fc.subarray([...executionStates], { minLength: 1 }),
  epoch: maybe(1, 2),
  attempt: maybe(1, 2),
  revision: maybe(1, 2),
  agentId: maybe('a', 'b'),
  states: fc.array(anyState, { minLength: 1, maxLength: 3 }),
  newEpoch: fc.constantFrom(undefined, null, 3),
  newAttempt: maybe(2, 3),
  retry: maybe(true),
  hold: maybe('backoff', 'maintenance'),
});

test('applies the same changes to the same rows, with the same outcome', async () => {
  await fc.assert(
    fc.asyncProperty(rows, changes, async (row, { states, ...change }) => {
      const executionId = newId();
      const hold = row.state === 'held' ? 'maintenance' : null;
      const deadlineAt = finalStates.has(row.state) ? null : at;
      const { agentId, state, epoch, attempt, retries, revision, cancelReason } = row;
      await database.query(insert, [
        executionId,
        agentId,
        state,
        hold,
        epoch,
        attempt,
        retries,
        revision,
        cancelReason,
        deadlineAt,
      ]);
      const wanted: ExecutionChange = {
        ...change,
        executionId,
        transitions: states.map((next) => ({ state: next, cause: `to ${next}`, at: at.toISOString() })),
        deadlineAt: at,
      };
      const model = new Map<string, Row>();
      model.set(executionId, {
        ...row,
        executionId,
        commandId: '',
        hold,
        maxRetries: 9,
        verb: 'exec',
        timeoutMs: 1,
        expiresAt: at,
        deadlineAt,
        history: [],
      });
      const expected = apply(model, [wanted]);
      const applied = await applyExecutionChanges(database.query, [wanted]);
      expect(applied.map((one) => one.executionId)).toEqual([...expected]);
      const [stored] = await database.query<Record<string, unknown>>(read, [executionId]);
      const after = model.get(executionId);
      expect(stored).toEqual({
        state: after?.state,
        hold: after?.hold,
        epoch: after?.epoch,
        attempt: after?.attempt,
        retries: after?.retries,
        revision: after?.revision,
        deadlineAt: after?.deadlineAt,
        states: after?.history.map((step) => step.state),
        causes: after?.history.map((step) => step.cause),
      });
    }),
    { numRuns: 500, endOnFailure: true },
  );
});
