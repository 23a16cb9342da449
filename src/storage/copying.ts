import { finished, pipeline } from 'node:stream/promises';
import pg from 'pg';
import { from as copyFrom, to as copyTo } from 'pg-copy-streams';

/** COPY: rows in PostgreSQL's binary form, many at once. */

/**
 * Appends rows to a table, many times as fast as statements do.
 * @param columns of the table, in the order of the values
 * @param rows see `binary-writer.ts`
 */
export async function copyInto(
  client: pg.ClientBase,
  table: string,
  columns: readonly string[],
  rows: Buffer,
  timeoutMs: number,
): Promise<void> {
  const text = `copy ${table} (${columns.join(', ')}) from stdin (format binary)`;
  await pipeline([rows], client.query(copyFrom(text)), { signal: AbortSignal.timeout(timeoutMs) });
}

/** The rows that a query selects, see `binary-reader.ts`. */
export async function copyOf(client: pg.ClientBase, query: string, timeoutMs: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  const rows = client.query(copyTo(`copy (${query}) to stdout (format binary)`));
  // Each row comes alone, and to wait for one after the other takes longer than to read them.
  rows.on('data', (chunk: Buffer) => chunks.push(chunk));
  // A signal of AbortSignal.timeout would keep all of it until its time is over.
  const timer = setTimeout(() => rows.destroy(new Error('Query read timeout')), timeoutMs);
  await finished(rows).finally(() => clearTimeout(timer));
  return Buffer.concat(chunks);
}

/** COPY takes no parameters. */
export type Literal = string | number | Date;

/** A query with its values in the places of `$1`, `$2` and so on. @throws RangeError for what no literal says */
export const withLiterals = (text: string, values: readonly Literal[]): string =>
  text.replace(/\$(\d+)/g, (_, place) => literalOf(values[Number(place) - 1]));

function literalOf(value: Literal | undefined): string {
  if (typeof value === 'string') {
    // The text of a query ends with it.
    if (value.includes('\0')) throw new RangeError('no text of PostgreSQL: it has a NUL');
    return pg.escapeLiteral(value);
  }
  // Years after 9999 have a sign and six digits in JavaScript, which PostgreSQL does not read.
  if (value instanceof Date) return `timestamptz '${value.toISOString().replace(/^\+0*/, '')}'`;
  if (!Number.isSafeInteger(value)) throw new RangeError(`no integer: ${value}`);
  return String(value);
}
