import { auditEntryColumns, type StoredAuditRow } from './audit.ts';
import { int8Column } from './columns.ts';
import { type Database, lookup, statement } from './database.ts';

/**
 * The chain over the entries of the audit log. Digests of entries are made in the database, where the entries are:
 * reading each one to make its digest elsewhere would cost more than all else that is done for it. `entryDigest`
 * of audit/chain.ts makes the same ones.
 */

/** First and last sequence number. */
export type SeqRange = [number, number];

export interface AuditBlockRow {
  number: number;
  previous: Uint8Array;
  /** JSON of SeqRange[]. */
  ranges: string;
  highest: number;
  settled: number;
  sealedAt: Date;
  digests: Uint8Array;
  hash: Uint8Array;
  keyId: string;
  signature: Uint8Array;
}

export interface AuditCheckpointRow
  extends Pick<AuditBlockRow, 'number' | 'hash' | 'highest' | 'settled' | 'keyId' | 'signature'> {
  entries: number;
  at: Date;
}

type Query = Database['query'];

/** The length of a text in front of it, and a sign for none: no two entries have the same serialisation. */
const part = (text: string) => `coalesce(octet_length(${text}) || ':' || ${text}, '-')`;
const serialised = [
  'e.seq::text',
  '(extract(epoch from e.at) * 1000)::int8::text',
  'e.actor',
  'e.role',
  'e.action',
  'e.resource_kind',
  'e.resource_id',
  'e.outcome',
  'e.code',
  'e.count::text',
  'e.address',
  'e.user_agent',
  'e.request_id',
  'e.correlation_id',
  'e.details',
];
const digest = `sha256(convert_to('viworks.audit.entry.v1' || ${serialised.map(part).join(' || ')}, 'UTF8'))`;

/** The limit within is what keeps the join in this order: for the other one, PostgreSQL reads the whole log. */
const inRanges = `unnest($1::int8[], $2::int8[]) as r(a, b) cross join lateral (
  select * from audit_entries where seq between r.a and r.b order by seq limit $3) e`;

const unsealed = lookup(
  'audit_unsealed',
  `with e as (
     select e.seq, e.at, ${digest} as digest from ${inRanges} order by e.seq limit $3
   ), i as (
     select min(seq)::float8 as first, max(seq)::float8 as last, min(at) as oldest,
       string_agg(digest, ''::bytea order by seq) as digests
     from (select *, seq - row_number() over (order by seq) as island from e) x group by island
   )
   select pg_snapshot_xmin(pg_current_snapshot())::text::float8 as xmin,
     pg_snapshot_xmax(pg_current_snapshot())::text::float8 as xmax, i.*
   from (select) s left join i on true order by i.first`,
);

export interface Unsealed {
  /** In order; none next to another. */
  islands: { first: number; last: number; digests: Uint8Array; oldest: Date }[];
  /** The oldest transaction that was under way, and the first that had not begun. */
  xmin: number;
  xmax: number;
}

/** Entries in ranges with their digests, from the lowest on. */
export async function digestEntries(
  query: Query,
  ranges: readonly SeqRange[],
  limit: number,
): Promise<Unsealed> {
  const rows = await query<{
    xmin: number;
    xmax: number;
    first: number | null;
    last: number;
    digests: Uint8Array;
    oldest: Date;
  }>(unsealed, [...rangeColumns(ranges), limit]);
  const [{ xmin, xmax } = { xmin: 0, xmax: 0 }] = rows;
  return {
    xmin,
    xmax,
    islands: rows.flatMap(({ first, last, digests, oldest }) =>
      first === null ? [] : [{ first, last, digests, oldest }],
    ),
  };
}

const rangeColumns = (ranges: readonly SeqRange[]) => [
  int8Column(ranges, ([first]) => first),
  int8Column(ranges, ([, last]) => last),
];

const blockColumns = `b.number::float8 as number, b.previous, b.ranges, b.highest::float8 as highest,
  b.settled::float8 as settled, b.sealed_at as "sealedAt", b.digests, b.hash, b.key_id as "keyId", b.signature`;

const insertBlock = statement(
  'audit_block_insert',
  `insert into audit_blocks (number, previous, ranges, highest, settled, sealed_at, digests, hash, key_id, signature)
   select $1::int8, $2::bytea, $3::text, $4::int8, $5::int8, $6::timestamptz, $7::bytea, $8::bytea, $9::text, $10::bytea
   where exists (select 1 from audit_blocks where number = $1::int8 - 1 and hash = $2::bytea)
     or exists (select 1 from audit_checkpoints where number = $1::int8 - 1 and hash = $2::bytea)
     or ($1::int8 = 1 and not exists (select 1 from audit_checkpoints))
   on conflict (number) do nothing returning number`,
);

/** False if the block before is not there, or another instance was first. */
export async function insertAuditBlock(query: Query, block: AuditBlockRow): Promise<boolean> {
  const rows = await query(insertBlock, [
    block.number,
    Buffer.from(block.previous),
    block.ranges,
    block.highest,
    block.settled,
    block.sealedAt,
    Buffer.from(block.digests),
    Buffer.from(block.hash),
    block.keyId,
    Buffer.from(block.signature),
  ]);
  return rows.length > 0;
}

const lastBlock = statement(
  'audit_block_last',
  `select ${blockColumns} from audit_blocks b order by b.number desc limit 1`,
);

export async function lastAuditBlock(query: Query): Promise<AuditBlockRow | undefined> {
  const [row] = await query<AuditBlockRow>(lastBlock, []);
  return row;
}

const hasBlock = statement(
  'audit_block_has',
  `select from audit_blocks where number = $1 and hash = $2
   union all select from audit_checkpoints where number = $1 and hash = $2`,
);

/** Whether the block is there, or the last one that was deleted. */
export const hasAuditBlock = async (query: Query, number: number, hash: Uint8Array): Promise<boolean> =>
  (await query(hasBlock, [number, Buffer.from(hash)])).length > 0;

const blocksAfter = statement(
  'audit_blocks_after',
  `select ${blockColumns} from audit_blocks b where b.number > $1 order by b.number limit $2`,
);

/** In order. */
export const auditBlocksAfter = (query: Query, number: number, limit: number) =>
  query<AuditBlockRow>(blocksAfter, [number, limit]);

const rangesAbove = statement(
  'audit_ranges_above',
  `select ranges from audit_blocks where highest > $1 order by number desc limit 5000`,
);

/** The ranges of the newest blocks, as far back as one may have entries above a sequence number. */
export const auditRangesAbove = async (query: Query, seq: number): Promise<SeqRange[]> =>
  (await query<{ ranges: string }>(rangesAbove, [seq])).flatMap(({ ranges }) => JSON.parse(ranges));

const coveredLater = statement(
  'audit_covered_later',
  `select ranges from audit_blocks where number > $1
     and number <= coalesce((select min(number) from audit_blocks where settled >= $2), 9223372036854775807)
   order by number limit 5000`,
);

/** The ranges of blocks after one, as far as they may have an entry up to a sequence number. */
export const auditRangesAfter = async (query: Query, number: number, seq: number): Promise<SeqRange[]> =>
  (await query<{ ranges: string }>(coveredLater, [number, seq])).flatMap(({ ranges }) => JSON.parse(ranges));

const entriesOf = lookup(
  'audit_entries_in',
  `select ${auditEntryColumns} from ${inRanges} order by e.seq limit $3`,
);

/** The entries in ranges, in order. */
export const auditEntriesIn = (query: Query, ranges: readonly SeqRange[], limit: number) =>
  query<StoredAuditRow>(entriesOf, [...rangeColumns(ranges), limit]);

const outside = lookup(
  'audit_entries_outside',
  `select e.seq::float8 as seq from audit_entries e
   where e.seq > $3::int8 and e.seq <= $4::int8 and not exists (
     select 1 from unnest($1::int8[], $2::int8[]) as r(a, b) where e.seq between r.a and r.b)
   order by e.seq limit 100`,
);

/** Entries after one sequence number and up to another that are in none of the ranges. */
export const auditEntriesOutside = async (
  query: Query,
  ranges: readonly SeqRange[],
  after: number,
  upTo: number,
): Promise<number[]> =>
  (await query<{ seq: number }>(outside, [...rangeColumns(ranges), after, upTo])).map(({ seq }) => seq);

const checkpoint = statement(
  'audit_checkpoint',
  `select number::float8 as number, hash, highest::float8 as highest, settled::float8 as settled,
     entries::float8 as entries, at, key_id as "keyId", signature
   from audit_checkpoints order by number desc limit 1`,
);

export async function findAuditCheckpoint(query: Query): Promise<AuditCheckpointRow | undefined> {
  const [row] = await query<AuditCheckpointRow>(checkpoint, []);
  return row;
}

const oldBlocks = statement(
  'audit_blocks_old',
  `select ${blockColumns} from audit_blocks b
   where b.sealed_at < $1 and b.number < (select max(number) from audit_blocks)
   order by b.number limit $2`,
);

/** Blocks that were sealed before a time, in order; never the last one. */
export const oldAuditBlocks = (query: Query, before: Date, limit: number) =>
  query<AuditBlockRow>(oldBlocks, [before, limit]);

const dropEntries = statement(
  'audit_entries_drop',
  `delete from audit_entries e using unnest($1::int8[], $2::int8[]) as r(a, b) where e.seq between r.a and r.b`,
);
const dropBlocks = statement('audit_blocks_drop', 'delete from audit_blocks where number <= $1');
const moveCheckpoint = statement(
  'audit_checkpoint_move',
  `with old as (delete from audit_checkpoints where number < $1)
   insert into audit_checkpoints (number, hash, highest, settled, entries, at, key_id, signature)
   values ($1, $2, $3, $4, $5, $6, $7, $8)`,
);
const byIndex = statement('audit_by_index', `select set_config('enable_seqscan', 'off', true)`);

/** Deletes the blocks up to the checkpoint, which are all there are before it, with their entries. In a transaction. */
export async function dropAuditBlocks(
  query: Query,
  ranges: readonly SeqRange[],
  to: AuditCheckpointRow,
): Promise<void> {
  await query(byIndex, []);
  await query(dropEntries, rangeColumns(ranges));
  await query(dropBlocks, [to.number]);
  await query(moveCheckpoint, [
    to.number,
    Buffer.from(to.hash),
    to.highest,
    to.settled,
    to.entries,
    to.at,
    to.keyId,
    Buffer.from(to.signature),
  ]);
}
