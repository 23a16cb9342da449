import { join } from 'node:path';
import { toBinary } from '@bufbuild/protobuf';
import { drizzle } from 'drizzle-orm/node-postgres';
import pg from 'pg';
import { SampleSchema } from '#gen/viworks/agent/v1/telemetry_pb.js';
import { telemetrySamples } from '../src/storage/schema/telemetry.ts';
import { sampleOf } from './support/fleet-measuring.ts';
import { cpuBelow, cpuOf } from './support/usage.ts';

/**
 * What one would write without much thought, on the same PostgreSQL and into a table with the same columns and key. It
 * has no agents, sessions and envelopes: rows are made and inserted in this process.
 */

export const insertKinds = ['an insert for each sample', 'Drizzle, 1,000 rows an insert'] as const;
export type InsertKind = (typeof insertKinds)[number];

export interface InsertSample {
  kind: InsertKind;
  perSecond: number;
  /** Microseconds of CPU time for each sample. */
  cpu: { server: number; postgres: number };
}

const connections = 8;
const rowsAtOnce = 1000;

/** @param owner of the PostgreSQL, whose children are measured */
export async function measureInserts(
  kind: InsertKind,
  { dataDir, owner, ms }: { dataDir: string; owner: number; ms: number },
): Promise<InsertSample> {
  const pool = new pg.Pool({
    host: join(dataDir, 'postgres', 'socket'),
    user: 'viworks',
    database: 'viworks',
    max: connections,
    options: '-c synchronous_commit=on -c search_path=bench',
  });
  try {
    await pool.query('create schema if not exists bench');
    await pool.query('drop table if exists bench.telemetry_samples');
    await pool.query('create table bench.telemetry_samples (like public.telemetry_samples including all)');
    const database = drizzle(pool);
    let number = 0;
    const rowNow = () => {
      number += 1;
      const now = new Date();
      return {
        agentId: `agent-${number % 1000}`,
        at: now,
        bootId: new Uint8Array(16),
        number,
        receivedAt: now,
        late: false,
        skewed: false,
        cpu: 12.5,
        memory: 37.5,
        swap: 0,
        disk: 40,
        load: 0.5,
        received: 100,
        sent: 100,
        sample: toBinary(SampleSchema, sampleOf(number, now.getTime())),
      };
    };
    const insert = async (): Promise<number> => {
      const rows = Array.from({ length: kind === insertKinds[0] ? 1 : rowsAtOnce }, rowNow);
      await database.insert(telemetrySamples).values(rows).onConflictDoNothing();
      return rows.length;
    };
    const cpu = async () => [await cpuOf(process.pid), await cpuBelow(owner)] as const;
    await insert();
    const [before, begun] = [await cpu(), performance.now()];
    let stored = 0;
    const work = async () => {
      while (performance.now() - begun < ms) stored += await insert();
    };
    await Promise.all(Array.from({ length: connections }, work));
    const [ended, after] = [performance.now(), await cpu()];
    const each = (index: 0 | 1) => ((after[index] - before[index]) * 1000) / stored;
    return {
      kind,
      perSecond: (stored * 1000) / (ended - begun),
      cpu: { server: each(0), postgres: each(1) },
    };
  } finally {
    await pool.query('drop schema if exists bench cascade').catch(() => {});
    await pool.end();
  }
}
