import { epochMs } from './binary-writer.ts';

/**
 * Columns of many rows as one value each, for answers that are nearly nothing but numbers. `packed…` is what a statement
 * selects, over rows in their order; what is null is packed as 0.
 */

export const packedInts = (column: string): string => `string_agg(int4send(coalesce(${column}, 0)), '')`;
export const packedFloats = (column: string): string => `string_agg(float8send(coalesce(${column}, 0)), '')`;
/** Never null. */
export const packedTimes = (column: string): string => `string_agg(timestamptz_send(${column}), '')`;

/** @returns reads the number of a row; 0 of a column that there is not */
export const unpackInts = (bytes: Buffer = none): ((row: number) => number) => {
  const view = viewOf(bytes);
  return (row) => (4 * row < bytes.length ? view.getInt32(4 * row) : 0);
};

/** As `unpackInts`. */
export const unpackFloats = (bytes: Buffer = none): ((row: number) => number) => {
  const view = viewOf(bytes);
  return (row) => (8 * row < bytes.length ? view.getFloat64(8 * row) : 0);
};

export const unpackTimes = (bytes: Buffer): Date[] =>
  Array.from(
    { length: bytes.length / 8 },
    (_, n) => new Date(epochMs + Number(bytes.readBigInt64BE(8 * n)) / 1000),
  );

const none = Buffer.alloc(0);
const viewOf = ({ buffer, byteOffset, byteLength }: Buffer): DataView =>
  new DataView(buffer, byteOffset, byteLength);
