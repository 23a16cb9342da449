import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { openTestDatabase } from '../../test/support/postgres.ts';
import { removeAgent } from './agent-standing.ts';
import { type Database, statement } from './database.ts';
import { rollupLock } from './locks.ts';
import {
  createPartitions,
  hoursTable,
  minutesTable,
  partitionStart,
  quartersTable,
  samplesTable,
} from './telemetry-partitions.ts';
import { holdRollups, refreshRollups } from './telemetry-rollups.ts';

let own: Awaited<ReturnType<typeof openTestDatabase>>;
let database: Database;
const midnight = Date.parse('2026-03-02T00:00:00Z');
const now = new Date(midnight + 600_000);

const note = statement(
  'test_note',
  `insert into telemetry_dirty (resolution, ready_at, samples, agents, spans)
   select 60, $1::timestamptz, $5, array_agg('agent-' || n), array_agg($2::timestamptz)
   from generate_series($3::int, $4::int) n`,
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

const measureAll = statement(
  'test_measure_all',
  `insert into telemetry_samples (agent_id, at, boot_id, number, received_at, late, skewed, sample, cpu)
   select a, $2::timestamptz, '', 1, $2::timestamptz, false, false, '', $3::float8 from unnest($1::text[]) a`,
);
const noteAll = statement(
  'test_note_all',
  `insert into telemetry_dirty (resolution, ready_at, agents, spans)
   values (60, $1::timestamptz, $2::text[], array_fill($1::timestamptz, array[cardinality($2::text[])]))`,
);
const noteLouds = statement(
  'test_note_louds',
  `insert into telemetry_dirty (resolution, ready_at, samples, agents, spans)
   values (60, $1::timestamptz, $3, $2::text[], array_fill($1::timestamptz, array[cardinality($2::text[])]))`,
);
const minutes = statement(
  'test_minutes',
  `select at, cpu_min as min, split_part(trim('()' from ctid::text), ',', 1)::int as page
   from telemetry_minutes where agent_id = $1 order by at`,
);
const rollUpOne = statement(
  'test_roll_up_one',
  `insert into telemetry_minutes (agent_id, at, samples) values ('agent-1', $1::timestamptz, 1)`,
);
const waiting = statement(
  'test_waiting',
  `select 1 from pg_locks where locktype = 'advisory' and objid = ${rollupLock} and not granted`,
);

const minutesOf = (agentId: string) =>
  database.query<{ at: Date; min: number; page: number }>(minutes, [agentId]);
const pagesOf = (rows: readonly { page: number }[]) => new Set(rows.map(({ page }) => page)).size;

/** A list that says that so many samples came, in the first minute, of the agents with these numbers. */
const noteOf = (first: number, last: number, samples = last - first + 1) =>
  database.query(note, [new Date(midnight), new Date(midnight), first, last, samples]);
const listsLeft = async () => (await database.query<{ lists: number }>(left, []))[0]?.lists;

beforeAll(async () => {
  own = await openTestDatabase();
  database = own.database;
  await createPartitions(
    database,
    [samplesTable, minutesTable, quartersTable, hoursTable].map((table) => ({
      table,
      start: partitionStart(table, midnight),
    })),
  );
  await database.query(measure, [new Date(midnight + 30_000)]);
});

beforeEach(async () => {
  await database.query(statement('test_forget', 'delete from telemetry_dirty'), []);
});

afterAll(() => own.drop());

test('a span that many lists name is made once', async () => {
  for (let n = 0; n < 300; n++) await noteOf(1, 3);
  expect(await refreshRollups(database, now)).toEqual({ made: 1, more: true });
  expect(await listsLeft()).toBe(0);
  expect(await refreshRollups(database, now)).toEqual({ made: 0, more: false });
});

/** What each call made and how many lists it left, until one has nothing to do. */
async function refreshAll(): Promise<{ made: number; left: number | undefined }[]> {
  const steps = [];
  for (;;) {
    const step = await refreshRollups(database, now);
    if (step?.more !== true) return steps;
    steps.push({ made: step.made, left: await listsLeft() });
  }
}

test('of very many spans some are made at a time, each once, and none is left out', async () => {
  await noteOf(2, 20_001);
  await noteOf(5, 10_000);
  await noteOf(1, 10);
  await noteOf(20_002, 20_003);
  // By their names `agent-1` is the first, and has samples.
  expect(await refreshAll()).toEqual([
    { made: 1, left: 2 },
    { made: 0, left: 1 },
    { made: 0, left: 0 },
  ]);
});

test('agents that say very much are rolled up one after the other', async () => {
  await database.query(measureAll, [['loud-1', 'loud-2', 'loud-3'], new Date(midnight + 1000), 7]);
  const noteLoud = () =>
    database.query(noteLouds, [new Date(midnight), ['loud-3', 'loud-1', 'loud-2'], 450_000]);
  for (let n = 0; n < 3; n++) await noteLoud();
  expect(await refreshAll()).toEqual([
    { made: 1, left: 2 },
    { made: 1, left: 1 },
    { made: 1, left: 0 },
  ]);
  for (const name of ['loud-1', 'loud-2', 'loud-3']) expect(await minutesOf(name)).toHaveLength(1);
});

test('what comes while portions wait goes first, and both are made', async () => {
  await noteOf(1, 20_000);
  expect(await refreshRollups(database, now)).toMatchObject({ made: 1 });
  expect(await listsLeft()).toBe(2);
  await database.query(measureAll, [['agent-30000'], new Date(midnight + 1000), 7]);
  await noteOf(30_000, 30_000);
  expect(await refreshRollups(database, now)).toMatchObject({ made: 1 });
  expect(await minutesOf('agent-30000')).toHaveLength(1);
  expect(await refreshAll()).toHaveLength(2);
  expect(await listsLeft()).toBe(0);
});

test('one span with more samples than are read at a time is made all the same', async () => {
  await noteOf(1, 1, 3_000_000);
  expect(await refreshAll()).toEqual([{ made: 1, left: 0 }]);
});

test('an hour that is rolled up lies together, agent by agent, as it was', async () => {
  const agents = Array.from({ length: 50 }, (_, n) => `fleet-${n}`);
  const start = midnight + 3_600_000;
  for (let n = 0; n < 60; n++) {
    const at = new Date(start + n * 60_000);
    await database.query(measureAll, [agents, at, n]);
    await database.query(noteAll, [at, agents]);
    await refreshRollups(database, new Date(at.getTime() + 60_000));
  }
  const before = await minutesOf('fleet-7');
  expect(before.map(({ min }) => min)).toEqual(Array.from({ length: 60 }, (_, n) => n));
  expect(pagesOf(before)).toBeGreaterThan(20);

  while ((await refreshRollups(database, new Date(start + 3 * 3_600_000)))?.more);
  const after = await minutesOf('fleet-7');
  expect(after.map(({ at, min }) => [at, min])).toEqual(before.map(({ at, min }) => [at, min]));
  expect(pagesOf(after)).toBeLessThan(4);
});

test('nothing is rolled up behind an agent that is removed', async () => {
  await database.query(
    statement(
      'test_revoked',
      `insert into agents (agent_id, site, incarnation, revoked)
    values ('agent-1', 'lab', 2, '{"at": "", "by": "", "reason": ""}')`,
    ),
    [],
  );
  let removed: Promise<boolean> | undefined;
  let over = false;
  await database.transaction(async (query) => {
    await holdRollups(query);
    removed = removeAgent(database, 'agent-1').finally(() => {
      over = true;
    });
    // It waits; were it over by now, what comes next would be left behind.
    while ((await query(waiting, [])).length === 0) expect(over).toBe(false);
    await query(rollUpOne, [new Date(midnight + 60_000)]);
  });
  expect(await removed).toBe(true);
  expect(await minutesOf('agent-1')).toEqual([]);
});

test('lists of what is not over yet wait', async () => {
  await database.query(note, [new Date(now.getTime() + 1), new Date(midnight), 1, 1, 1]);
  expect(await refreshRollups(database, now)).toEqual({ made: 0, more: false });
  expect(await listsLeft()).toBe(1);
});
