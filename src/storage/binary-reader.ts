import { epochMs } from './binary-writer.ts';

/**
 * Reads rows as COPY … TO STDOUT (format binary) writes them: the values of a row one after the other, in the order of
 * its columns, each as what its column is.
 */
export interface BinaryReader {
  /** Goes to the next row; false after the last. */
  next(): boolean;
  /** NaN for null, as all of these. */
  int4(): number;
  float8(): number;
  /** Of a timestamptz: whole milliseconds since 1970. */
  time(): number;
}

/** The signature, flags, and the length of what else is in the head, which is nothing. */
const headBytes = 19;
const end = -1;
const none = -1;

export function createBinaryReader(rows: Buffer): BinaryReader {
  const view = new DataView(rows.buffer, rows.byteOffset, rows.byteLength);
  let at = headBytes;

  /** Whether there is a value, which begins here then. */
  function has(): boolean {
    at += 4;
    return view.getInt32(at - 4) !== none;
  }

  return {
    next() {
      at += 2;
      return view.getInt16(at - 2) !== end;
    },
    int4() {
      if (!has()) return Number.NaN;
      at += 4;
      return view.getInt32(at - 4);
    },
    float8() {
      if (!has()) return Number.NaN;
      at += 8;
      return view.getFloat64(at - 8);
    },
    time() {
      if (!has()) return Number.NaN;
      at += 8;
      // From the year 2285 on no number says them to the microsecond.
      return epochMs + Math.round(Number(view.getBigInt64(at - 8)) / 1000);
    },
  };
}
