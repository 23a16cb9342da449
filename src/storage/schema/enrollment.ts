import { sql } from 'drizzle-orm';
import { index, jsonb, pgTable, text, uniqueIndex, uuid } from 'drizzle-orm/pg-core';
import { bytea, moment } from './agents.ts';

/** Agents without a token that ask to be enrolled. One row for each key. */
export const enrollmentRequests = pgTable(
  'enrollment_requests',
  {
    requestId: uuid('request_id').primaryKey(),
    agentId: text('agent_id').notNull(),
    keyId: text('key_id').notNull(),
    publicKey: bytea('public_key').notNull(),
    labels: jsonb('labels').$type<Record<string, string>>().notNull(),
    hostname: text('hostname').notNull(),
    remoteAddress: text('remote_address').notNull(),
    state: text('state').$type<'pending' | 'approved' | 'rejected'>().notNull().default('pending'),
    requestedAt: moment('requested_at').notNull(),
    /** Then it counts no more, whatever became of it; asking again renews what is pending. */
    expiresAt: moment('expires_at').notNull(),
    decidedBy: text('decided_by'),
    decidedAt: moment('decided_at'),
    reason: text('reason'),
  },
  (table) => [
    uniqueIndex('enrollment_requests_key').on(table.keyId),
    index('enrollment_requests_pending').on(table.remoteAddress).where(sql`state = 'pending'`),
  ],
);
