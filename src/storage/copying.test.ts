import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openTestDatabase } from '../../test/support/postgres.ts';
import { createBinaryReader } from './binary-reader.ts';
import { withLiterals } from './copying.ts';
import { type Database, statement } from './database.ts';

let own: Awaited<ReturnType<typeof openTestDatabase>>;
let database: Database;

beforeAll(async () => {
  own = await openTestDatabase();
  database = own.database;
});

afterAll(() => own.drop());

test('numbers and times come back as they were, and what is null as NaN', async () => {
  const one = fc.record({
    count: fc.option(fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }), { nil: null }),
    // The driver writes -0 as 0.
    value: fc.option(
      fc.double({ noNaN: true }).map((double) => double + 0),
      { nil: null },
    ),
    at: fc.date({ min: new Date('1970-01-01'), max: new Date('2280-01-01'), noInvalidDate: true }),
  });
  const insert = statement(
    'test_numbers',
    `insert into numbers select * from unnest($1::int4[], $2::float8[], $3::timestamptz[]) with ordinality`,
  );
  await database.query(
    statement('test_table', 'create table numbers (count int4, value float8, at timestamptz, place int8)'),
    [],
  );
  await fc.assert(
    fc.asyncProperty(fc.array(one, { maxLength: 20 }), async (all) => {
      await database.query(statement('test_clear', 'delete from numbers'), []);
      await database.query(insert, [
        all.map(({ count }) => count),
        all.map(({ value }) => value),
        all.map(({ at }) => at),
      ]);
      const rows = await database.rows('select count, value, at from numbers order by place limit $1', [100]);
      const reader = createBinaryReader(rows);
      const found = [];
      while (reader.next()) found.push([reader.int4(), reader.float8(), reader.time()]);
      expect(found).toEqual(
        all.map(({ count, value, at }) => [count ?? Number.NaN, value ?? Number.NaN, at.getTime()]),
      );
    }),
    { numRuns: 50 },
  );
});

test('rows that come in many pieces are read as one', async () => {
  const reader = createBinaryReader(
    await database.rows('select n::int4, n::float8 / 3 from generate_series(1, $1) n', [50_000]),
  );
  let count = 0;
  while (reader.next()) {
    count += 1;
    expect([reader.int4(), reader.float8()]).toEqual([count, count / 3]);
  }
  expect(count).toBe(50_000);
});

test('values are what they are in their places, whatever is in them', async () => {
  const texts = ["it's", 'a \\ b', "'; drop table agents; --", '$2', 'ä €', '', "E'\\''"];
  const text = fc.oneof(fc.constantFrom(...texts), fc.string({ unit: 'grapheme' }));
  const date = fc.date({ min: new Date(0), max: new Date('9999-12-31'), noInvalidDate: true });
  await fc.assert(
    fc.asyncProperty(
      text.filter((some) => !some.includes('\0')),
      fc.integer(),
      fc.oneof(date, fc.constant(new Date(999_999_999_999_999))),
      async (some, number, at) => {
        const bytes = Buffer.from(some).toString('hex');
        const query = `select (convert_to($1, 'UTF8') = '\\x${bytes}'::bytea)::int4, $3 - 0::int4, $2 from generate_series(1, 1)`;
        const reader = createBinaryReader(await database.rows(query, [some, at, number]));
        expect([reader.next(), reader.int4(), reader.int4(), reader.time(), reader.next()]).toEqual([
          true,
          1,
          number,
          at.getTime(),
          false,
        ]);
      },
    ),
    { numRuns: 100 },
  );
});

test('what no literal says is refused before anything is asked', () => {
  for (const value of ['a\0b', 1.5, Number.NaN, new Date(Number.NaN)])
    expect(() => withLiterals('select $1', [value])).toThrow(RangeError);
  expect(() => withLiterals('select $2', [1])).toThrow(RangeError);
});

test('a connection on which a query was refused is as good as before', async () => {
  for (let n = 0; n < 20; n++)
    await expect(
      database.rows('select 1 / (n - $1) from generate_series(1, 60000) n', [50_000]),
    ).rejects.toMatchObject({
      code: 'internal',
    });
  const reader = createBinaryReader(await database.rows('select $1::int4', [7]));
  expect([reader.next(), reader.int4(), reader.next()]).toEqual([true, 7, false]);
  expect(await database.query(statement('test_one', 'select 1 as one'), [])).toEqual([{ one: 1 }]);
});
