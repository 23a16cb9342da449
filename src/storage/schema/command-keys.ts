import { bigint, pgTable, text } from 'drizzle-orm/pg-core';
import { bytea, moment } from './agents.ts';

/** Keys that sign commands, or did. A row alone makes no key believed: that does the signed set which names it. */
export const commandKeys = pgTable('command_keys', {
  keyId: text('key_id').primaryKey(),
  publicKey: bytea('public_key').notNull(),
  /** Encrypted with the command secret, which is not in the database. */
  sealedPrivateKey: bytea('sealed_private_key').notNull(),
  createdAt: moment('created_at').notNull(),
  createdBy: text('created_by').notNull(),
  revokedAt: moment('revoked_at'),
  revokedBy: text('revoked_by'),
  revokeReason: text('revoke_reason'),
});

/** Every set of keys that was ever signed; the highest version that holds counts. */
export const commandKeySets = pgTable('command_key_sets', {
  version: bigint('version', { mode: 'number' }).primaryKey(),
  /** A serialised CommandKeySet. */
  keySet: bytea('key_set').notNull(),
  /** By the server's identity key. */
  signature: bytea('signature').notNull(),
  signedBy: text('signed_by').notNull(),
  createdAt: moment('created_at').notNull(),
});
