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

/** @returns of each column the numbers of all rows, NaN for null; times in milliseconds since 1970 */
export function unpack(row: PackedRow | undefined, columns: readonly PackedColumn[]): Float64Array[] {
  const masks = viewOf(row?.[maskName]);
  return columns.map(({ name, type }, n) => {
    const numbers = new Float64Array(masks.byteLength / 8);
    const view = viewOf(row?.[name]);
    // The half of the mask where its bit is.
    const [word, bit] = n < 32 ? [4, 1 << n] : [0, 1 << (n - 32)];
    for (let of = 0, at = 0; of < numbers.length; of++) {
      if ((masks.getInt32(8 * of + word) & bit) === 0) numbers[of] = Number.NaN;
      else if (type === 'float8') numbers[of] = view.getFloat64(8 * at++);
      else if (type === 'int4') numbers[of] = view.getInt32(4 * at++);
      else numbers[of] = epochMs + Number(view.getBigInt64(8 * at++)) / 1000;
    }
    return numbers;
  });
}

const none = Buffer.alloc(0);
const viewOf = (bytes: Buffer | null | undefined): DataView => {
  const { buffer, byteOffset, byteLength } = bytes ?? none;
  return new DataView(buffer, byteOffset, byteLength);
};
