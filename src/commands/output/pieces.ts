import type { OutputRow } from '../../storage/output.ts';

/** How pieces of a stream fit together. Pure. */

/** How far each stream of an execution has come in this session; absent while nothing was heard of it. */
export type StreamProgress = Map<number, number>;

/** Bytes of one row. */
const rowBytes = 64 * 1024;

/**
 * What of a piece is new and within the limit, or undefined where nothing is. Moves the progress on.
 * @param limit bytes of one stream that are kept
 */
export function fitPiece(row: OutputRow, progress: StreamProgress, limit: number): OutputRow | undefined {
  const next = progress.get(row.stream) ?? row.position;
  const skip = Math.max(0, next - row.position);
  const end = Math.min(row.position + row.data.byteLength, limit);
  const length = end - row.position - skip;
  if (length <= 0) return undefined;
  progress.set(row.stream, end);
  if (skip === 0 && length === row.data.byteLength) return row;
  return { ...row, position: row.position + skip, data: row.data.subarray(skip, skip + length) };
}

/** Rows that go on where the one before of the same stream ends become one. */
export function coalesce(rows: readonly OutputRow[]): OutputRow[] {
  const done: OutputRow[] = [];
  const open = new Map<string, { row: OutputRow; parts: Uint8Array[]; bytes: number }>();
  const close = (group: { row: OutputRow; parts: Uint8Array[] }) =>
    done.push(group.parts.length === 1 ? group.row : { ...group.row, data: Buffer.concat(group.parts) });
  for (const row of rows) {
    const key = `${row.executionId}/${row.attempt}/${row.stream}`;
    const group = open.get(key);
    const size = row.data.byteLength;
    if (
      group !== undefined &&
      group.row.position + group.bytes === row.position &&
      group.bytes + size <= rowBytes
    ) {
      group.parts.push(row.data);
      group.bytes += size;
      continue;
    }
    if (group !== undefined) close(group);
    open.set(key, { row, parts: [row.data], bytes: size });
  }
  for (const group of open.values()) close(group);
  return done;
}

/**
 * The beginning of a stream, from pieces in the order of their positions that may overlap.
 * @returns gap: something is missing between two pieces, and what lies behind it is left out
 */
export function assemble(pieces: readonly { position: number; data: Uint8Array }[]): {
  data: Uint8Array;
  gap: boolean;
} {
  const parts: Uint8Array[] = [];
  let length = 0;
  for (const { position, data } of pieces) {
    if (position > length) return { data: new Uint8Array(Buffer.concat(parts)), gap: true };
    const fresh = data.subarray(Math.min(data.byteLength, length - position));
    parts.push(fresh);
    length += fresh.byteLength;
  }
  return { data: new Uint8Array(Buffer.concat(parts)), gap: false };
}
