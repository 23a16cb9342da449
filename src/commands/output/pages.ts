import type { Database } from '../../storage/database.ts';
import { beforeAllOutput, type OutputPlace, outputChangedSince } from '../../storage/output.ts';
import type { OutputPiece } from '../types.ts';
import { pieceOf } from './output.ts';

/** By execution, attempt and stream: where the next byte that was not told lies. */
export type StreamEnds = Map<string, number>;

/** Rows of at most 64 KiB that one event carries. */
const rowsAtOnce = 16;

/** What was written of a command in or after a transaction, and not told yet; told is moved on. */
export async function* newOutput(
  query: Database['query'],
  commandId: string,
  since: string,
  told: StreamEnds,
): AsyncGenerator<OutputPiece[]> {
  let after: OutputPlace = beforeAllOutput;
  for (let more = true; more; ) {
    const rows = await outputChangedSince(query, commandId, since, after, rowsAtOnce);
    more = rows.length === rowsAtOnce;
    after = rows.at(-1) ?? after;
    const pieces = rows.flatMap((row) => untold(pieceOf(row), told) ?? []);
    if (pieces.length > 0) yield pieces;
  }
}

/** Rows near the cursor come again, and pieces may overlap; each byte is told once. */
function untold(piece: OutputPiece, told: StreamEnds): OutputPiece | undefined {
  const key = `${piece.executionId}/${piece.attempt}/${piece.stream}`;
  const end = piece.offset + piece.data.byteLength;
  const from = Math.max(told.get(key) ?? 0, piece.offset);
  if (end <= from) return undefined;
  told.set(key, end);
  return { ...piece, offset: from, data: piece.data.subarray(from - piece.offset) };
}
