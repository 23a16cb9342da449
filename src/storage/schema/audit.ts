import { bigint, index, integer, pgTable, text } from 'drizzle-orm/pg-core';
import { bytea, moment } from './agents.ts';

/**
 * Who did what. Rows are inserted with what they record and never changed. Every column is part of the digest
 * that a block keeps of its entries (storage/audit-chain.ts, audit/chain.ts).
 */
export const auditEntries = pgTable('audit_entries', {
  /** Handed out in no order of commits, and with holes where transactions were rolled back. */
  seq: bigint('seq', { mode: 'number' }).primaryKey().generatedAlwaysAsIdentity(),
  at: moment('at').notNull(),
  actor: text('actor').notNull(),
  role: text('role'),
  action: text('action').notNull(),
  resourceKind: text('resource_kind'),
  resourceId: text('resource_id'),
  /** done, refused or failed. */
  outcome: text('outcome').notNull(),
  /** Of the error; null where it is done. */
  code: text('code'),
  /** How often it happened, of what is counted instead of written each time. */
  count: integer('count').notNull(),
  address: text('address'),
  userAgent: text('user_agent'),
  requestId: text('request_id'),
  correlationId: text('correlation_id'),
  /** A JSON object, kept as text: a digest is over exact bytes. */
  details: text('details').notNull(),
});

/** The chain: a block seals the entries of its ranges and, by the hash of the block before, all before them. */
export const auditBlocks = pgTable(
  'audit_blocks',
  {
    number: bigint('number', { mode: 'number' }).primaryKey(),
    previous: bytea('previous').notNull(),
    /** JSON, [[first, last], …], in order: exactly the sequence numbers of its entries. */
    ranges: text('ranges').notNull(),
    /** The largest sequence number in this block or one before. */
    highest: bigint('highest', { mode: 'number' }).notNull(),
    /** Up to here every sequence number is in a block, or will never be used. */
    settled: bigint('settled', { mode: 'number' }).notNull(),
    sealedAt: moment('sealed_at').notNull(),
    /** SHA-256 of each entry, 32 bytes each, in the order of their sequence numbers. */
    digests: bytea('digests').notNull(),
    hash: bytea('hash').notNull(),
    keyId: text('key_id').notNull(),
    signature: bytea('signature').notNull(),
  },
  (table) => [index('audit_blocks_sealed').on(table.sealedAt)],
);

/** Where the chain begins after its oldest blocks were deleted. One row at most. */
export const auditCheckpoints = pgTable('audit_checkpoints', {
  /** Of the last block that was deleted. */
  number: bigint('number', { mode: 'number' }).primaryKey(),
  hash: bytea('hash').notNull(),
  highest: bigint('highest', { mode: 'number' }).notNull(),
  settled: bigint('settled', { mode: 'number' }).notNull(),
  /** Entries that were deleted since the chain began. */
  entries: bigint('entries', { mode: 'number' }).notNull(),
  at: moment('at').notNull(),
  keyId: text('key_id').notNull(),
  signature: bytea('signature').notNull(),
});
