import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openTestDatabase } from '../../test/support/postgres.ts';
import { statement } from './database.ts';
import { type PackedColumn, type PackedRow, packed, type Unpacked, unpack } from './packed.ts';

let own: Awaited<ReturnType<typeof openTestDatabase>>;

beforeAll(async () => {
  own = await openTestDatabase();
});

afterAll(() => own.drop());

/** More than have their bit in one half of the mask. */
const columns: PackedColumn[] = Array.from({ length: 36 }, (_, n) => ({
  name: `c${n}`,
  type: (['int4', 'float8', 'timestamptz'] as const)[n % 3] ?? 'int4',
}));
const number = (type: PackedColumn['type']): fc.Arbitrary<number | Date> => {
  if (type === 'int4') return fc.integer();
  // The driver writes -0 as 0.
  if (type === 'float8') return fc.double({ noNaN: true }).map((value) => value + 0);
  return fc.date({ min: new Date('1971-01-01'), max: new Date('2280-01-01'), noInvalidDate: true });
};
const rows = fc.array(
  fc.tuple(...columns.map(({ type }) => fc.option(number(type), { nil: null, freq: 2 }))),
  { maxLength: 20 },
);
const readBack = statement(
  'test_packed',
  `select ${packed(columns)} from (
     select * from unnest(${columns.map(({ type }, n) => `$${n + 1}::${type}[]`).join(', ')})
       with ordinality as x(${columns.map(({ name }) => name).join(', ')}, place) order by place) s`,
);

const columnsOf = ({ rows, columns }: Unpacked) => columns.map((read) => Array.from({ length: rows }, read));

test('numbers come back as they were, and what is null stays null', async () => {
  await fc.assert(
    fc.asyncProperty(rows, async (some) => {
      const values = columns.map((_, n) => some.map((row) => row[n] ?? null));
      const [row] = await own.database.query<PackedRow>(readBack, values);
      expect(columnsOf(unpack(row, columns))).toEqual(
        values.map((column) =>
          column.map((one) => (one instanceof Date ? one.getTime() : (one ?? Number.NaN))),
        ),
      );
    }),
  );
});

test('without an answer there are no rows', () => {
  expect(unpack(undefined, columns).rows).toBe(0);
});
