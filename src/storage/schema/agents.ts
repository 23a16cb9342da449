import { sql } from 'drizzle-orm';
import {
  bigint,
  boolean,
  customType,
  index,
  integer,
  jsonb,
  pgTable,
  primaryKey,
  text,
  timestamp,
  uniqueIndex,
  uuid,
} from 'drizzle-orm/pg-core';

export const bytea = customType<{ data: Uint8Array; driverData: Buffer }>({
  dataType: () => 'bytea',
  toDriver: (value) => Buffer.from(value),
});

export const moment = (name: string) => timestamp(name, { withTimezone: true, precision: 3, mode: 'date' });

/** The registry. Presence is what was last known; it changes on connect, degradation and disconnect only. */
export const agents = pgTable(
  'agents',
  {
    agentId: text('agent_id').primaryKey(),
    site: text('site').notNull(),
    labels: jsonb('labels').$type<Record<string, string>>().notNull().default({}),
    capabilities: text('capabilities').array().notNull().default(sql`'{}'`),
    software: text('software').notNull().default(''),
    hostname: text('hostname').notNull().default(''),
    os: text('os').notNull().default(''),
    kernel: text('kernel').notNull().default(''),
    architecture: text('architecture').notNull().default(''),
    containerEngine: text('container_engine').notNull().default(''),
    presence: text('presence').$type<'online' | 'degraded' | 'offline'>().notNull().default('offline'),
    maintenance: boolean('maintenance').notNull().default(false),
    statusReason: text('status_reason'),
    /** Counts enrolments. */
    incarnation: integer('incarnation').notNull(),
    /** The fencing number of the newest session. */
    epoch: bigint('epoch', { mode: 'number' }).notNull().default(0),
    /**
     * The epoch that the agent confirmed to have stored, or 0. Null: whatever it says next is believed, once. An
     * agent that says neither this nor the newest epoch is a copy.
     */
    generation: bigint('generation', { mode: 'number' }).default(0),
    /** Two copies were seen: since when, why, and what it was in before. Maintenance is set meanwhile. */
    held: jsonb('held').$type<{
      at: string;
      reason: string;
      maintenance: boolean;
      statusReason: string | null;
    }>(),
    /** Its keys are refused. The incarnation was raised, and no key belongs to it. */
    revoked: jsonb('revoked').$type<{ at: string; by: string; reason: string }>(),
    /** It is asked to make itself a new key. */
    rotateKey: boolean('rotate_key').notNull().default(false),
    transport: text('transport'),
    remoteAddress: text('remote_address'),
    tls: boolean('tls'),
    connectedAt: moment('connected_at'),
    lastSeenAt: moment('last_seen_at'),
    createdAt: moment('created_at').notNull().defaultNow(),
    updatedAt: moment('updated_at').notNull().defaultNow(),
  },
  (table) => [index('agents_site').on(table.site)],
);

/** Public keys. One row for each enrolment; a key belongs to one identity only. */
export const agentKeys = pgTable(
  'agent_keys',
  {
    agentId: text('agent_id')
      .notNull()
      .references(() => agents.agentId, { onDelete: 'cascade' }),
    incarnation: integer('incarnation').notNull(),
    keyId: text('key_id').notNull(),
    publicKey: bytea('public_key').notNull(),
    createdAt: moment('created_at').notNull().defaultNow(),
    /** The token that it was enrolled with; null: by approval, or before tokens had ids. */
    tokenId: uuid('token_id'),
    /** Accepted to take the key's place; it does so when it is used for the first time. */
    nextKeyId: text('next_key_id'),
    nextPublicKey: bytea('next_public_key'),
    /** The key before this one, which is believed for a while. */
    previousKeyId: text('previous_key_id'),
    previousPublicKey: bytea('previous_public_key'),
    previousUntil: moment('previous_until'),
  },
  (table) => [
    primaryKey({ columns: [table.agentId, table.incarnation] }),
    uniqueIndex('agent_keys_key').on(table.keyId),
    index('agent_keys_token').on(table.tokenId),
  ],
);

/** Only the hash of a token is kept: reading this table enrols nobody. */
export const enrollmentTokens = pgTable('enrollment_tokens', {
  tokenHash: bytea('token_hash').primaryKey(),
  site: text('site').notNull(),
  labels: jsonb('labels').$type<Record<string, string>>().notNull().default({}),
  agentId: text('agent_id'),
  uses: integer('uses').notNull(),
  used: integer('used').notNull().default(0),
  createdBy: text('created_by').notNull(),
  createdAt: moment('created_at').notNull().defaultNow(),
  expiresAt: moment('expires_at').notNull(),
  /** What it is called without being told. */
  tokenId: uuid('token_id').notNull().defaultRandom(),
  revokedAt: moment('revoked_at'),
  revokedBy: text('revoked_by'),
});

/** One row for each authenticated session; the open one has no end. */
export const sessions = pgTable(
  'sessions',
  {
    sessionId: uuid('session_id').primaryKey(),
    agentId: text('agent_id')
      .notNull()
      .references(() => agents.agentId, { onDelete: 'cascade' }),
    incarnation: integer('incarnation').notNull(),
    epoch: bigint('epoch', { mode: 'number' }).notNull(),
    transport: text('transport').notNull(),
    remoteAddress: text('remote_address').notNull(),
    tls: boolean('tls').notNull(),
    startedAt: moment('started_at').notNull(),
    endedAt: moment('ended_at'),
    endReason: text('end_reason'),
  },
  (table) => [
    uniqueIndex('sessions_agent_epoch').on(table.agentId, table.epoch),
    index('sessions_open').on(table.agentId).where(sql`ended_at is null`),
  ],
);
