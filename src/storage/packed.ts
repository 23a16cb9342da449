import { epochMs } from './binary-writer.ts';

/**
 * Columns of many rows as one value each, for answers that are nearly nothing but numbers. `packed…` is what a statement
 * selects, over rows in their order; what is null is packed as 0.
 */

export const packedInts = (column: string): string => `string_agg(int4send(coalesce(${column}, 0)), '')`;
export const packedFloats = (column: string): string => `string_agg(float8send(coalesce(${column}, 0)), '')`;
/** Never null. */
export const packedTimes = (column: string): string => `string_agg(timestamptz_send(${column}), '')`;

export const unpackInts = (bytes: Buffer): number[] =>
  Array.from({ length: bytes.length / 4 }, (_, n) => bytes.readInt32BE(4 * n));

export const unpackFloats = (bytes: Buffer): number[] =>
  Array.from({ length: bytes.length / 8 }, (_, n) => bytes.readDoubleBE(8 * n));

export const unpackTimes = (bytes: Buffer): Date[] =>
  Array.from(
    { length: bytes.length / 8 },
    (_, n) => new Date(epochMs + Number(bytes.readBigInt64BE(8 * n)) / 1000),
  );
