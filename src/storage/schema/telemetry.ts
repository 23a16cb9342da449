import {
  bigint,
  boolean,
  doublePrecision,
  index,
  integer,
  pgTable,
  primaryKey,
  text,
} from 'drizzle-orm/pg-core';
import { bytea, moment } from './agents.ts';

/**
 * What agents measured. Samples and roll-ups are partitioned by time: what is declared here as a plain table is made a
 * partitioned one while it is new (storage/telemetry-partitions.ts), since Drizzle has no words for that.
 */
export const telemetrySamples = pgTable(
  'telemetry_samples',
  {
    agentId: text('agent_id').notNull(),
    /** The agent's time where that is plausible, otherwise the server's. */
    at: moment('at').notNull(),
    bootId: bytea('boot_id').notNull(),
    number: bigint('number', { mode: 'number' }).notNull(),
    receivedAt: moment('received_at').notNull(),
    /** It came long after it was taken. */
    late: boolean('late').notNull(),
    /** The agent's clock is wrong, and `at` is the server's time. */
    skewed: boolean('skewed').notNull(),
    cpu: doublePrecision('cpu'),
    memory: doublePrecision('memory'),
    swap: doublePrecision('swap'),
    disk: doublePrecision('disk'),
    load: doublePrecision('load'),
    received: doublePrecision('received'),
    sent: doublePrecision('sent'),
    /** A serialised viworks.agent.v1.Sample. */
    sample: bytea('sample').notNull(),
  },
  (table) => [primaryKey({ columns: [table.agentId, table.at, table.bootId, table.number] })],
);

/** Samples with the server's time: the same one gets the same time when it comes again. */
export const telemetrySkewed = pgTable(
  'telemetry_skewed',
  {
    agentId: text('agent_id').notNull(),
    bootId: bytea('boot_id').notNull(),
    number: bigint('number', { mode: 'number' }).notNull(),
    at: moment('at').notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.agentId, table.bootId, table.number] }),
    index('telemetry_skewed_at').on(table.at),
  ],
);

/** Spans of agents whose roll-ups are to be made anew; inserted with the samples that changed them. */
export const telemetryDirty = pgTable('telemetry_dirty', {
  id: bigint('id', { mode: 'number' }).primaryKey().generatedAlwaysAsIdentity(),
  /** Seconds of a span. */
  resolution: integer('resolution').notNull(),
  /** Not to be looked at before. */
  readyAt: moment('ready_at').notNull(),
  /** It is a portion of what several lists named, which is made at once. */
  portioned: boolean('portioned').notNull().default(false),
  /** That its spans have, about, as far as they are named by it. */
  samples: bigint('samples', { mode: 'number' }).notNull().default(1),
  /** Element by element with `spans`, the beginnings. */
  agents: text('agents').array().notNull(),
  spans: moment('spans').array().notNull(),
});

/** Of one metric in one span; all null where nothing was measured. */
const statistics = (name: string) => ({
  [`${name}Count`]: integer(`${name}_count`),
  [`${name}Sum`]: doublePrecision(`${name}_sum`),
  [`${name}Min`]: doublePrecision(`${name}_min`),
  [`${name}Max`]: doublePrecision(`${name}_max`),
  /** 95 of 100 samples are at most this. */
  [`${name}P95`]: doublePrecision(`${name}_p95`),
});

const rollupColumns = () => ({
  agentId: text('agent_id').notNull(),
  /** Where the span begins. */
  at: moment('at').notNull(),
  samples: integer('samples').notNull(),
  ...statistics('cpu'),
  ...statistics('memory'),
  ...statistics('swap'),
  ...statistics('disk'),
  ...statistics('load'),
  ...statistics('received'),
  ...statistics('sent'),
});

/** One row for each agent and minute. */
export const telemetryMinutes = pgTable('telemetry_minutes', rollupColumns(), (table) => [
  primaryKey({ columns: [table.agentId, table.at] }),
  index('telemetry_minutes_at').using('brin', table.at),
]);

/** One row for each agent and quarter of an hour. */
export const telemetryQuarters = pgTable('telemetry_quarters', rollupColumns(), (table) => [
  primaryKey({ columns: [table.agentId, table.at] }),
  index('telemetry_quarters_at').using('brin', table.at),
]);

/** One row for each agent and hour. */
export const telemetryHours = pgTable('telemetry_hours', rollupColumns(), (table) => [
  primaryKey({ columns: [table.agentId, table.at] }),
  index('telemetry_hours_at').using('brin', table.at),
]);
