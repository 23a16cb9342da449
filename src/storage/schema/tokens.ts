import { integer, jsonb, pgTable, text, uuid } from 'drizzle-orm/pg-core';
import type { Scope } from '../../lib/scope.ts';
import { bytea, moment } from './agents.ts';

/** Long-lived tokens of applications. Only the hash of a token is kept: reading this table lets nobody in. */
export const serviceTokens = pgTable('service_tokens', {
  tokenId: uuid('token_id').primaryKey(),
  tokenHash: bytea('token_hash').notNull().unique(),
  /** Whose it is; the subject of what it does. */
  name: text('name').notNull(),
  role: text('role').notNull(),
  /** Null: not limited. */
  scope: jsonb('scope').$type<Scope>(),
  /** Calls in a window; 0: any number. Null: as many as everybody. */
  rateLimit: integer('rate_limit'),
  /** A keyed hash of all that the token may, so that whoever writes here grants nobody anything. */
  seal: bytea('seal').notNull(),
  createdBy: text('created_by').notNull(),
  createdAt: moment('created_at').notNull(),
  /** Null: it does not expire. */
  expiresAt: moment('expires_at'),
  lastUsedAt: moment('last_used_at'),
  revokedAt: moment('revoked_at'),
  revokedBy: text('revoked_by'),
});

/** Ids of signed tokens that count no more; each row is of use until its token would have expired. */
export const revokedTokens = pgTable('revoked_tokens', {
  jti: text('jti').primaryKey(),
  revokedBy: text('revoked_by').notNull(),
  revokedAt: moment('revoked_at').notNull(),
  expiresAt: moment('expires_at').notNull(),
});

/** Keys that sign tokens. The private half is sealed with a secret that is not in the database. */
export const issuerKeys = pgTable('issuer_keys', {
  keyId: text('key_id').primaryKey(),
  publicKey: bytea('public_key').notNull(),
  sealedKey: bytea('sealed_key').notNull(),
  /** The one with the highest number signs. */
  number: integer('number').notNull().unique(),
  createdBy: text('created_by').notNull(),
  createdAt: moment('created_at').notNull(),
  /** When the last token that it signed expires. */
  lastExpiry: moment('last_expiry').notNull(),
  revokedAt: moment('revoked_at'),
  revokedBy: text('revoked_by'),
});
