import { type Database, definition, statement } from './database.ts';
import { holdPartitions, type PartitionedTable, partitionName, rangeOf } from './telemetry-partitions.ts';
import { tryHoldRollups } from './telemetry-rollups.ts';

/**
 * Roll-ups are written as they are made, and lie in the order of time. A partition that is over is written once more, in
 * the order of agents, and takes the place of the first: what one agent did on that day is then on neighbouring pages,
 * which a disk reads at once.
 */

/** What a partition is marked with. */
const mark = 'in the order of its key';
/** Larger ones stay as they are: nothing is rolled up meanwhile, and the disk has to have room for both. */
const mostBytes = 4 * 1024 ** 3;

const facts = statement(
  'partition_facts',
  `select obj_description(to_regclass($1::text), 'pg_class') as mark, pg_table_size(to_regclass($1::text))::float8 as bytes`,
);

/** Whether a partition is still to be put in order, and can be. */
export async function isOutOfOrder(
  query: Database['query'],
  table: PartitionedTable,
  start: number,
): Promise<boolean> {
  const [found] = await query<{ mark: string | null; bytes: number | null }>(facts, [
    partitionName(table, start),
  ]);
  return found !== undefined && found.bytes !== null && found.mark !== mark && found.bytes <= mostBytes;
}

/**
 * Readers go on meanwhile; whoever writes into it waits.
 *
 * @returns false where something is being rolled up: it is to be tried again
 */
export async function putInOrder(
  database: Pick<Database, 'query' | 'transaction'>,
  table: PartitionedTable,
  start: number,
): Promise<boolean> {
  const name = partitionName(table, start);
  const fresh = `${name}_ordered`;
  const { from, to } = rangeOf(table, start);
  const put = await database.transaction(async (query) => {
    const define = (text: string) => query({ ...definition(text), patient: true }, []);
    // Of those who put it in order, too, there is one at a time by this.
    if (!(await tryHoldRollups(query))) return false;
    if (!(await isOutOfOrder(query, table, start))) return true;
    await define(`set local lock_timeout = '2s'; set local work_mem = '64MB'`);
    await define(`lock table ${name} in share mode`);
    await define(`create table ${fresh} (like ${table.name} including defaults including constraints)`);
    await define(`insert into ${fresh} select * from ${name} order by agent_id, at`);
    await define(`alter table ${fresh} add constraint ${fresh}_pkey primary key (agent_id, at)`);
    // Known of all rows now, it need not be looked at while everybody waits.
    await define(`alter table ${fresh} add constraint ${fresh}_range check (at >= ${from} and at < ${to})`);
    await define(`analyze ${fresh}`);
    await define(`comment on table ${fresh} is '${mark}'`);
    await holdPartitions(query);
    await define(`alter table ${table.name} detach partition ${name}`);
    await define(`drop table ${name}`);
    await define(`alter table ${fresh} rename to ${name}`);
    await define(`alter table ${name} rename constraint ${fresh}_pkey to ${name}_pkey`);
    await define(`alter table ${table.name} attach partition ${name} for values from (${from}) to (${to})`);
    await define(`alter table ${name} drop constraint ${fresh}_range`);
    return true;
  });
  // Nobody writes there again: without it the first who reads a page would write to it, and all would be read again once.
  if (put) await database.query({ ...definition(`vacuum (freeze) ${name}`), patient: true }, []);
  return put;
}
