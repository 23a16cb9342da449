import type { StoredAuditRow } from '../storage/audit.ts';
import type { TrustedKeys } from './chain.ts';
import { readLine } from './lines.ts';
import type { AuditProblem } from './types.ts';
import {
  type ChainPosition,
  chainStart,
  checkBlock,
  checkCheckpoint,
  checkEnd,
  checkEntries,
  insertedProblem,
  truncatedProblem,
} from './verify.ts';

/** Verifies an export line by line; of the entries only those of one block are kept at a time. */

export interface LinesVerdict {
  problem: AuditProblem | undefined;
  blocks: number;
  entries: number;
  block: number;
  /** Lower-case hex. */
  hash: string;
  /** The keys that signatures were checked with. */
  keyIds: string[];
}

export interface LinesTrust {
  /** Undefined: the key that the export itself names, which says nothing of who wrote it. */
  keys?: TrustedKeys | undefined;
  /** A hash of a block that somebody kept, in hex: it must be in the chain. */
  head?: string | undefined;
}

/** @throws invalid_request where it is no export, or not all of one */
export async function verifyLines(
  lines: AsyncIterable<string>,
  { keys: trusted, head }: LinesTrust = {},
): Promise<LinesVerdict> {
  let keys: TrustedKeys = trusted ?? new Map();
  let at: ChainPosition | undefined;
  let rows: StoredAuditRow[] = [];
  let headSeen = head === undefined;
  let ended = false;
  let blocks = 0;
  let entries = 0;
  let number = 0;
  const verdict = (problem: AuditProblem | undefined): LinesVerdict => ({
    problem,
    blocks,
    entries,
    block: at?.number ?? 0,
    hash: Buffer.from(at?.hash ?? []).toString('hex'),
    keyIds: [...keys.keys()],
  });
  const cutOff = () => truncatedProblem((at?.number ?? 0) + 1, 'unknown');

  for await (const text of lines) {
    number += 1;
    if (text.trim() === '') continue;
    const line = readLine(text, number);
    if (line.type === 'start') {
      // A second beginning would forget what came before it.
      if (at !== undefined) return verdict(cutOff());
      if (trusted === undefined) keys = new Map([[line.keyId, line.publicKey]]);
      const wrong = checkCheckpoint(line.checkpoint, keys);
      at = chainStart(line.checkpoint);
      if (wrong !== undefined) return verdict(wrong);
      headSeen ||= Buffer.from(at.hash).toString('hex') === head;
      continue;
    }
    // Without its first line it is no export at all, or its beginning was cut off.
    if (at === undefined || ended) return verdict(cutOff());
    if (line.type === 'entry') {
      rows.push(line.row);
      continue;
    }
    if (line.type === 'end') {
      ended = true;
      const [stray] = rows;
      if (stray !== undefined) return verdict(insertedProblem(stray.seq));
      if (Buffer.compare(line.hash, at.hash) !== 0) return verdict(cutOff());
      continue;
    }
    const checked = checkBlock(at, line.block, keys);
    if (checked.problem !== undefined) return verdict(checked.problem);
    const wrong =
      strayOf(rows, checked.ranges) ?? orderOf(rows) ?? checkEntries(line.block, checked.ranges, rows);
    if (wrong !== undefined) return verdict(wrong);
    blocks += 1;
    entries += rows.length;
    rows = [];
    at = checked.next;
    headSeen ||= Buffer.from(at.hash).toString('hex') === head;
  }
  if (at === undefined || !ended) return verdict(cutOff());
  if (!headSeen && head !== undefined) return verdict(truncatedProblem(at.number, head));
  return verdict(checkEnd(at));
}

function strayOf(
  rows: readonly StoredAuditRow[],
  ranges: readonly (readonly [number, number])[],
): AuditProblem | undefined {
  const seen = new Set<number>();
  for (const { seq } of rows) {
    if (seen.has(seq) || !ranges.some(([first, last]) => first <= seq && seq <= last))
      return insertedProblem(seq);
    seen.add(seq);
  }
  return undefined;
}

function orderOf(rows: readonly StoredAuditRow[]): AuditProblem | undefined {
  const at = rows.findIndex((row, index) => index > 0 && row.seq < (rows[index - 1]?.seq ?? 0));
  const row = rows[at];
  return (
    row && {
      kind: 'reordered',
      block: undefined,
      seq: row.seq,
      message: `Entry ${row.seq} stands after a later one.`,
    }
  );
}
