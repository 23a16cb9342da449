import { type Database, statement } from './database.ts';

export interface LatestSampleRow {
  agentId: string;
  bootId: Uint8Array;
  number: number;
  takenAt: Date;
  receivedAt: Date;
  /** JSON. */
  sample: string;
}

const upsert = statement(
  'telemetry_latest_upsert',
  `insert into telemetry_latest as t (agent_id, boot_id, number, taken_at, received_at, sample)
   select agent_id, boot_id, number, taken_at, received_at, sample::jsonb
   from unnest($1::text[], $2::bytea[], $3::int8[], $4::timestamptz[], $5::timestamptz[], $6::text[])
   as x(agent_id, boot_id, number, taken_at, received_at, sample)
   on conflict (agent_id) do update set boot_id = excluded.boot_id, number = excluded.number,
     taken_at = excluded.taken_at, received_at = excluded.received_at, sample = excluded.sample
   where t.boot_id <> excluded.boot_id or t.number < excluded.number`,
);

/** Keeps the newest sample of each agent. There must be at most one row for each agent. */
export async function storeLatestSamples(
  query: Database['query'],
  rows: readonly LatestSampleRow[],
): Promise<void> {
  await query(upsert, [
    rows.map((row) => row.agentId),
    rows.map((row) => `\\x${Buffer.from(row.bootId).toString('hex')}`),
    rows.map((row) => row.number),
    rows.map((row) => row.takenAt),
    rows.map((row) => row.receivedAt),
    rows.map((row) => row.sample),
  ]);
}

const latest = statement('telemetry_latest_find', 'select sample from telemetry_latest where agent_id = $1');

export async function findLatestSample(
  query: Database['query'],
  agentId: string,
): Promise<Record<string, unknown> | undefined> {
  const [row] = await query<{ sample: Record<string, unknown> }>(latest, [agentId]);
  return row?.sample;
}
