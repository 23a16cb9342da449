/**
 * Columns of many rows as the text of PostgreSQL arrays, for statements that unnest them together. The driver makes
 * them too, and cannot know what needs no quotes: for a batch of executions that costs more than all else that it does.
 *
 * A column of nothing but nulls is an empty array: `unnest` fills up with nulls what is shorter than the longest of
 * its arrays, and parsing an array costs PostgreSQL as much for a null as for a value.
 */

type Null = null | undefined;
type Pick<Row, Value> = (row: Row) => Value | Null;

const nothing = '{}';

/** Of what has no quotes, commas, braces or spaces: ids, numbers, booleans. */
export function plainColumn<Row>(rows: readonly Row[], pick: Pick<Row, string | number | boolean>): string {
  let text = '{';
  let empty = true;
  for (let at = 0; at < rows.length; at++) {
    const value = pick(rows[at] as Row);
    if (value !== null && value !== undefined) empty = false;
    text += at > 0 ? `,${value ?? 'NULL'}` : (value ?? 'NULL');
  }
  return empty ? nothing : `${text}}`;
}

/** Of any text. */
export const textColumn = <Row>(rows: readonly Row[], pick: Pick<Row, string>): string =>
  quotedColumn(rows, pick, quoted);

/** Of values as JSON; the same value in the row after it is not written again. */
export const jsonColumn = <Row>(rows: readonly Row[], pick: Pick<Row, object>): string =>
  quotedColumn(rows, pick, (value) => quoted(JSON.stringify(value)));

export const timeColumn = <Row>(rows: readonly Row[], pick: Pick<Row, Date>): string =>
  quotedColumn(
    rows,
    (row) => pick(row)?.getTime(),
    (ms) => `"${new Date(ms).toISOString()}"`,
  );

export const bytesColumn = <Row>(rows: readonly Row[], pick: Pick<Row, Uint8Array>): string =>
  quotedColumn(rows, pick, hexOf);

/** Of bytes that are hexadecimal digits already. */
export const hexColumn = <Row>(rows: readonly Row[], pick: Pick<Row, string>): string =>
  quotedColumn(rows, pick, (digits) => `"\\\\x${digits}"`);

/** Rows of one batch often say the same; what was written for the row before is written again. */
function quotedColumn<Row, Value>(
  rows: readonly Row[],
  pick: Pick<Row, Value>,
  write: (value: Value) => string,
): string {
  let text = '{';
  let last: Value | undefined;
  let written = '';
  for (let at = 0; at < rows.length; at++) {
    if (at > 0) text += ',';
    const value = pick(rows[at] as Row);
    if (value === null || value === undefined) {
      text += 'NULL';
      continue;
    }
    if (value !== last) {
      last = value;
      written = write(value);
    }
    text += written;
  }
  return last === undefined ? nothing : `${text}}`;
}

const special = /["\\]/;
const everySpecial = /["\\]/g;
const quoted = (value: string) => `"${special.test(value) ? value.replace(everySpecial, '\\$&') : value}"`;

const hexOf = ({ buffer, byteOffset, byteLength }: Uint8Array) =>
  `"\\\\x${Buffer.from(buffer, byteOffset, byteLength).toString('hex')}"`;
