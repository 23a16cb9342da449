import { type Database, statement } from './database.ts';
import { type StoredSample, sampleColumns } from './sample-rows.ts';

/** Samples of one agent, read again. */

type Query = Database['query'];

export interface TimeRange {
  from: Date;
  /** Not included. */
  to: Date;
}

/** Names a sample in the order of history. */
export interface SampleCursor {
  at: Date;
  bootId: Uint8Array;
  number: number;
}

const samplesOf = statement(
  'telemetry_samples_range',
  `select ${sampleColumns()}, found from (
     select page.*, count(*) over ()::int as found,
       sum(octet_length(sample)) over (order by at, boot_id, number) - octet_length(sample) as before
     from (
       select * from telemetry_samples
       where agent_id = $1 and at >= $2 and at < $3
         and ($4::timestamptz is null or (at, boot_id, number) > ($4, $5::bytea, $6::int8))
       order by at, boot_id, number limit $7
     ) page
   ) measured where before < $8 order by at, boot_id, number`,
);

/** Bytes of samples after which a page ends, however many it may have. */
const pageBytes = 4 * 1024 * 1024;

/**
 * Samples of an agent, oldest first.
 *
 * @param after the last one of the page before
 * @returns also whether there are more: large samples make a page shorter
 */
export async function readSamples(
  query: Query,
  agentId: string,
  { from, to }: TimeRange,
  after: SampleCursor | undefined,
  size: number,
): Promise<{ samples: StoredSample[]; more: boolean }> {
  const rows = await query<StoredSample & { found: number }>(samplesOf, [
    agentId,
    // The partitions before that need not be looked at.
    after === undefined ? from : new Date(Math.max(from.getTime(), after.at.getTime())),
    to,
    after?.at,
    after && Buffer.from(after.bootId),
    after?.number,
    size + 1,
    pageBytes,
  ]);
  const samples = rows.slice(0, size).map(({ found: _, ...sample }) => sample);
  return { samples, more: (rows[0]?.found ?? 0) > samples.length };
}
