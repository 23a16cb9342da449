import { hash as hashOnce } from 'node:crypto';
import { type KeyPair, signBytes, verifyBytes } from '../protocol/keys.ts';
import { signedInput } from '../protocol/signed.ts';
import type { StoredAuditRow } from '../storage/audit.ts';
import type { AuditBlockRow, AuditCheckpointRow, SeqRange } from '../storage/audit-chain.ts';

/** What is hashed and signed of the audit log. See docs/decisions/0016-audit.md. */

export const digestBytes = 32;
export const genesisHash = new Uint8Array(digestBytes);

const part = (text: string | null) => (text === null ? '-' : `${Buffer.byteLength(text)}:${text}`);

/** As the database makes it (storage/audit-chain.ts). */
export function entryDigest(row: StoredAuditRow): Buffer {
  const parts = [
    String(row.seq),
    String(row.at.getTime()),
    row.actor,
    row.role,
    row.action,
    row.resourceKind,
    row.resourceId,
    row.outcome,
    row.code,
    String(row.count),
    row.address,
    row.userAgent,
    row.requestId,
    row.correlationId,
    row.details,
  ];
  return hashOnce('sha256', `viworks.audit.entry.v1${parts.map(part).join('')}`, 'buffer');
}

const encoder = new TextEncoder();
const text = (value: string | number) => encoder.encode(String(value));

type BlockBody = Omit<AuditBlockRow, 'hash' | 'keyId' | 'signature'>;

export function blockHash(block: BlockBody): Uint8Array {
  const input = signedInput(
    'viworks.audit.block.v1',
    text(block.number),
    block.previous,
    text(block.ranges),
    text(block.highest),
    text(block.settled),
    text(block.sealedAt.getTime()),
    block.digests,
  );
  return hashOnce('sha256', input, 'buffer');
}

const headInput = (number: number, hash: Uint8Array) =>
  signedInput('viworks.audit.head.v1', text(number), hash);

export function sealBlock(body: BlockBody, key: KeyPair): AuditBlockRow {
  const hash = blockHash(body);
  return { ...body, hash, keyId: key.keyId, signature: signBytes(key, headInput(body.number, hash)) };
}

/** Public keys by their ids. */
export type TrustedKeys = ReadonlyMap<string, Uint8Array>;

/** Undefined where the key is not trusted. */
export function isBlockSigned(
  { number, hash, keyId, signature }: Pick<AuditBlockRow, 'number' | 'hash' | 'keyId' | 'signature'>,
  keys: TrustedKeys,
): boolean | undefined {
  const key = keys.get(keyId);
  return key && verifyBytes(key, headInput(number, hash), signature);
}

type CheckpointBody = Omit<AuditCheckpointRow, 'keyId' | 'signature'>;

const checkpointInput = (point: CheckpointBody) =>
  signedInput(
    'viworks.audit.checkpoint.v1',
    text(point.number),
    point.hash,
    text(point.highest),
    text(point.settled),
    text(point.entries),
    text(point.at.getTime()),
  );

export const signCheckpoint = (point: CheckpointBody, key: KeyPair): AuditCheckpointRow => ({
  ...point,
  keyId: key.keyId,
  signature: signBytes(key, checkpointInput(point)),
});

/** Undefined where the key is not trusted. */
export function isCheckpointSigned(point: AuditCheckpointRow, keys: TrustedKeys): boolean | undefined {
  const key = keys.get(point.keyId);
  return key && verifyBytes(key, checkpointInput(point), point.signature);
}

/** Undefined if the text is not what a sealer writes. */
export function rangesOf(json: string): SeqRange[] | undefined {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    return undefined;
  }
  if (!Array.isArray(value)) return undefined;
  let end = 0;
  for (const range of value) {
    if (!Array.isArray(range) || range.length !== 2) return undefined;
    const [first, last]: unknown[] = range;
    if (!Number.isSafeInteger(first) || !Number.isSafeInteger(last)) return undefined;
    if (Number(first) <= end || Number(last) < Number(first)) return undefined;
    end = Number(last);
  }
  return value as SeqRange[];
}

export const countOf = (ranges: readonly SeqRange[]): number =>
  ranges.reduce((sum, [first, last]) => sum + last - first + 1, 0);

/** The sequence numbers of ranges. */
export function* seqsOf(ranges: readonly SeqRange[]): Generator<number> {
  for (const [first, last] of ranges) for (let seq = first; seq <= last; seq++) yield seq;
}
