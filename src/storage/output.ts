import { type Database, statement } from './database.ts';

/** A piece of what a process wrote. */
export interface OutputRow {
  executionId: string;
  commandId: string;
  attempt: number;
  /** 1 stdout, 2 stderr. */
  stream: number;
  /** Position of its first byte in the whole stream. */
  position: number;
  data: Uint8Array;
}

const insert = statement(
  'output_insert',
  `insert into execution_output (execution_id, command_id, attempt, stream, position, data)
   select * from unnest($1::uuid[], $2::uuid[], $3::int[], $4::int2[], $5::int8[], $6::bytea[])
   on conflict do nothing`,
);

/** Stores pieces in one commit; one that begins where another does is that one again. */
export async function insertOutput(query: Database['query'], rows: readonly OutputRow[]): Promise<void> {
  await query(insert, [
    rows.map((row) => row.executionId),
    rows.map((row) => row.commandId),
    rows.map((row) => row.attempt),
    rows.map((row) => row.stream),
    rows.map((row) => row.position),
    rows.map((row) => `\\x${Buffer.from(row.data).toString('hex')}`),
  ]);
}

const columns = `execution_id as "executionId", command_id as "commandId", attempt, stream,
  position::float8 as position, data`;

const ofExecutions = statement(
  'output_of_executions',
  `select ${columns} from execution_output where execution_id = any($1::uuid[])
   order by execution_id, attempt, stream, position`,
);

/** All that was streamed of these executions, each stream in order. */
export const outputOf = (query: Database['query'], executionIds: readonly string[]) =>
  query<OutputRow>(ofExecutions, [executionIds]);

const fromPosition = statement(
  'output_from_position',
  `select ${columns} from execution_output
   where execution_id = $1 and attempt = $2 and stream = $3
     and position + octet_length(data) > $4
   order by position limit $5`,
);

/** The pieces of one stream that hold a position or lie behind it. */
export const outputFrom = (
  query: Database['query'],
  executionId: string,
  attempt: number,
  stream: number,
  position: number,
  limit: number,
) => query<OutputRow>(fromPosition, [executionId, attempt, stream, position, limit]);

const changedSince = statement(
  'output_changed_since',
  `select o.*, e.agent_id as "agentId"
   from (
     select ${columns} from execution_output
     where command_id = $1 and changed >= $2::text::xid8
       and (execution_id, attempt, stream, position) > ($3::uuid, $4::int, $5::int2, $6::int8)
     order by execution_id, attempt, stream, position limit $7
   ) o join executions e on e.execution_id = o."executionId"
   order by o."executionId", o.attempt, o.stream, o.position`,
);

/** Where a page of pieces ends, and the next begins. */
export type OutputPlace = Pick<OutputRow, 'executionId' | 'attempt' | 'stream' | 'position'>;

export const beforeAllOutput: OutputPlace = {
  executionId: '00000000-0000-0000-0000-000000000000',
  attempt: 0,
  stream: 0,
  position: -1,
};

/** Pieces of a command that were written in or after a transaction, from a place on. */
export const outputChangedSince = (
  query: Database['query'],
  commandId: string,
  since: string,
  after: OutputPlace,
  limit: number,
) =>
  query<OutputRow & { agentId: string }>(changedSince, [
    commandId,
    since,
    after.executionId,
    after.attempt,
    after.stream,
    after.position,
    limit,
  ]);
