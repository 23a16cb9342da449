import { sql } from 'drizzle-orm';
import { bigint, index, integer, pgTable, text } from 'drizzle-orm/pg-core';
import { agents, bytea, moment } from './agents.ts';

/** Every trust document that was ever signed; the highest version that holds counts. */
export const tlsTrustDocuments = pgTable('tls_trust_documents', {
  version: bigint('version', { mode: 'number' }).primaryKey(),
  /** A serialised TlsTrustDocument. */
  document: bytea('document').notNull(),
  /** By the server's identity key. */
  signature: bytea('signature').notNull(),
  signedBy: text('signed_by').notNull(),
  createdAt: moment('created_at').notNull(),
  createdBy: text('created_by').notNull(),
});

/** Private keys of authorities and of the server. A row alone makes none believed: that does the signed document. */
export const tlsKeys = pgTable('tls_keys', {
  /** Of an authority its certificate’s id, of a server’s key its pin. */
  name: text('name').primaryKey(),
  /** Encrypted with the command secret, which is not in the database. */
  sealedKey: bytea('sealed_key').notNull(),
  createdAt: moment('created_at').notNull(),
  createdBy: text('created_by').notNull(),
});

/** Certificates that were issued, until they are over. */
export const certificates = pgTable(
  'certificates',
  {
    /** Upper-case hex. */
    serial: text('serial').primaryKey(),
    authorityId: text('authority_id').notNull(),
    /** Null: of a server. */
    agentId: text('agent_id'),
    incarnation: integer('incarnation'),
    names: text('names').array().notNull(),
    issuedAt: moment('issued_at').notNull(),
    notAfter: moment('not_after').notNull(),
    /** Who asked for it. */
    issuedTo: text('issued_to').notNull(),
    revokedAt: moment('revoked_at'),
    revokedBy: text('revoked_by'),
    revokeReason: text('revoke_reason'),
  },
  (table) => [
    index('certificates_agent').on(table.agentId, table.issuedAt),
    index('certificates_end').on(table.notAfter),
    index('certificates_revoked').on(table.notAfter).where(sql`revoked_at is not null`),
  ],
);

/** The newest trust document that an agent has stored. */
export const agentTrust = pgTable('agent_trust', {
  agentId: text('agent_id')
    .primaryKey()
    .references(() => agents.agentId, { onDelete: 'cascade' }),
  incarnation: integer('incarnation').notNull(),
  version: bigint('version', { mode: 'number' }).notNull(),
  storedAt: moment('stored_at').notNull(),
});
