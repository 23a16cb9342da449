import { boolColumn, bytesColumn, float8Column, int8Column, textColumn, timeColumn } from './columns.ts';
import { type Database, statement } from './database.ts';
import { type MetricValues, telemetryMetrics } from './telemetry-metrics.ts';

/** Samples come in batches, each is stored once, and what they change is noted for the roll-ups in the same commit. */

type Query = Database['query'];

export interface StoredSample extends MetricValues {
  agentId: string;
  at: Date;
  bootId: Uint8Array;
  number: number;
  receivedAt: Date;
  late: boolean;
  skewed: boolean;
  /** The agent kept it for a while, as it says; not known of those that come from the database. */
  waited?: boolean;
  /** A serialised Sample. */
  sample: Uint8Array;
}

export interface SampleRow extends StoredSample {
  /** The time that the agent said, of a skewed one, where it is one at all. */
  claimedAt: Date | null;
}

/** What names a sample, for maps. */
export const sampleKey = (row: Pick<StoredSample, 'agentId' | 'bootId' | 'number'>): string =>
  `${Buffer.from(row.bootId).toString('latin1')} ${row.number} ${row.agentId}`;

/** Seconds of the finest roll-up. */
const finest = 60;

const metricTypes = telemetryMetrics.map((_, at) => `$${at + 9}::float8[]`).join(', ');
const columns = `agent_id, at, boot_id, number, received_at, late, skewed, sample, ${telemetryMetrics.join(', ')}`;

const insert = statement(
  'telemetry_samples_insert',
  `with x as (
     select * from unnest($1::text[], $2::timestamptz[], $3::bytea[], $4::int8[], $5::timestamptz[], $6::bool[],
       $7::bool[], $8::bytea[], ${metricTypes}) as x(${columns})
   ), stored as (
     insert into telemetry_samples (${columns})
     select ${columns} from x
     where skewed or not exists (select from telemetry_skewed k
       where k.agent_id = x.agent_id and k.boot_id = x.boot_id and k.number = x.number)
     on conflict do nothing
     returning agent_id, boot_id, number
   ), dirty as (
     insert into telemetry_dirty (resolution, ready_at, agents, spans)
     select ${finest}, $16::timestamptz, $17::text[], $18::timestamptz[] where exists (select from stored)
   )
   select (select count(*)::int from stored) as count,
     case when (select count(*) from stored) < $19::int
     then (select json_agg(json_build_array(agent_id, encode(boot_id, 'hex'), number)) from stored) end as stored`,
);

const claim = statement(
  'telemetry_skewed_claim',
  `insert into telemetry_skewed (agent_id, boot_id, number, at)
   select agent_id, boot_id, number, at
   from unnest($1::text[], $2::bytea[], $3::int8[], $4::timestamptz[], $5::timestamptz[])
     as x(agent_id, boot_id, number, at, claimed_at)
   where claimed_at is null or not exists (select from telemetry_samples s where s.agent_id = x.agent_id
     and s.at = x.claimed_at and s.boot_id = x.boot_id and s.number = x.number)
   on conflict do nothing
   returning agent_id, boot_id, number`,
);

interface KeyRow {
  agent_id: string;
  boot_id: Buffer;
  number: string;
}

/**
 * Stores those that are not stored yet, in one commit, and answers with them.
 *
 * @param readyAt when what they changed may be rolled up
 */
export async function storeSamples(
  database: Pick<Database, 'query' | 'transaction'>,
  rows: readonly SampleRow[],
  readyAt: Date,
): Promise<readonly SampleRow[]> {
  if (!rows.some((row) => row.skewed)) return insertSamples(database.query, rows, readyAt);
  return database.transaction(async (query) => {
    const first = new Map(rows.filter((row) => row.skewed).map((row) => [sampleKey(row), row]));
    const skewed = [...first.values()];
    const claimed = await query<KeyRow>(claim, [
      textColumn(skewed, (row) => row.agentId),
      bytesColumn(skewed, (row) => row.bootId),
      int8Column(skewed, (row) => row.number),
      timeColumn(skewed, (row) => row.at),
      timeColumn(skewed, (row) => row.claimedAt),
    ]);
    const mine = claimed.flatMap(
      (row) =>
        first.get(sampleKey({ agentId: row.agent_id, bootId: row.boot_id, number: Number(row.number) })) ??
        [],
    );
    // One that was stored with its own time before stays as it is.
    const plain = rows.filter((row) => !row.skewed && !first.has(sampleKey(row)));
    return insertSamples(query, [...plain, ...mine], readyAt);
  });
}

async function insertSamples(
  query: Query,
  rows: readonly SampleRow[],
  readyAt: Date,
): Promise<readonly SampleRow[]> {
  if (rows.length === 0) return [];
  const spans = spansOf(rows);
  const [answer] = await query<{ count: number; stored: [string, string, number][] | null }>(insert, [
    textColumn(rows, (row) => row.agentId),
    timeColumn(rows, (row) => row.at),
    bytesColumn(rows, (row) => row.bootId),
    int8Column(rows, (row) => row.number),
    timeColumn(rows, (row) => row.receivedAt),
    boolColumn(rows, (row) => row.late),
    boolColumn(rows, (row) => row.skewed),
    bytesColumn(rows, (row) => row.sample),
    ...telemetryMetrics.map((metric) => float8Column(rows, (row) => row[metric])),
    readyAt,
    textColumn(spans, (span) => span.agentId),
    timeColumn(spans, (span) => span.at),
    rows.length,
  ]);
  if (answer?.count === rows.length) return rows;
  const byKey = new Map(rows.map((row) => [sampleKey(row), row]));
  return (answer?.stored ?? []).flatMap(
    ([agentId, boot, number]) =>
      byKey.get(sampleKey({ agentId, bootId: Buffer.from(boot, 'hex'), number })) ?? [],
  );
}

/** Each span of each agent once. */
function spansOf(rows: readonly SampleRow[]): { agentId: string; at: Date }[] {
  const spans = new Map<string, { agentId: string; at: Date }>();
  for (const { agentId, at } of rows) {
    const minute = Math.floor(at.getTime() / (finest * 1000));
    const key = `${minute} ${agentId}`;
    if (!spans.has(key)) spans.set(key, { agentId, at: new Date(minute * finest * 1000) });
  }
  return [...spans.values()];
}

const newest = statement(
  'telemetry_samples_newest',
  `select s.agent_id as "agentId", s.at, s.boot_id as "bootId", s.number::float8 as number,
     s.received_at as "receivedAt", s.late, s.skewed, s.sample, ${telemetryMetrics.map((name) => `s.${name}`).join(', ')}
   from (select agent_id from agents where $1::text is null or agent_id > $1 order by agent_id limit $2) a
   cross join lateral (
     select * from telemetry_samples t where t.agent_id = a.agent_id order by t.at desc, t.number desc limit 1) s
   order by s.agent_id`,
);

const lastAgent = statement(
  'telemetry_agents_after',
  `select max(agent_id) as last from
     (select agent_id from agents where $1::text is null or agent_id > $1 order by agent_id limit $2) a`,
);

const agentsAtOnce = 500;

/** The newest sample of each agent that has one, some agents at a time. */
export async function* newestSamples(query: Query): AsyncGenerator<StoredSample[]> {
  for (let after: string | null = null; ; ) {
    const [page]: { last: string | null }[] = await query(lastAgent, [after, agentsAtOnce]);
    if (page === undefined || page.last === null) return;
    yield await query<StoredSample>(newest, [after, agentsAtOnce]);
    after = page.last;
  }
}

const forgetSkewed = statement('telemetry_skewed_forget', 'delete from telemetry_skewed where at < $1');

/** Forgets samples whose partition is gone. */
export async function forgetSkewedSamples(query: Query, before: Date): Promise<void> {
  await query(forgetSkewed, [before]);
}

const removeOf = [
  'telemetry_samples',
  'telemetry_minutes',
  'telemetry_quarters',
  'telemetry_hours',
  'telemetry_skewed',
].map((table) => statement(`${table}_remove`, `delete from ${table} where agent_id = $1`));

/** Forgets all that an agent measured. */
export async function removeSamples(query: Query, agentId: string): Promise<void> {
  for (const remove of removeOf) await query(remove, [agentId]);
}
