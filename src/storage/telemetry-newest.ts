import { type Database, lookup, statement } from './database.ts';
import { type StoredSample, sampleColumns } from './sample-rows.ts';

/** The newest samples as the database has them. */
export interface StoredNewest {
  /** Of all agents that have one, some agents at a time, by agent. */
  all(): AsyncIterable<StoredSample[]>;
  /** Those of the agents that have one, by agent. */
  of(agentIds: readonly string[]): Promise<StoredSample[]>;
  /** All agents, also those without samples, some at a time and in order. */
  agents(): AsyncIterable<string[]>;
}

const newestOf = lookup(
  'telemetry_samples_newest_of',
  `select ${sampleColumns('s.')}
   from (select distinct agent_id from unnest($1::text[]) as x(agent_id)) a
   cross join lateral (
     select * from telemetry_samples t where t.agent_id = a.agent_id order by t.at desc, t.number desc limit 1) s
   order by s.agent_id`,
);

const sampleBefore = statement(
  'telemetry_samples_before',
  `select sample from telemetry_samples
   where agent_id = $1 and boot_id = $2::bytea and at <= $3 and number < $4
   order by at desc, number desc limit 1`,
);

/** What the same boot of the agent said before this one; undefined where nothing is stored of it. */
export async function readSampleBefore(
  query: Database['query'],
  { agentId, bootId, at, number }: Pick<StoredSample, 'agentId' | 'bootId' | 'at' | 'number'>,
): Promise<Uint8Array | undefined> {
  const rows = await query<{ sample: Uint8Array }>(sampleBefore, [agentId, Buffer.from(bootId), at, number]);
  return rows[0]?.sample;
}

const agentsAfter = statement(
  'telemetry_agents_page',
  `select agent_id as "agentId" from agents where $1::text is null or agent_id > $1 order by agent_id limit $2`,
);

const agentsAtOnce = 500;

export function createStoredNewest(query: Database['query']): StoredNewest {
  const of = (agentIds: readonly string[]) => query<StoredSample>(newestOf, [agentIds]);
  async function* agents(): AsyncGenerator<string[]> {
    for (let after: string | null = null; ; ) {
      const rows: { agentId: string }[] = await query(agentsAfter, [after, agentsAtOnce]);
      const last = rows.at(-1);
      if (last === undefined) return;
      yield rows.map(({ agentId }) => agentId);
      after = last.agentId;
    }
  }
  return {
    async *all() {
      for await (const some of agents()) yield await of(some);
    },
    of,
    agents,
  };
}
