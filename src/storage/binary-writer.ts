/**
 * Writes values in PostgreSQL's binary form: as a one-dimensional array (array_send of PostgreSQL), or as the rows of a
 * COPY. Its buffer is used again for each: nothing else runs between its beginning and its end.
 */
export interface BinaryWriter extends ValueWriter {
  beginArray(): void;
  /** The value before it once more. */
  again(): void;
  /** The array. Of nothing but nulls it is empty. @param type the OID of its elements */
  endArray(type: number): Buffer;
  beginRows(): void;
  /** The next row, whose values follow. */
  row(values: number): void;
  /** What COPY … (format binary) reads. A view, until the next beginning. */
  endRows(): Buffer;
}

export interface ValueWriter {
  null(): void;
  text(value: string): void;
  uuid(value: string): void;
  int2(value: number): void;
  int4(value: number): void;
  int8(value: number): void;
  float8(value: number): void;
  bool(value: boolean): void;
  /** @param ms since 1970 */
  time(ms: number): void;
  bytes(value: Uint8Array): void;
  /** Of these bytes those between two places. */
  part(value: Buffer, from: number, to: number): void;
  /** Bytes that are hexadecimal digits. */
  hex(digits: string): void;
}

/** Dimensions, whether there are nulls, type, length, lower bound. */
const headBytes = 20;
const emptyBytes = 12;
/** Its signature, then flags and the length of what else is in the head: none of either. */
const copyHead = Buffer.from('PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0', 'latin1');
const copyEnd = -1;
const lengthBytes = 4;
const uuidBytes = 16;
const uuidCharacters = 36;
const firstBytes = 256 * 1024;
/** A buffer that grew larger than this is not kept. */
const keptBytes = 4 * 1024 * 1024;
/** Up to here, text byte by byte takes less time than the way out of JavaScript: 45 ns of 55 at 24 characters. */
const shortText = 24;
/** Milliseconds at which PostgreSQL's own count begins: the year 2000. */
export const epochMs = Date.UTC(2000, 0, 1);

export function createBinaryWriter(): BinaryWriter {
  let buffer: Buffer = Buffer.alloc(firstBytes);
  let view = viewOf(buffer);
  let at = 0;
  let count = 0;
  let nulls = 0;
  /** Where the value before begins. */
  let last = 0;

  function use(other: Buffer): void {
    buffer = other;
    view = viewOf(other);
  }

  function makeRoom(bytes: number): void {
    if (at + bytes <= buffer.byteLength) return;
    const larger = Buffer.alloc(Math.max(2 * buffer.byteLength, at + bytes));
    buffer.copy(larger, 0, 0, at);
    use(larger);
  }

  /** A buffer that grew too large is not kept for what comes next. */
  function shrink(): void {
    if (buffer.byteLength > keptBytes) use(Buffer.alloc(firstBytes));
  }

  function fieldsOfRow(fields: number): void {
    makeRoom(2);
    view.setInt16(at, fields);
    at += 2;
  }

  /** Begins a value of so many bytes, at most. */
  function value(bytes: number): void {
    makeRoom(lengthBytes + bytes);
    count++;
    last = at;
    at += lengthBytes;
    view.setInt32(last, bytes);
  }

  function digits(text: string, index: number): void {
    const high = nibbles[text.charCodeAt(index)] ?? 255;
    const low = nibbles[text.charCodeAt(index + 1)] ?? 255;
    if ((high | low) > 15) throw new RangeError(`not hexadecimal: ${text.slice(0, 40)}`);
    buffer[at++] = (high << 4) | low;
  }

  function int8(number: number): void {
    if (!Number.isSafeInteger(number)) throw notA('int8', number);
    value(8);
    view.setInt32(at, Math.floor(number / 2 ** 32));
    view.setUint32(at + 4, number >>> 0);
    at += 8;
  }

  return {
    beginArray() {
      at = headBytes;
      count = 0;
      nulls = 0;
    },
    null() {
      value(0);
      view.setInt32(last, -1);
      nulls++;
    },
    again() {
      const [from, to] = [last, at];
      value(to - from - lengthBytes);
      buffer.copyWithin(last, from, to);
      at = last + to - from;
    },
    text(text) {
      // UTF-8 has at most three bytes for each unit of UTF-16.
      value(3 * text.length);
      let length = 0;
      if (text.length <= shortText) {
        for (; length < text.length; length++) {
          const unit = text.charCodeAt(length);
          if (unit > 127) break;
          buffer[at + length] = unit;
        }
      }
      if (length < text.length) length = buffer.write(text, at, 'utf8');
      view.setInt32(last, length);
      at += length;
    },
    uuid(text) {
      value(uuidBytes);
      const end = at + uuidBytes;
      let index = 0;
      for (; index < text.length && at < end; index += 2) {
        if (text[index] === '-') index++;
        digits(text, index);
      }
      if (at !== end || index !== text.length || index !== uuidCharacters)
        throw new RangeError(`not a UUID: ${text.slice(0, 40)}`);
    },
    int2(number) {
      if (number !== (number << 16) >> 16) throw notA('int2', number);
      value(2);
      view.setInt16(at, number);
      at += 2;
    },
    int4(number) {
      if (number !== (number | 0)) throw notA('int4', number);
      value(4);
      view.setInt32(at, number);
      at += 4;
    },
    int8,
    float8(number) {
      value(8);
      view.setFloat64(at, number);
      at += 8;
    },
    bool(flag) {
      value(1);
      buffer[at++] = flag ? 1 : 0;
    },
    time(ms) {
      const since = ms - epochMs;
      const microseconds = since * 1000;
      if (!Number.isSafeInteger(since) || Number.isSafeInteger(microseconds)) return int8(microseconds);
      // From the year 2285 on they are no safe integers.
      value(8);
      view.setBigInt64(at, BigInt(since) * 1000n);
      at += 8;
    },
    bytes(bytes) {
      value(bytes.byteLength);
      buffer.set(bytes, at);
      at += bytes.byteLength;
    },
    part(bytes, from, to) {
      value(to - from);
      bytes.copy(buffer, at, from, to);
      at += to - from;
    },
    hex(text) {
      value(text.length / 2);
      for (let index = 0; index < text.length; index += 2) digits(text, index);
    },
    endArray(type) {
      const empty = nulls === count;
      view.setInt32(0, empty ? 0 : 1);
      view.setInt32(4, empty || nulls === 0 ? 0 : 1);
      view.setInt32(8, type);
      view.setInt32(12, count);
      view.setInt32(16, 1);
      const array = Buffer.from(buffer.subarray(0, empty ? emptyBytes : at));
      shrink();
      return array;
    },
    beginRows() {
      at = copyHead.copy(buffer);
    },
    row: fieldsOfRow,
    endRows() {
      fieldsOfRow(copyEnd);
      const rows = buffer.subarray(0, at);
      shrink();
      return rows;
    },
  };
}

const viewOf = (buffer: Buffer): DataView =>
  new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);

/** What each character is worth as a hexadecimal digit; 255 for what is none. */
const nibbles = Uint8Array.from({ length: 128 }, (_, code) => {
  const worth = Number.parseInt(String.fromCharCode(code), 16);
  return Number.isNaN(worth) ? 255 : worth;
});

const notA = (type: string, number: number): RangeError => new RangeError(`not an ${type}: ${number}`);
