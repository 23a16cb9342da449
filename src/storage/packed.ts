import { epochMs } from './binary-writer.ts';

/**
 * Rows of numbers as one value for each column, for answers that are nearly nothing but numbers: as rows, each number
 * would be written as text, and read again, one by one. Nulls are left out; a mask says which columns each row has.
 */

/** At most 63 of them: a bit each. */
export interface PackedColumn {
  name: string;
  type: 'int4' | 'float8' | 'timestamptz';
}

const sends = { int4: 'int4send', float8: 'float8send', timestamptz: 'timestamptz_send' };
const maskName = 'packed_mask';

/** What a statement selects over rows in their order. */
export function packed(columns: readonly PackedColumn[]): string {
  const bits = columns.map(({ name }, n) => `case when ${name} is null then 0 else ${2 ** n}::int8 end`);
  return [
    `string_agg(int8send(${bits.join(' | ')}), '') as ${maskName}`,
    ...columns.map(({ name, type }) => `string_agg(${sends[type]}(${name}), '') as ${name}`),
  ].join(', ');
}

/** Each null where there is no row, or none that has it. */
export type PackedRow = Record<string, Buffer | null>;

/** @returns of each column the numbers of all rows; times in milliseconds since 1970 */
export function unpack(row: PackedRow | undefined, columns: readonly PackedColumn[]): (number | null)[][] {
  const masks = viewOf(row?.[maskName]);
  const rows = masks.byteLength / 8;
  return columns.map(({ name, type }, n) => {
    const view = viewOf(row?.[name]);
    // The half of the mask where its bit is.
    const [word, bit] = n < 32 ? [4, 1 << n] : [0, 1 << (n - 32)];
    let at = 0;
    return Array.from({ length: rows }, (_, of) => {
      if ((masks.getInt32(8 * of + word) & bit) === 0) return null;
      if (type === 'int4') return view.getInt32(4 * at++);
      if (type === 'float8') return view.getFloat64(8 * at++);
      return epochMs + Number(view.getBigInt64(8 * at++)) / 1000;
    });
  });
}

const none = Buffer.alloc(0);
const viewOf = (bytes: Buffer | null | undefined): DataView => {
  const { buffer, byteOffset, byteLength } = bytes ?? none;
  return new DataView(buffer, byteOffset, byteLength);
};
