import type { JsonObject } from '@bufbuild/protobuf';
import { z } from 'zod';
import { blockLines, endLine, startLine } from '../../audit/lines.ts';
import {
  type AuditHead,
  type AuditRecord,
  type AuditService,
  type AuditVerdict,
  auditOutcomes,
} from '../../audit/types.ts';
import {
  countSchema,
  jsonObjectSchema,
  nextPageToken,
  optionalTimeView,
  pageInput,
  timeSchema,
  timeView,
} from './common.ts';

/** The audit log. */

const dateSchema = timeSchema.transform((text) => new Date(text));
const tokenSchema = z.string().max(512).optional();
const hashSchema = z.string();

export const listAuditInput = z
  .strictObject({
    filter: z
      .strictObject({
        actor: z.string().max(128).optional(),
        /** An operation, or all of a kind: `commands`. */
        action: z.string().max(128).optional(),
        resourceKind: z.string().max(64).optional(),
        resourceId: z.string().max(255).optional(),
        outcome: z.enum(auditOutcomes).optional(),
        address: z.string().max(64).optional(),
        since: dateSchema.optional(),
        until: dateSchema.optional(),
      })
      .default({}),
    ...pageInput,
  })
  .prefault({});

const entrySchema = z.strictObject({
  seq: z.int(),
  at: timeSchema,
  actor: z.string(),
  role: z.string().optional(),
  action: z.string(),
  resourceKind: z.string().optional(),
  resourceId: z.string().optional(),
  outcome: z.string(),
  /** Of the error. */
  code: z.string().optional(),
  /** How often it happened: refusals are counted for a minute. */
  count: z.int(),
  address: z.string().optional(),
  userAgent: z.string().optional(),
  requestId: z.string().optional(),
  correlationId: z.string().optional(),
  details: jsonObjectSchema,
});
export type AuditEntryView = z.output<typeof entrySchema>;

/** Newest first. A page may be short, or empty, and have a token: what is rare takes several looks. */
export const listAuditOutput = z.strictObject({ entries: z.array(entrySchema), nextPageToken });

export function auditEntryView(record: AuditRecord): AuditEntryView {
  const { role, resourceKind, resourceId, code, address, userAgent, requestId, correlationId } = record;
  return {
    seq: record.seq,
    at: timeView(record.at),
    actor: record.actor,
    role: role ?? undefined,
    action: record.action,
    resourceKind: resourceKind ?? undefined,
    resourceId: resourceId ?? undefined,
    outcome: record.outcome,
    code: code ?? undefined,
    count: record.count,
    address: address ?? undefined,
    userAgent: userAgent ?? undefined,
    requestId: requestId ?? undefined,
    correlationId: correlationId ?? undefined,
    details: record.details as JsonObject,
  };
}

export const verifyAuditInput = z
  .strictObject({
    /** `nextPageToken` of the answer before. */
    pageToken: tokenSchema,
  })
  .prefault({});

const problemSchema = z.strictObject({
  kind: z.enum([
    'changed',
    'removed',
    'reordered',
    'inserted',
    'block_changed',
    'block_removed',
    'signature',
    'truncated',
  ]),
  block: z.int().optional(),
  seq: z.int().optional(),
  message: z.string(),
});

export const verifyAuditOutput = z.strictObject({
  /** What is wrong first; absent where nothing is, as far as it was looked. */
  problem: problemSchema.optional(),
  /** Looked at by this call. */
  blocks: countSchema,
  entries: countSchema,
  nextPageToken,
  /** The last block that was looked at. */
  block: countSchema,
  hash: hashSchema,
});

const hexOf = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

export const verdictView = ({
  nextToken,
  hash,
  ...rest
}: AuditVerdict): z.output<typeof verifyAuditOutput> => ({
  ...rest,
  nextPageToken: nextToken,
  hash: hexOf(hash),
});

export const exportAuditInput = z
  .strictObject({
    /** `nextBlock` of the answer before. */
    afterBlock: z.int().nonnegative().default(0),
  })
  .prefault({});

export const exportAuditOutput = z.strictObject({
  /** Of JSON, as `viworks audit export` writes and `viworks audit verify FILE` reads them. */
  lines: z.array(z.string()),
  /** Absent at the end. */
  nextBlock: z.int().optional(),
});

/** Some lines of an export: the first ones with where it begins, the last ones with its end. */
export async function exportView(
  audit: Pick<AuditService, 'export' | 'head'>,
  afterBlock: number,
): Promise<z.output<typeof exportAuditOutput>> {
  const lines: string[] = [];
  let after = afterBlock;
  if (after === 0) {
    const head = await audit.head();
    lines.push(startLine(head));
    after = head.checkpoint?.number ?? 0;
  }
  const { blocks, more } = await audit.export(after);
  lines.push(...blocks.flatMap(blockLines));
  const last = blocks.at(-1);
  if (more && last !== undefined) return { lines, nextBlock: last.number };
  if (last !== undefined) lines.push(endLine(last.number, last.hash));
  else {
    // Everything there was has been read, or there is nothing.
    const { block, hash } = await audit.head();
    lines.push(endLine(block, hash));
  }
  return { lines };
}

export const auditHeadInput = z.strictObject({}).prefault({});

export const auditHeadOutput = z.strictObject({
  /** The last block; 0 before the first. */
  block: countSchema,
  /** Its hash, in hex: whoever keeps it can tell later whether the chain up to it is the same. */
  hash: hashSchema,
  sealedAt: timeSchema.optional(),
  /** The key that signs blocks. */
  keyId: z.string(),
  /** Ed25519, in hex. */
  publicKey: z.string(),
  /** Entries that no block has yet, and the time of the oldest. */
  pending: countSchema,
  oldestPending: timeSchema.optional(),
  /** Where the chain begins after its oldest blocks were deleted. */
  checkpoint: z
    .strictObject({ block: countSchema, hash: hashSchema, entries: countSchema, at: timeSchema })
    .optional(),
});
export type AuditHeadView = z.output<typeof auditHeadOutput>;

export function auditHeadView(head: AuditHead): AuditHeadView {
  const { checkpoint } = head;
  return {
    block: head.block,
    hash: hexOf(head.hash),
    sealedAt: optionalTimeView(head.sealedAt),
    keyId: head.keyId,
    publicKey: hexOf(head.publicKey),
    pending: head.pending,
    oldestPending: optionalTimeView(head.oldestPending),
    checkpoint: checkpoint && {
      block: checkpoint.number,
      hash: hexOf(checkpoint.hash),
      entries: checkpoint.entries,
      at: timeView(checkpoint.at),
    },
  };
}
