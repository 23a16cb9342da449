import { type Database, definition, statement } from './database.ts';
import { partitionLock } from './locks.ts';
import { telemetryMetrics } from './telemetry-metrics.ts';

/**
 * Tables that are partitioned by time. Each partition has some whole days (UTC), is made before it is needed, and goes
 * as a whole when all of it is old: nothing is deleted row by row, and nothing has to be vacuumed.
 */

export interface PartitionedTable {
  name: string;
  /** Of one partition. */
  days: number;
  /** Settings of each partition. */
  settings?: string;
  /** Columns that no statement chooses by: to know how their values are spread is for nobody, and takes time. */
  unasked?: readonly string[];
}

export const samplesTable: PartitionedTable = {
  name: 'telemetry_samples',
  days: 1,
  // Rows are not changed, and a vacuum of what was added would read all of it again for nothing; it grows all day.
  settings: 'autovacuum_vacuum_insert_threshold = -1, autovacuum_analyze_scale_factor = 0.5',
  unasked: ['sample', 'boot_id', 'number', 'received_at', 'late', 'skewed', ...telemetryMetrics],
};
export const minutesTable: PartitionedTable = { name: 'telemetry_minutes', days: 1 };
export const quartersTable: PartitionedTable = { name: 'telemetry_quarters', days: 7 };
export const hoursTable: PartitionedTable = { name: 'telemetry_hours', days: 7 };
export const rollupTables = [minutesTable, quartersTable, hoursTable];
const partitionedTables = [samplesTable, ...rollupTables];

const dayMs = 86_400_000;
/** Milliseconds that others may have to wait behind a change of partitions. */
const patienceMs = 2000;

/** Where the partition begins that a time belongs to, in milliseconds since 1970. */
export function partitionStart({ days }: PartitionedTable, at: number): number {
  const length = days * dayMs;
  return Math.floor(at / length) * length;
}

export const partitionEnd = (table: PartitionedTable, start: number): number => start + table.days * dayMs;

export const partitionName = ({ name }: PartitionedTable, start: number): string =>
  `${name}_${new Date(start).toISOString().slice(0, 10).replaceAll('-', '')}`;

/** Its bounds, as statements say them. */
export function rangeOf(table: PartitionedTable, start: number): { from: string; to: string } {
  const [from, to] = [start, partitionEnd(table, start)].map((at) => `'${new Date(at).toISOString()}'`);
  return { from: from ?? '', to: to ?? '' };
}

const kind = statement(
  'table_kind',
  'select relkind::text as kind from pg_class where oid = to_regclass($1::text)',
);
const indexes = statement(
  'table_indexes',
  `select pg_get_indexdef(i.indexrelid) as definition, c.conname as constraint, pg_get_constraintdef(c.oid) as clause
   from pg_index i left join pg_constraint c on c.conindid = i.indexrelid
   where i.indrelid = to_regclass($1::text)`,
);

/** Makes partitioned tables of those that a migration has just made as plain ones. Whoever calls it migrates alone. */
export async function partitionTables(database: Pick<Database, 'transaction'>): Promise<void> {
  for (const { name } of partitionedTables) {
    await database.transaction(async (query) => {
      const [table] = await query<{ kind: string }>(kind, [name]);
      if (table?.kind !== 'r') return;
      const kept = await query<{ definition: string; constraint: string | null; clause: string }>(indexes, [
        name,
      ]);
      const plain = `${name}_plain`;
      const like = `like ${plain} including defaults including constraints including storage`;
      await query(definition(`alter table ${name} rename to ${plain}`), []);
      await query(definition(`create table ${name} (${like}) partition by range (at)`), []);
      await query(definition(`drop table ${plain}`), []);
      // Under their names, so that later migrations find them.
      for (const { definition: text, constraint, clause } of kept) {
        const again =
          constraint === null ? text : `alter table ${name} add constraint "${constraint}" ${clause}`;
        await query(definition(again), []);
      }
    });
  }
}

const list = statement(
  'partitions_list',
  `select c.relname as name from pg_inherits i join pg_class c on c.oid = i.inhrelid
   where i.inhparent = to_regclass($1::text)`,
);

/** Where the partitions begin that there are, in milliseconds since 1970. */
export async function listPartitions(query: Database['query'], table: PartitionedTable): Promise<number[]> {
  const rows = await query<{ name: string }>(list, [table.name]);
  return rows
    .map(({ name }) => Date.parse(name.replace(/^.*_(\d{4})(\d\d)(\d\d)$/, '$1-$2-$3')))
    .sort((a, b) => a - b);
}

const lock = statement('partitions_lock', 'select pg_advisory_xact_lock($1)');
const patience = definition(`set local lock_timeout = ${patienceMs}`);

/** Until the end of its transaction nobody else changes partitions; it waits for no lock for long. */
export async function holdPartitions(query: Database['query']): Promise<void> {
  await query(patience, []);
  await query(lock, [partitionLock]);
}

/** Makes those partitions that are not there. */
export async function createPartitions(
  database: Pick<Database, 'transaction'>,
  wanted: readonly { table: PartitionedTable; start: number }[],
): Promise<void> {
  if (wanted.length === 0) return;
  await database.transaction(async (query) => {
    await holdPartitions(query);
    for (const { table, start } of wanted) await createPartition(query, table, start);
  });
}

async function createPartition(
  query: Database['query'],
  table: PartitionedTable,
  start: number,
): Promise<void> {
  if ((await listPartitions(query, table)).includes(start)) return;
  const name = partitionName(table, start);
  const { from, to } = rangeOf(table, start);
  // Made apart and attached: that waits for nobody who writes, and nobody waits for it.
  const settings = table.settings === undefined ? '' : ` with (${table.settings})`;
  const made = `create table ${name} (like ${table.name} including defaults including constraints)${settings}`;
  await query(definition(made), []);
  const unasked = table.unasked?.map((column) => `alter column ${column} set statistics 0`);
  if (unasked !== undefined) await query(definition(`alter table ${name} ${unasked.join(', ')}`), []);
  const attach = `alter table ${table.name} attach partition ${name} for values from (${from}) to (${to})`;
  await query(definition(attach), []);
}

/** Drops the partition that begins then, with all in it. */
export async function dropPartition(
  database: Pick<Database, 'transaction'>,
  table: PartitionedTable,
  start: number,
): Promise<void> {
  await database.transaction(async (query) => {
    await holdPartitions(query);
    await query(definition(`drop table if exists ${partitionName(table, start)}`), []);
  });
}
