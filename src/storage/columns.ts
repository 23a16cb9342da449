/**
 * Columns of many rows as the text of PostgreSQL arrays, for statements that unnest them together. The driver makes
 * them too, and cannot know what needs no quotes: for a batch of executions that costs more than all else that it does.
 *
 * A column of nothing but nulls is an empty array: `unnest` fills up with nulls what is shorter than the longest of
 * its arrays, and parsing an array costs PostgreSQL as much for a null as for a value.
 */

type Null = null | undefined;

const isEmpty = (values: readonly unknown[]) =>
  values.every((value) => value === null || value === undefined);

/** Of what has no quotes, commas, braces or spaces: ids, numbers, booleans. */
export function plainColumn(values: readonly (string | number | boolean | Null)[]): string {
  if (isEmpty(values)) return '{}';
  let text = '{';
  for (let at = 0; at < values.length; at++) {
    if (at > 0) text += ',';
    text += values[at] ?? 'NULL';
  }
  return `${text}}`;
}

/** Of any text. */
export function textColumn(values: readonly (string | Null)[]): string {
  if (isEmpty(values)) return '{}';
  let text = '{';
  // Rows of one batch often say the same.
  let last: string | undefined;
  let written = '';
  for (let at = 0; at < values.length; at++) {
    if (at > 0) text += ',';
    const value = values[at];
    if (value === null || value === undefined) {
      text += 'NULL';
      continue;
    }
    if (value !== last) {
      last = value;
      written = quoted(value);
    }
    text += written;
  }
  return `${text}}`;
}

const quoted = (value: string) => `"${special.test(value) ? value.replace(everySpecial, '\\$&') : value}"`;
const special = /["\\]/;
const everySpecial = /["\\]/g;

export function timeColumn(values: readonly (Date | Null)[]): string {
  if (isEmpty(values)) return '{}';
  let text = '{';
  // Rows of one batch often have the same time.
  let last = Number.NaN;
  let written = '';
  for (let at = 0; at < values.length; at++) {
    if (at > 0) text += ',';
    const value = values[at];
    if (value === null || value === undefined) {
      text += 'NULL';
      continue;
    }
    const ms = value.getTime();
    if (ms !== last) {
      last = ms;
      written = `"${value.toISOString()}"`;
    }
    text += written;
  }
  return `${text}}`;
}

export function bytesColumn(values: readonly (Uint8Array | Null)[]): string {
  if (isEmpty(values)) return '{}';
  let text = '{';
  for (let at = 0; at < values.length; at++) {
    if (at > 0) text += ',';
    const value = values[at];
    if (value === null || value === undefined) text += 'NULL';
    else text += `"\\\\x${Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('hex')}"`;
  }
  return `${text}}`;
}
