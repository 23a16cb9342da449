import { ViworksError } from '../errors.ts';
import { type BinaryWriter, createBinaryWriter } from './binary-writer.ts';
import { boolColumn, bytesColumn, float8Column, int8Column, textColumn, timeColumn } from './columns.ts';
import { type Copy, type Database, isDuplicateKey, statement } from './database.ts';
import { countMarks, eachTime, frameColumns, marks, type SampleFrame, writeFrame } from './sample-frames.ts';
import { rowsOf, type SampleRow, sampleKey } from './sample-rows.ts';
import { telemetryMetrics } from './telemetry-metrics.ts';

/** Samples come in batches, each is stored once, and what they change is noted for the roll-ups in the same commit. */

type Query = Database['query'];

/** Seconds of the finest roll-up. */
const finest = 60;

const metricTypes = telemetryMetrics.map((_, at) => `$${at + 9}::float8[]`).join(', ');
const columns = frameColumns.join(', ');

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
  store(frames: readonly SampleFrame[], readyAt: Date): Promise<StoredSamples>;
}

/** What is new: frames as a whole, and rows of other ones. */
export interface StoredSamples {
  frames: readonly SampleFrame[];
  rows: readonly SampleRow[];
}

type Transactions = Pick<Database, 'transaction'>;
type Store = (query: Query, copy: Copy, frames: readonly SampleFrame[]) => Promise<StoredSamples>;

const nothing: StoredSamples = { frames: [], rows: [] };

export function createSampleStore(database: Transactions): SampleStore {
  /** Not in use. There are as many as batches were ever stored at once. */
  const writers: BinaryWriter[] = [];

  const copyFrames: Store = async (_query, copy, frames) => {
    if (frames.length === 0) return nothing;
    const writer = writers.pop() ?? createBinaryWriter();
    writer.beginRows();
    for (const frame of frames) writeFrame(writer, frame);
    await copy('telemetry_samples', frameColumns, writer.endRows());
    // What failed may still be read by the driver; it is not used again.
    writers.push(writer);
    return { frames, rows: [] };
  };

  return {
    async store(frames, readyAt) {
      try {
        return await storeWith(database, frames, readyAt, copyFrames);
      } catch (error) {
        // Agents repeat what was not acknowledged to them. That is seldom, and COPY knows no other way to say it.
        if (!isDuplicateKey(ViworksError.from(error))) throw error;
        return storeWith(database, frames, readyAt, insertFrames);
      }
    },
  };
}

const insertFrames: Store = async (query, _copy, frames) => ({
  frames: [],
  rows: await insertSamples(query, frames.flatMap(rowsOf)),
});

/** @param store for those of agents of which no sample has the server's time */
const storeWith = (
  database: Transactions,
  frames: readonly SampleFrame[],
  readyAt: Date,
  store: Store,
): Promise<StoredSamples> =>
  database.transaction(async (query, copy) => {
    const agents = [...new Set(frames.map((frame) => frame.agentId))];
    const found = await query<{ agent_id: string }>(doubted, [agents]);
    const doubtful = new Set(found.map((row) => row.agent_id));
    for (const frame of frames) if (countMarks([frame], marks.skewed) > 0) doubtful.add(frame.agentId);
    const [some, others] = partition(frames, (frame) => doubtful.has(frame.agentId));
    const stored = await store(query, copy, others);
    const rows =
      some.length === 0
        ? stored.rows
        : [...(await insertDoubtful(query, some.flatMap(rowsOf))), ...stored.rows];
    const fresh = { frames: stored.frames, rows };
    const { spans, samples } = spansOf(fresh);
    if (samples === 0) return nothing;
    await query(note, [
      readyAt,
      samples,
      textColumn(spans, (span) => span.agentId),
      timeColumn(spans, (span) => span.at),
    ]);
    return fresh;
  });

function partition<T>(all: readonly T[], is: (one: T) => boolean): [readonly T[], readonly T[]] {
  const some = all.filter(is);
  return some.length === 0 ? [some, all] : [some, all.filter((one) => !is(one))];
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

interface Changed {
  /** Each span of each agent once. */
  spans: { agentId: string; at: Date }[];
  samples: number;
}

function spansOf({ frames, rows }: StoredSamples): Changed {
  const spans = new Map<string, { agentId: string; at: Date }>();
  let [last, lastMinute, samples] = ['', 0, 0];
  const add = (agentId: string, at: number) => {
    samples += 1;
    const minute = Math.floor(at / (finest * 1000));
    // Samples of one agent come together.
    if (minute === lastMinute && agentId === last) return;
    [last, lastMinute] = [agentId, minute];
    const key = `${minute} ${agentId}`;
    if (!spans.has(key)) spans.set(key, { agentId, at: new Date(minute * finest * 1000) });
  };
  for (const frame of frames) eachTime(frame, (at) => add(frame.agentId, at));
  for (const { agentId, at } of rows) add(agentId, at.getTime());
  return { spans: [...spans.values()], samples };
}

const forgetSkewed = statement('telemetry_skewed_forget', 'delete from telemetry_skewed where at < $1');

/** Forgets samples whose partition is gone. */
export async function forgetSkewedSamples(query: Query, before: Date): Promise<void> {
  await query(forgetSkewed, [before]);
}
