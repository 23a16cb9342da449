import { z } from 'zod';
import { invalidField } from '../errors.ts';
import type { StoredAuditRow } from '../storage/audit.ts';
import type { AuditBlockRow, AuditCheckpointRow } from '../storage/audit-chain.ts';
import type { AuditHead, SealedBlock } from './types.ts';

/**
 * An export: one JSON object a line. First where the chain begins and the key that signs, then the entries of each
 * block and the block itself, at last the end. What stands there is enough to verify it.
 */

const hexOf = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

const hex = z
  .string()
  .regex(/^(?:[0-9a-f]{2})*$/)
  .transform((text): Uint8Array => Buffer.from(text, 'hex'));
const time = z.iso.datetime().transform((text) => new Date(text));
const seq = z.int();
const optionalText = z
  .string()
  .nullish()
  .transform((text) => text ?? null);

const checkpointSchema = z.strictObject({
  number: seq,
  hash: hex,
  highest: seq,
  settled: seq,
  entries: seq,
  at: time,
  keyId: z.string(),
  signature: hex,
});

const lineSchema = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('start'),
    version: z.literal(1),
    keyId: z.string(),
    publicKey: hex,
    checkpoint: checkpointSchema.optional(),
  }),
  z.strictObject({
    type: z.literal('entry'),
    seq,
    at: time,
    actor: z.string(),
    role: optionalText,
    action: z.string(),
    resourceKind: optionalText,
    resourceId: optionalText,
    outcome: z.string(),
    code: optionalText,
    count: z.int(),
    address: optionalText,
    userAgent: optionalText,
    requestId: optionalText,
    correlationId: optionalText,
    details: z.unknown(),
    /** In place of the details where they are not written as a service writes them. */
    detailsText: z.string().optional(),
  }),
  z.strictObject({
    type: z.literal('block'),
    number: seq,
    previous: hex,
    ranges: z.string(),
    highest: seq,
    settled: seq,
    sealedAt: time,
    digests: hex,
    hash: hex,
    keyId: z.string(),
    signature: hex,
  }),
  z.strictObject({ type: z.literal('end'), block: seq, hash: hex }),
]);

export type AuditLine =
  | { type: 'start'; keyId: string; publicKey: Uint8Array; checkpoint: AuditCheckpointRow | undefined }
  | { type: 'entry'; row: StoredAuditRow }
  | { type: 'block'; block: AuditBlockRow }
  | { type: 'end'; block: number; hash: Uint8Array };

export function startLine({ keyId, publicKey, checkpoint }: AuditHead): string {
  const point = checkpoint && {
    ...checkpoint,
    hash: hexOf(checkpoint.hash),
    signature: hexOf(checkpoint.signature),
  };
  return JSON.stringify({ type: 'start', version: 1, keyId, publicKey: hexOf(publicKey), checkpoint: point });
}

export const endLine = (block: number, hash: Uint8Array): string =>
  JSON.stringify({ type: 'end', block, hash: hexOf(hash) });

/** The entries of a block, then the block. */
export function blockLines({ entries, ...block }: SealedBlock): string[] {
  return [
    ...entries.map(entryLine),
    JSON.stringify({
      type: 'block',
      ...block,
      previous: hexOf(block.previous),
      digests: hexOf(block.digests),
      hash: hexOf(block.hash),
      signature: hexOf(block.signature),
    }),
  ];
}

function entryLine({ details, ...row }: StoredAuditRow): string {
  const known = Object.fromEntries(Object.entries(row).filter(([, value]) => value !== null));
  return JSON.stringify({ type: 'entry', ...known, ...readable(details) });
}

/** Details as JSON, where that gives the same text when it is written again: a digest is over the text. */
function readable(text: string): { details: unknown } | { detailsText: string } {
  try {
    const details: unknown = JSON.parse(text);
    if (JSON.stringify(details) === text) return { details };
  } catch {}
  return { detailsText: text };
}

/** @throws invalid_request */
export function readLine(text: string, number: number): AuditLine {
  const wrong = (problem: string) => invalidField(`line ${number}`, problem);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw wrong('must be a JSON object');
  }
  const parsed = lineSchema.safeParse(value);
  if (!parsed.success) throw wrong('is not a line of an export of the audit log');
  const { data } = parsed;
  switch (data.type) {
    case 'start': {
      const { keyId, publicKey, checkpoint } = data;
      return { type: 'start', keyId, publicKey, checkpoint };
    }
    case 'entry': {
      const { type, details, detailsText, ...row } = data;
      return { type, row: { ...row, details: detailsText ?? JSON.stringify(details ?? {}) } };
    }
    case 'block': {
      const { type, ...block } = data;
      return { type, block };
    }
    case 'end':
      return data;
  }
}
