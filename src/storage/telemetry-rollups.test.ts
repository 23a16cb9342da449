import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { openTestDatabase } from '../../test/support/postgres.ts';
import { type Database, statement } from './database.ts';
import { createPartitions, minutesTable, partitionStart, samplesTable } from './telemetry-partitions.ts';
import { refreshRollups } from './telemetry-rollups.ts';

let own: Awaited<ReturnType<typeof openTestDatabase>>;
let database: Database;
const midnight = Date.parse('2026-03-02T00:00:00Z');
const now = new Date(midnight + 600_000);

const note = statement(
  'test_note',
  `insert into telemetry_dirty (resolution, ready_at, agents, spans)
   select 60, $1::timestamptz, array_agg('agent-' || n), array_agg($2::timestamptz) from generate_series($3::int, $4::int) n`,
);
const measure = statement(
  'test_measure',
  `insert into telemetry_samples (agent_id, at, boot_id, number, received_at, late, skewed, sample, cpu)
   values ('agent-1', $1::timestamptz, '', 1, $1::timestamptz, false, false, '', 12.5)`,
);
const left = statement(
  'test_left',
  'select count(*)::int as lists from telemetry_dirty where resolution = 60',
);

/** A list that says that something changed, in the first minute, of the agents with these numbers. */
const noteOf = (first: number, last: number) =>
  database.query(note, [new Date(midnight), new Date(midnight), first, last]);
const listsLeft = async () => (await database.query<{ lists: number }>(left, []))[0]?.lists;

beforeAll(async () => {
  own = await openTestDatabase();
  database = own.database;
  await createPartitions(
    database,
    [samplesTable, minutesTable].map((table) => ({ table, start: partitionStart(table, midnight) })),
  );
  await database.query(measure, [new Date(midnight + 30_000)]);
});

beforeEach(async () => {
  await database.query(statement('test_forget', 'delete from telemetry_dirty'), []);
});

afterAll(() => own.drop());

test('a span that many lists name is made once', async () => {
  for (let n = 0; n < 300; n++) await noteOf(1, 3);
  expect(await refreshRollups(database, now)).toEqual({ made: 1, more: false });
  expect(await listsLeft()).toBe(0);
});

test('of very many spans some are made at a time, and none is left out', async () => {
  await noteOf(2, 20_001);
  await noteOf(5, 10_000);
  await noteOf(1, 10);
  await noteOf(20_002, 20_003);
  // The second says nothing new and goes with the first; from the third on there are too many.
  expect(await refreshRollups(database, now)).toEqual({ made: 0, more: true });
  expect(await listsLeft()).toBe(2);
  expect(await refreshRollups(database, now)).toEqual({ made: 1, more: false });
  expect(await listsLeft()).toBe(0);
});

test('a list with more spans than are made at a time is taken as a whole', async () => {
  await noteOf(1, 30_000);
  expect(await refreshRollups(database, now)).toEqual({ made: 1, more: false });
});

test('lists of what is not over yet wait', async () => {
  await database.query(note, [new Date(now.getTime() + 1), new Date(midnight), 1, 1]);
  expect(await refreshRollups(database, now)).toEqual({ made: 0, more: false });
  expect(await listsLeft()).toBe(1);
});
