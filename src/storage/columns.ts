import { createBinaryWriter } from './binary-writer.ts';

/**
 * Columns of many rows as binary PostgreSQL arrays, for statements that unnest them together. As text each value would
 * be quoted, and parsed by PostgreSQL: a seventh of its time for a command.
 *
 * The type of the parameter in the statement has to be that of the column; PostgreSQL refuses any other. A column of
 * nothing but nulls is an empty array: `unnest` fills up with nulls what is shorter than the longest of its arrays.
 * A value that is none of its type throws a RangeError.
 */

type Pick<Row, Value> = (row: Row) => Value | null | undefined;

const out = createBinaryWriter();

/** Of `uuid[]`. */
export const uuidColumn = <Row>(rows: readonly Row[], pick: Pick<Row, string>): Buffer =>
  column(rows, pick, oids.uuid, out.uuid);

/** Of `text[]`. */
export const textColumn = <Row>(rows: readonly Row[], pick: Pick<Row, string>): Buffer =>
  column(rows, pick, oids.text, out.text);

/** Of `text[]`: values as JSON. */
export const jsonColumn = <Row>(rows: readonly Row[], pick: Pick<Row, object>): Buffer =>
  column(rows, pick, oids.text, writeJson);

/** Of `int2[]`. */
export const int2Column = <Row>(rows: readonly Row[], pick: Pick<Row, number>): Buffer =>
  column(rows, pick, oids.int2, out.int2);

/** Of `int4[]`. */
export const int4Column = <Row>(rows: readonly Row[], pick: Pick<Row, number>): Buffer =>
  column(rows, pick, oids.int4, out.int4);

/** Of `int8[]`. Safe integers only. */
export const int8Column = <Row>(rows: readonly Row[], pick: Pick<Row, number>): Buffer =>
  column(rows, pick, oids.int8, out.int8);

/** Of `float8[]`. */
export const float8Column = <Row>(rows: readonly Row[], pick: Pick<Row, number>): Buffer =>
  column(rows, pick, oids.float8, out.float8);

/** Of `bool[]`. */
export const boolColumn = <Row>(rows: readonly Row[], pick: Pick<Row, boolean>): Buffer =>
  column(rows, pick, oids.bool, out.bool);

/** Of `timestamptz[]`. */
export const timeColumn = <Row>(rows: readonly Row[], pick: Pick<Row, Date>): Buffer =>
  column(rows, (row) => pick(row)?.getTime(), oids.timestamptz, out.time);

/** Of `bytea[]`. */
export const bytesColumn = <Row>(rows: readonly Row[], pick: Pick<Row, Uint8Array>): Buffer =>
  column(rows, pick, oids.bytea, out.bytes);

/** Of `bytea[]`: bytes that are hexadecimal digits already. */
export const hexColumn = <Row>(rows: readonly Row[], pick: Pick<Row, string>): Buffer =>
  column(rows, pick, oids.bytea, out.hex);

/** Of types (pg_type.dat of PostgreSQL). */
const oids = {
  bool: 16,
  bytea: 17,
  int8: 20,
  int2: 21,
  int4: 23,
  text: 25,
  float8: 701,
  timestamptz: 1184,
  uuid: 2950,
};

const writeJson = (value: object): void => out.text(JSON.stringify(value));

/** Rows of one batch often say the same; what was written for the row before is copied. */
function column<Row, Value>(
  rows: readonly Row[],
  pick: Pick<Row, Value>,
  type: number,
  write: (value: Value) => void,
): Buffer {
  out.beginArray();
  let last: Value | undefined;
  for (let at = 0; at < rows.length; at++) {
    const value = pick(rows[at] as Row);
    if (value === null || value === undefined) {
      out.null();
      last = undefined;
    } else if (value === last) out.again();
    else {
      write(value);
      last = value;
    }
  }
  return out.endArray(type);
}
