import type { StoredAuditRow } from '../storage/audit.ts';
import type { AuditBlockRow, AuditCheckpointRow, SeqRange } from '../storage/audit-chain.ts';
import {
  blockHash,
  countOf,
  digestBytes,
  entryDigest,
  genesisHash,
  isBlockSigned,
  isCheckpointSigned,
  rangesOf,
  seqsOf,
  type TrustedKeys,
} from './chain.ts';
import type { AuditProblem, AuditProblemKind } from './types.ts';

/** Whether the chain is as it was made: pure, so that it works on a database and on an export alike. */

/** How far the chain was looked at, and what the next block has to follow. */
export interface ChainPosition {
  number: number;
  hash: Uint8Array;
  highest: number;
  /** The first block since the last one with a trusted signature; every block after it hangs on it alone. */
  unsignedSince: number | undefined;
}

export const chainStart = (checkpoint: AuditCheckpointRow | undefined): ChainPosition => ({
  number: checkpoint?.number ?? 0,
  hash: checkpoint?.hash ?? genesisHash,
  highest: checkpoint?.highest ?? 0,
  unsignedSince: undefined,
});

const problem = (
  kind: AuditProblemKind,
  block: number | undefined,
  seq: number | undefined,
  message: string,
): AuditProblem => ({ kind, block, seq, message });

export function checkCheckpoint(
  checkpoint: AuditCheckpointRow | undefined,
  keys: TrustedKeys,
): AuditProblem | undefined {
  if (checkpoint === undefined || isCheckpointSigned(checkpoint, keys) === true) return undefined;
  return problem(
    'signature',
    checkpoint.number,
    undefined,
    `The checkpoint after block ${checkpoint.number} is not signed by a trusted key: the beginning may have been cut off.`,
  );
}

const same = (a: Uint8Array, b: Uint8Array) => Buffer.compare(a, b) === 0;

/** Whether a block follows and is signed. A block of an older key is vouched for by a later one of a trusted key. */
export function checkBlock(
  at: ChainPosition,
  block: AuditBlockRow,
  keys: TrustedKeys,
): { problem: AuditProblem } | { problem: undefined; next: ChainPosition; ranges: SeqRange[] } {
  const wrong = (kind: AuditProblemKind, message: string) => ({
    problem: problem(kind, block.number, undefined, message),
  });
  const { number } = block;
  if (number !== at.number + 1) {
    const missing = at.number + 1;
    const message = `Block ${missing} is not there; the one after block ${at.number} is ${number}.`;
    return { problem: problem('block_removed', missing, undefined, message) };
  }
  const ranges = rangesOf(block.ranges);
  if (ranges === undefined) return wrong('block_changed', `The ranges of block ${number} were changed.`);
  if (!same(blockHash(block), block.hash)) return wrong('block_changed', `Block ${number} was changed.`);
  if (!same(block.previous, at.hash))
    return wrong('block_changed', `Block ${number} does not follow the block before it that is there.`);
  if (countOf(ranges) * digestBytes !== block.digests.byteLength)
    return wrong('block_changed', `Block ${number} has other ranges than digests.`);
  const signed = isBlockSigned(block, keys);
  if (signed === false) return wrong('signature', `Block ${number} was not signed by the key that it names.`);
  return {
    problem: undefined,
    ranges,
    next: {
      number,
      hash: block.hash,
      highest: block.highest,
      unsignedSince: signed ? undefined : (at.unsignedSince ?? number),
    },
  };
}

/** At the end of the chain: everything must hang on a signature that is trusted. */
export function checkEnd(at: ChainPosition): AuditProblem | undefined {
  if (at.unsignedSince === undefined) return undefined;
  return problem(
    'signature',
    at.unsignedSince,
    undefined,
    `Block ${at.unsignedSince} and what follows was signed by a key that is not trusted.`,
  );
}

/** Of the rows that a block may have been given in place of its own, so many are tried. */
const triedSwaps = 2000;

/** What is wrong first with the entries of a block. @param rows all that are in its ranges, in order */
export function checkEntries(
  block: Pick<AuditBlockRow, 'number' | 'digests'>,
  ranges: readonly SeqRange[],
  rows: readonly StoredAuditRow[],
): AuditProblem | undefined {
  const bySeq = new Map(rows.map((row) => [row.seq, row]));
  const expected = new Map<number, Uint8Array>();
  let first: number | undefined;
  let at = 0;
  for (const seq of seqsOf(ranges)) {
    const digest = block.digests.subarray(at, at + digestBytes);
    at += digestBytes;
    const row = bySeq.get(seq);
    if (row !== undefined && same(entryDigest(row), digest)) continue;
    first ??= seq;
    if (expected.size < triedSwaps) expected.set(seq, digest);
  }
  if (first === undefined) return undefined;
  const row = bySeq.get(first);
  const { number } = block;
  if (row === undefined) {
    const where = wasMovedTo(first, expected.get(first), expected, bySeq);
    return where === undefined
      ? problem('removed', number, first, `Entry ${first} was removed.`)
      : problem('reordered', number, first, `Entry ${first} stands at ${where} now.`);
  }
  for (const [seq, digest] of expected) {
    if (seq !== first && same(entryDigest({ ...row, seq }), digest))
      return problem('reordered', number, first, `At entry ${first} stands what was entry ${seq}.`);
  }
  return problem('changed', number, first, `Entry ${first} was changed.`);
}

function wasMovedTo(
  seq: number,
  digest: Uint8Array | undefined,
  wrong: ReadonlyMap<number, Uint8Array>,
  rows: ReadonlyMap<number, StoredAuditRow>,
): number | undefined {
  if (digest === undefined) return undefined;
  for (const other of wrong.keys()) {
    const row = rows.get(other);
    if (row !== undefined && same(entryDigest({ ...row, seq }), digest)) return other;
  }
  return undefined;
}

export const insertedProblem = (seq: number): AuditProblem =>
  problem('inserted', undefined, seq, `Entry ${seq} was never sealed: it was put there later.`);

export const truncatedProblem = (number: number, hash: string): AuditProblem =>
  problem(
    'truncated',
    number,
    undefined,
    `Block ${number} with the hash ${hash} was there before, and is not there now: the end was cut off or made anew.`,
  );
