import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openTestDatabase } from '../../test/support/postgres.ts';
import { bytesColumn, plainColumn, textColumn, timeColumn } from './columns.ts';
import { type Database, statement } from './database.ts';

let own: Awaited<ReturnType<typeof openTestDatabase>>;
let database: Database;

beforeAll(async () => {
  own = await openTestDatabase();
  database = own.database;
});

afterAll(() => own.drop());

const nullable = <T>(arbitrary: fc.Arbitrary<T>) =>
  fc.array(fc.option(arbitrary), { size: 'max', maxLength: 40 });
// PostgreSQL stores no NUL.
const anyText = fc.oneof(
  fc.string({ unit: 'grapheme' }).map((text) => text.replaceAll('\u0000', '').toWellFormed()),
  fc.constantFrom('', 'NULL', 'null', '"', '\\', '{}', 'a,b', ' x ', '\\x00', "'", '\n'),
);

/** Reads a column beside one that has a value in every row. */
async function read(type: string, column: string, length: number): Promise<unknown[]> {
  const rows = await database.query<{ v: unknown }>(
    statement(`column_${type}`, `select v from unnest($1::${type}[], $2::int[]) as x(v, n) order by n`),
    [
      column,
      plainColumn(
        Array.from({ length }, (_, n) => n),
        (n) => n,
      ),
    ],
  );
  return rows.map((row) => row.v);
}

test('PostgreSQL reads out of a column what was put into it', async () => {
  await fc.assert(
    fc.asyncProperty(
      nullable(anyText),
      nullable(fc.uint8Array({ maxLength: 50 })),
      nullable(fc.integer({ min: 0, max: 4_102_444_800_000 }).map((ms) => new Date(ms))),
      nullable(fc.uuid()),
      nullable(fc.integer()),
      nullable(fc.boolean()),
      async (texts, blobs, times, ids, numbers, flags) => {
        expect(
          await read(
            'text',
            textColumn(texts, (v) => v),
            texts.length,
          ),
        ).toEqual(texts);
        const readBack = (
          await read(
            'bytea',
            bytesColumn(blobs, (v) => v),
            blobs.length,
          )
        ).map((v) => v && new Uint8Array(v as Buffer));
        expect(readBack).toEqual(blobs);
        expect(
          await read(
            'timestamptz',
            timeColumn(times, (v) => v),
            times.length,
          ),
        ).toEqual(times);
        expect(
          await read(
            'uuid',
            plainColumn(ids, (v) => v),
            ids.length,
          ),
        ).toEqual(ids);
        expect(
          await read(
            'int4',
            plainColumn(numbers, (v) => v),
            numbers.length,
          ),
        ).toEqual(numbers);
        expect(
          await read(
            'bool',
            plainColumn(flags, (v) => v),
            flags.length,
          ),
        ).toEqual(flags);
      },
    ),
    { numRuns: 60 },
  );
});

test('a column of nulls costs nothing', () => {
  expect(
    [plainColumn, textColumn, timeColumn, bytesColumn].map((column) => column([1, 2], () => null)),
  ).toEqual(Array(4).fill('{}'));
});
