import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openTestDatabase } from '../../test/support/postgres.ts';
import {
  boolColumn,
  bytesColumn,
  hexColumn,
  int2Column,
  int4Column,
  int8Column,
  jsonColumn,
  textColumn,
  timeColumn,
  uuidColumn,
} from './columns.ts';
import { type Database, statement } from './database.ts';

let own: Awaited<ReturnType<typeof openTestDatabase>>;
let database: Database;

beforeAll(async () => {
  own = await openTestDatabase();
  database = own.database;
});

afterAll(() => own.drop());

/** Reads a column back, beside one that has a value in every row. */
async function readBack(type: string, column: Buffer, length: number): Promise<unknown[]> {
  const shown = type === 'int8' ? 'v::text' : 'v';
  const rows = await database.query<{ v: unknown }>(
    statement(
      `column_${type}`,
      `select ${shown} as v from unnest($1::${type}[], $2::int[]) as x(v, n) order by n`,
    ),
    [
      column,
      int4Column(
        Array.from({ length }, (_, n) => n),
        (n) => n,
      ),
    ],
  );
  return rows.map(({ v }) => (Buffer.isBuffer(v) ? v.toString('hex') : type === 'int8' && v ? Number(v) : v));
}

const endOfYear9999 = 253_402_300_799_999;
const epoch2000 = Date.UTC(2000, 0, 1);
/** Of which the microseconds are a safe integer. */
const lastSafeMs = Math.floor(Number.MAX_SAFE_INTEGER / 1000);

// PostgreSQL stores no NUL.
const anyText = fc.oneof(
  fc.string({ unit: 'grapheme' }).map((text) => text.replaceAll('\u0000', '').toWellFormed()),
  fc.string({ unit: 'grapheme-ascii', minLength: 30, maxLength: 50 }),
  fc.constantFrom('', 'NULL', 'null', '"', '\\', '{}', 'a,b', ' x ', '\\x00', "'", '\n', 'é', 'a'.repeat(40)),
);
const blob = fc.uint8Array({ maxLength: 50 });
const hexOf = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

interface Kind<Value> {
  type: string;
  values: fc.Arbitrary<Value>;
  column(rows: readonly (Value | null)[]): Buffer;
  /** What is read of it. */
  as?(value: Value): unknown;
}

const kind = <Value>(one: Kind<Value>): Kind<unknown> => one as Kind<unknown>;

const kinds = [
  kind<string>({ type: 'text', values: anyText, column: (rows) => textColumn(rows, (v) => v) }),
  kind<object>({
    type: 'text',
    values: fc.dictionary(fc.string(), fc.integer()),
    column: (rows) => jsonColumn(rows, (v) => v),
    as: (value) => JSON.stringify(value),
  }),
  kind<Uint8Array>({
    type: 'bytea',
    values: blob,
    column: (rows) => bytesColumn(rows, (v) => v),
    as: hexOf,
  }),
  kind<string>({ type: 'bytea', values: blob.map(hexOf), column: (rows) => hexColumn(rows, (v) => v) }),
  kind<string>({ type: 'uuid', values: fc.uuid(), column: (rows) => uuidColumn(rows, (v) => v) }),
  kind<number>({
    type: 'int2',
    values: fc.integer({ min: -32_768, max: 32_767 }),
    column: (rows) => int2Column(rows, (v) => v),
  }),
  kind<number>({ type: 'int4', values: fc.integer(), column: (rows) => int4Column(rows, (v) => v) }),
  kind<number>({
    type: 'int8',
    values: fc.oneof(fc.maxSafeInteger(), fc.constantFrom(0, -1, 2 ** 32, -(2 ** 32))),
    column: (rows) => int8Column(rows, (v) => v),
  }),
  kind<boolean>({ type: 'bool', values: fc.boolean(), column: (rows) => boolColumn(rows, (v) => v) }),
  kind<Date>({
    type: 'timestamptz',
    values: fc
      .oneof(
        fc.integer({ min: 0, max: 8_000_000_000_000 }),
        fc.integer({ min: -60_000_000_000_000, max: endOfYear9999 }),
        fc.constantFrom(0, epoch2000 + lastSafeMs, epoch2000 + lastSafeMs + 1, endOfYear9999),
      )
      .map((ms) => new Date(ms)),
    column: (rows) => timeColumn(rows, (v) => v),
  }),
];

test.each(kinds.map((each, n) => [`${each.type} ${n}`, each] as const))(
  'PostgreSQL reads out of a column of %s what was put into it',
  async (_, { type, values, column, as = (value) => value }) => {
    // Repeated values and nulls take ways of their own.
    const rows = fc.array(fc.option(values), { size: 'max', maxLength: 40 }).map((some) => {
      const repeated = some.flatMap((value, n) => (n % 3 === 0 ? [value, value] : [value]));
      return [...repeated, null, ...repeated.slice(0, 2)];
    });
    await fc.assert(
      fc.asyncProperty(rows, async (some) => {
        const expected = some.map((value) => (value === null ? null : as(value)));
        expect(await readBack(type, column(some), some.length)).toEqual(expected);
      }),
      { numRuns: 60 },
    );
  },
);

test('more than the buffer holds, and a single large value', async () => {
  const texts = Array.from({ length: 3000 }, (_, n) => `${n} `.repeat(60));
  expect(
    await readBack(
      'text',
      textColumn(texts, (v) => v),
      texts.length,
    ),
  ).toEqual(texts);
  const large = 'ä'.repeat(3_000_000);
  expect(
    await readBack(
      'text',
      textColumn([large, 'after'], (v) => v),
      2,
    ),
  ).toEqual([large, 'after']);
});

test('a column of nulls costs nothing, and fits beside a longer one', async () => {
  for (const column of [uuidColumn, textColumn, timeColumn, bytesColumn])
    expect(column([1, 2], () => null).byteLength).toBe(12);
  expect(
    await readBack(
      'uuid',
      uuidColumn([1, 2], () => null),
      2,
    ),
  ).toEqual([null, null]);
});

test('what is none of its type is refused, and never written as something else', () => {
  expect(() => int2Column([32_768], (v) => v)).toThrow('not an int2: 32768');
  for (const wrong of [2 ** 31, 1.5, Number.NaN])
    expect(() => int4Column([wrong], (v) => v)).toThrow('not an int4');
  for (const wrong of [2 ** 53, 0.5, Number.POSITIVE_INFINITY])
    expect(() => int8Column([wrong], (v) => v)).toThrow('not an int8');
  expect(() => timeColumn([new Date(Number.NaN)], (v) => v)).toThrow(RangeError);
  for (const wrong of [
    '',
    'x',
    '00000000-0000-0000-0000-00000000000g',
    '00000000-0000-0000-0000-0000000000001',
    `${'0'.repeat(32)}----`,
    `${'0'.repeat(32)}rest`,
  ])
    expect(() => uuidColumn([wrong], (v) => v)).toThrow(RangeError);
  for (const wrong of ['0', '0g']) expect(() => hexColumn([wrong], (v) => v)).toThrow(RangeError);
});
