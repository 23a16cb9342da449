import { ViworksError } from '../errors.ts';
import { type BinaryWriter, createBinaryWriter } from './binary-writer.ts';
import { boolColumn, bytesColumn, float8Column, int8Column, textColumn, timeColumn } from './columns.ts';
import { type Copy, type Database, isDuplicateKey, statement } from './database.ts';
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
  /** Samples that its boot had lost by then, as the agent says. */
  dropped: number;
}

/** What a statement selects of a sample that is stored. @param of before each column */
export const sampleColumns = (of = ''): string =>
  [
    `${of}agent_id as "agentId"`,
    `${of}at`,
    `${of}boot_id as "bootId"`,
    `${of}number::float8 as number`,
    `${of}received_at as "receivedAt"`,
    ...['late', 'skewed', 'sample', ...telemetryMetrics].map((name) => `${of}${name}`),
  ].join(', ');

/** What names a sample, for maps. */
export const sampleKey = (row: Pick<StoredSample, 'agentId' | 'bootId' | 'number'>): string =>
  `${Buffer.from(row.bootId).toString('latin1')} ${row.number} ${row.agentId}`;

/** Seconds of the finest roll-up. */
const finest = 60;

const metricTypes = telemetryMetrics.map((_, at) => `$${at + 9}::float8[]`).join(', ');
const columnNames = [
  'agent_id',
  'at',
  'boot_id',
  'number',
  'received_at',
  'late',
  'skewed',
  'sample',
  ...telemetryMetrics,
];
const columns = columnNames.join(', ');

const insert = statement(
  'telemetry_samples_insert',
  `with x as (
     select * from unnest($1::text[], $2::timestamptz[], $3::bytea[], $4::int8[], $5::timestamptz[], $6::bool[],
       $7::bool[], $8::bytea[], ${metricTypes}) as x(${columns})
   )
   insert into telemetry_samples (${columns})
   select ${columns} from x
   where skewed or not exists (select from telemetry_skewed k
     where k.agent_id = x.agent_id and k.boot_id = x.boot_id and k.number = x.number)
   on conflict do nothing
   returning agent_id, boot_id, number`,
);

const note = statement(
  'telemetry_dirty_note',
  `insert into telemetry_dirty (resolution, ready_at, samples, agents, spans)
   values (${finest}, $1::timestamptz, $2::int8, $3::text[], $4::timestamptz[])`,
);

/** Those that have samples with the server's time. */
const doubted = statement(
  'telemetry_skewed_agents',
  `select agent_id from unnest($1::text[]) as a(agent_id)
   where exists (select from telemetry_skewed k where k.agent_id = a.agent_id)`,
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

export interface SampleStore {
  /**
   * Stores those that are not stored yet, in one commit, and answers with them.
   *
   * @param readyAt when what they changed may be rolled up
   */
  store(rows: readonly SampleRow[], readyAt: Date): Promise<readonly SampleRow[]>;
}

type Transactions = Pick<Database, 'transaction'>;
type Store = (query: Query, copy: Copy, rows: readonly SampleRow[]) => Promise<readonly SampleRow[]>;

export function createSampleStore(database: Transactions): SampleStore {
  /** Not in use. There are as many as batches were ever stored at once. */
  const writers: BinaryWriter[] = [];

  const copyRows: Store = async (_query, copy, rows) => {
    if (rows.length === 0) return rows;
    const writer = writers.pop() ?? createBinaryWriter();
    await copy('telemetry_samples', columnNames, copied(writer, rows));
    // What failed may still be read by the driver; it is not used again.
    writers.push(writer);
    return rows;
  };

  return {
    async store(rows, readyAt) {
      try {
        return await storeWith(database, rows, readyAt, copyRows);
      } catch (error) {
        // Agents repeat what was not acknowledged to them. That is seldom, and COPY knows no other way to say it.
        if (!isDuplicateKey(ViworksError.from(error))) throw error;
        return storeWith(database, rows, readyAt, insertRows);
      }
    },
  };
}

const insertRows: Store = (query, _copy, rows) => insertSamples(query, rows);

/** @param store for rows of agents of which no sample has the server's time */
const storeWith = (database: Transactions, rows: readonly SampleRow[], readyAt: Date, store: Store) =>
  database.transaction(async (query, copy) => {
    const agents = [...new Set(rows.map((row) => row.agentId))];
    const found = await query<{ agent_id: string }>(doubted, [agents]);
    const doubtful = new Set(found.map((row) => row.agent_id));
    for (const { agentId, skewed } of rows) if (skewed) doubtful.add(agentId);
    const [some, others] = partition(rows, (row) => doubtful.has(row.agentId));
    const stored = await store(query, copy, others);
    const fresh = some.length === 0 ? stored : [...(await insertDoubtful(query, some)), ...stored];
    if (fresh.length === 0) return fresh;
    const spans = spansOf(fresh);
    await query(note, [
      readyAt,
      fresh.length,
      textColumn(spans, (span) => span.agentId),
      timeColumn(spans, (span) => span.at),
    ]);
    return fresh;
  });

function partition<T>(all: readonly T[], is: (one: T) => boolean): [readonly T[], readonly T[]] {
  const some = all.filter(is);
  return some.length === 0 ? [some, all] : [some, all.filter((one) => !is(one))];
}

function copied(out: BinaryWriter, rows: readonly SampleRow[]): Buffer {
  out.beginRows();
  for (const row of rows) {
    out.row(columnNames.length);
    out.text(row.agentId);
    out.time(row.at.getTime());
    out.bytes(row.bootId);
    out.int8(row.number);
    out.time(row.receivedAt.getTime());
    out.bool(row.late);
    out.bool(row.skewed);
    out.bytes(row.sample);
    for (const metric of telemetryMetrics) {
      const value = row[metric];
      if (value === null) out.null();
      else out.float8(value);
    }
  }
  return out.endRows();
}

async function insertDoubtful(query: Query, rows: readonly SampleRow[]): Promise<SampleRow[]> {
  const first = new Map(rows.filter((row) => row.skewed).map((row) => [sampleKey(row), row]));
  const skewed = [...first.values()];
  const claimed = await query<KeyRow>(claim, [
    textColumn(skewed, (row) => row.agentId),
    bytesColumn(skewed, (row) => row.bootId),
    int8Column(skewed, (row) => row.number),
    timeColumn(skewed, (row) => row.at),
    timeColumn(skewed, (row) => row.claimedAt),
  ]);
  const mine = namedBy(claimed, first);
  // One that was stored with its own time before stays as it is.
  const plain = rows.filter((row) => !row.skewed && !first.has(sampleKey(row)));
  return insertSamples(query, [...plain, ...mine]);
}

async function insertSamples(query: Query, rows: readonly SampleRow[]): Promise<SampleRow[]> {
  if (rows.length === 0) return [];
  const stored = await query<KeyRow>(insert, [
    textColumn(rows, (row) => row.agentId),
    timeColumn(rows, (row) => row.at),
    bytesColumn(rows, (row) => row.bootId),
    int8Column(rows, (row) => row.number),
    timeColumn(rows, (row) => row.receivedAt),
    boolColumn(rows, (row) => row.late),
    boolColumn(rows, (row) => row.skewed),
    bytesColumn(rows, (row) => row.sample),
    ...telemetryMetrics.map((metric) => float8Column(rows, (row) => row[metric])),
  ]);
  return namedBy(stored, new Map(rows.map((row) => [sampleKey(row), row])));
}

const namedBy = (keys: readonly KeyRow[], rows: ReadonlyMap<string, SampleRow>): SampleRow[] =>
  keys.flatMap(
    (row) =>
      rows.get(sampleKey({ agentId: row.agent_id, bootId: row.boot_id, number: Number(row.number) })) ?? [],
  );

/** Each span of each agent once. */
function spansOf(rows: readonly SampleRow[]): { agentId: string; at: Date }[] {
  const spans = new Map<string, { agentId: string; at: Date }>();
  let [last, lastMinute] = ['', 0];
  for (const { agentId, at } of rows) {
    const minute = Math.floor(at.getTime() / (finest * 1000));
    // Samples of one agent come together.
    if (minute === lastMinute && agentId === last) continue;
    [last, lastMinute] = [agentId, minute];
    const key = `${minute} ${agentId}`;
    if (!spans.has(key)) spans.set(key, { agentId, at: new Date(minute * finest * 1000) });
  }
  return [...spans.values()];
}

const forgetSkewed = statement('telemetry_skewed_forget', 'delete from telemetry_skewed where at < $1');

/** Forgets samples whose partition is gone. */
export async function forgetSkewedSamples(query: Query, before: Date): Promise<void> {
  await query(forgetSkewed, [before]);
}
