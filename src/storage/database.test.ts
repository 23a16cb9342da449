import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { databaseWire } from '../../test/support/database-wire.ts';
import { createTestDatabase, type TestDatabase } from '../../test/support/postgres.ts';
import { silentLogger } from '../lib/logger.ts';
import { createDatabase, databaseError, definition, patient, report, statement } from './database.ts';

let testDatabase: TestDatabase;
beforeAll(async () => {
  testDatabase = await createTestDatabase();
});
afterAll(() => testDatabase.drop());

async function databaseThatBreaksAt(
  words: string,
  when: 'before' | 'silent' = 'before',
  options = {},
  behind = '',
) {
  const wire = await databaseWire(testDatabase.url);
  wire.breakAt(words, when, behind);
  const database = createDatabase({
    url: wire.url,
    maxConnections: 4,
    connectTimeoutMs: 10_000,
    idleTimeoutMs: 10_000,
    log: silentLogger,
    ...options,
  });
  onTestFinished(database.close);
  return database;
}

const away = { code: 'database_unavailable', retryable: true };

// An error that nobody listens to ends the process, and so the run of the tests.
test('a connection that breaks while it takes a lock ends nothing else', async () => {
  const database = await databaseThatBreaksAt('pg_try_advisory_lock');
  await expect(database.tryHoldLock(1, () => {})).rejects.toMatchObject(away);
});

test('a connection that breaks in a migration ends nothing else', async () => {
  const database = await databaseThatBreaksAt('begin');
  await expect(database.applyMigrations('migrations')).rejects.toMatchObject(away);
});

test('a connection that breaks in a transaction ends nothing else', async () => {
  const database = await databaseThatBreaksAt('select 42');
  const work = database.transaction((query) => query(statement('forty_two', 'select 42'), []));
  await expect(work).rejects.toMatchObject(away);
});

test.each(['copy ', 'PGCOPY'])(
  'a connection that breaks in a COPY, at %j, ends nothing else',
  async (words) => {
    const database = await databaseThatBreaksAt(words);
    const rows = Buffer.concat([
      Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1'),
      Buffer.alloc(8),
      Buffer.of(255, 255),
    ]);
    const work = () => database.transaction((_query, copy) => copy('telemetry_skewed', ['agent_id'], rows));
    await expect(work()).rejects.toMatchObject(away);
    await work();
  },
);

test.each([
  ['begin', ''],
  ['PGCOPY', ''],
  ['select 42', ''],
  ['commit', 'select 42'],
])(
  'of a database that says nothing any more, at %j, nobody waits for ever, and the connection is given up',
  async (words, behind) => {
    const database = await databaseThatBreaksAt(words, 'silent', { answerTimeoutMs: 500 }, behind);
    const rows = Buffer.concat([
      Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1'),
      Buffer.alloc(8),
      Buffer.of(255, 255),
    ]);
    const work = () =>
      database.transaction(async (query, copy) => {
        await copy('telemetry_skewed', ['agent_id'], rows);
        return query(statement('forty_two', 'select 42 as answer'), []);
      });
    await expect(work()).rejects.toMatchObject(away);
    expect(database.pool()).toMatchObject({ total: 0, waiting: 0 });
    // The next one has a connection of its own.
    expect(await database.query(statement('one', 'select 1 as one'), [])).toEqual([{ one: 1 }]);
  },
);

test.each(['before', 'silent'] as const)(
  'rows whose connection breaks are not waited for, and the connection is given up: %s',
  async (when) => {
    const database = await databaseThatBreaksAt('select 42', when, { answerTimeoutMs: 500 });
    await expect(database.rows('select 42', [])).rejects.toMatchObject(away);
    expect(database.pool()).toMatchObject({ total: 0, waiting: 0 });
    expect(await database.rows('select 42', [])).toHaveLength(19 + 2 + 4 + 4 + 2);
  },
);

test('rows that come too slowly have an end too', async () => {
  const database = await databaseThatBreaksAt('nothing of this', 'silent', { answerTimeoutMs: 500 });
  const slow = 'select n, pg_sleep(0.1) from generate_series(1, 60) n';
  await expect(database.rows(slow, [])).rejects.toMatchObject(away);
  expect(await database.query(statement('one', 'select 1 as one'), [])).toEqual([{ one: 1 }]);
  expect(database.pool()).toMatchObject({ waiting: 0, idle: 1, total: 1 });
});

test('a value that no literal says is a defect, and its connection is as good as before', async () => {
  const database = await databaseThatBreaksAt('nothing of this');
  await expect(database.rows('select $1', ['a\0b'])).rejects.toMatchObject({ code: 'internal' });
  expect(database.pool()).toMatchObject({ waiting: 0 });
  expect(await database.query(statement('one', 'select 1 as one'), [])).toEqual([{ one: 1 }]);
});

test('a statement outside of a transaction is not waited for without end either', async () => {
  const database = await databaseThatBreaksAt('select 42', 'silent', { answerTimeoutMs: 500 });
  await expect(database.query(statement('forty_two', 'select 42'), [])).rejects.toMatchObject(away);
  expect(await database.query(statement('one', 'select 1 as one'), [])).toEqual([{ one: 1 }]);
});

test('a statement that may have much to do is given more time', async () => {
  const database = await databaseThatBreaksAt('nothing of this', 'silent', { answerTimeoutMs: 500 });
  const long = 'select pg_sleep(0.7)';
  await expect(database.query(statement('hurried', long), [])).rejects.toMatchObject(away);
  expect(await database.query(patient('patient', long), [])).toHaveLength(1);
});

test('a COPY that is refused leaves its connection as it was', async () => {
  const database = await databaseThatBreaksAt('nothing of this');
  const work = database.transaction((_query, copy) =>
    copy('telemetry_skewed', ['agent_id'], Buffer.from('none')),
  );
  await expect(work).rejects.toMatchObject({ code: 'internal', retryable: false });
  expect(await database.query(statement('one', 'select 1 as one'), [])).toEqual([{ one: 1 }]);
  expect(database.pool()).toMatchObject({ total: 1, idle: 1 });
});

test('a defect in a transaction is no database that is away', async () => {
  const database = await databaseThatBreaksAt('nothing of this');
  const work = database.transaction(async () => {
    throw new TypeError('not a function');
  });
  await expect(work).rejects.toMatchObject({ code: 'internal', retryable: false });
  expect(databaseError(new Error('Connection terminated unexpectedly')).code).toBe('database_unavailable');
});

test('a database that may only be read is one that is away', async () => {
  const database = await databaseThatBreaksAt('nothing of this');
  const only = (text: string) =>
    database.transaction(async (query) => {
      await query(definition('set transaction read only'), []);
      await query(definition(text), []);
    });
  await expect(only("delete from agents where agent_id = 'nobody'")).rejects.toMatchObject(away);
  await expect(only('select 1 / 0')).rejects.toMatchObject({ code: 'internal', retryable: false });
});

const endless = report('endless', 'select pg_sleep(600)');

function databaseForReports(options: { connectTimeoutMs: number; reportTimeoutMs: number }) {
  const { url } = testDatabase;
  const database = createDatabase({
    url,
    maxConnections: 6,
    idleTimeoutMs: 10_000,
    log: silentLogger,
    ...options,
  });
  onTestFinished(database.close);
  return database;
}

test('a report has an end, and says what would be less', async () => {
  const database = databaseForReports({ connectTimeoutMs: 10_000, reportTimeoutMs: 50 });
  await expect(database.query(endless, [])).rejects.toMatchObject({
    code: 'deadline_exceeded',
    message: 'This takes too long to work out. Ask for a shorter time, fewer agents or a coarser resolution.',
  });
});

test('however many reports are wanted, others are answered', async () => {
  const database = databaseForReports({ connectTimeoutMs: 2000, reportTimeoutMs: 60_000 });
  const held = report('held', 'select pg_advisory_xact_lock(4711)');
  const reports = await database.transaction(async (query) => {
    await query(statement('hold', 'select pg_advisory_xact_lock(4711)'), []);
    const asked = Array.from({ length: 5 }, () => database.query(held, []));
    const rest = Promise.allSettled(asked.slice(2));
    const one = statement('one', 'select 1 as one');
    for (let n = 0; n < 5; n++) expect(await database.query(one, [])).toEqual([{ one: 1 }]);
    for (const end of await rest)
      expect(end).toMatchObject({
        reason: {
          code: 'deadline_exceeded',
          message: 'Too many ask for reports at once. Try again in a moment.',
        },
      });
    return asked.slice(0, 2);
  });
  await Promise.all(reports);
});
