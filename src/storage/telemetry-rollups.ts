import { type Database, definition, statement } from './database.ts';
import { rollupLock } from './locks.ts';
import { telemetryMetrics } from './telemetry-metrics.ts';
import { hoursTable, minutesTable, quartersTable } from './telemetry-partitions.ts';

/**
 * Roll-ups are made from samples alone, of all samples of a span at once: made again they are the same, and a late
 * sample changes them as if it had been there from the beginning.
 */

export interface RollupLevel {
  /** Of a span. */
  seconds: number;
  table: string;
}

/** From the finest to the coarsest; each says which spans of the next are to be made anew. */
export const rollupLevels: readonly RollupLevel[] = [
  { seconds: 60, table: minutesTable.name },
  { seconds: 900, table: quartersTable.name },
  { seconds: 3600, table: hoursTable.name },
];

const lock = statement('telemetry_rollup_lock', 'select pg_try_advisory_xact_lock($1) as held');

const perMetric = (write: (name: string) => string): string => telemetryMetrics.map(write).join(', ');
const targets = perMetric((name) => `${name}_count, ${name}_sum, ${name}_min, ${name}_max, ${name}_p95`);
const values = perMetric(
  (name) =>
    `nullif(count(${name}), 0), sum(${name}), min(${name}), max(${name}), ` +
    `percentile_disc(0.95) within group (order by ${name})`,
);
const overwritten = perMetric((name) =>
  ['count', 'sum', 'min', 'max', 'p95']
    .map((part) => `${name}_${part} = excluded.${name}_${part}`)
    .join(', '),
);

/** Where spans are counted from. */
export const spanOrigin = "timestamptz '2000-01-01 00:00:00+00'";

/** @param next into which level what was changed here goes on */
const refresh = ({ seconds, table }: RollupLevel, next: RollupLevel | undefined) =>
  statement(
    `${table}_refresh`,
    `with due as (
       select id from telemetry_dirty where resolution = ${seconds} and ready_at <= $1::timestamptz
       order by id limit $2 for update skip locked
     ), taken as (
       delete from telemetry_dirty d using due where d.id = due.id returning d.agents, d.spans
     ), spans as (
       select distinct s.agent_id, s.at from taken, unnest(taken.agents, taken.spans) as s(agent_id, at)
     ), made as (
       insert into ${table} (agent_id, at, samples, ${targets})
       select spans.agent_id, spans.at, of.* from spans cross join lateral (
         select count(*)::int, ${values} from telemetry_samples t
         where t.agent_id = spans.agent_id and t.at >= spans.at and t.at < spans.at + interval '${seconds} seconds'
         having count(*) > 0) as of
       on conflict (agent_id, at) do update set samples = excluded.samples, ${overwritten}
       returning agent_id, at
     )${
       next === undefined
         ? ''
         : `, coarser as (
       select distinct agent_id, date_bin('${next.seconds} seconds', at, ${spanOrigin}) as at from made
     ), passed as (
       insert into telemetry_dirty (resolution, ready_at, agents, spans)
       select ${next.seconds}, greatest(at + interval '${next.seconds} seconds', $1::timestamptz) + interval '30 seconds',
         array_agg(agent_id), array_agg(at) from coarser group by at
     )`
     }
     select (select count(*)::int from taken) as taken, (select count(*)::int from made) as made`,
  );

const refreshes = rollupLevels.map((level, at) => refresh(level, rollupLevels[at + 1]));
const patience = definition("set local lock_timeout = '5s'");

/** Lists of spans that one transaction takes, for each level. */
const listsAtOnce = 100;

/**
 * Makes the roll-ups anew that are due; undefined where another instance is at it.
 *
 * @returns how many were made, and whether there may be more
 */
export function refreshRollups(
  database: Pick<Database, 'transaction'>,
  now: Date,
): Promise<{ made: number; more: boolean } | undefined> {
  return database.transaction(async (query) => {
    await query(patience, []);
    const [owner] = await query<{ held: boolean }>(lock, [rollupLock]);
    // An older view of the samples must not overwrite what a newer one made: one at a time.
    if (!owner?.held) return undefined;
    let [made, more] = [0, false];
    for (const one of refreshes) {
      const [row] = await query<{ taken: number; made: number }>(one, [now, listsAtOnce]);
      made += row?.made ?? 0;
      more ||= row?.taken === listsAtOnce;
    }
    return { made, more };
  });
}

const waiting = statement(
  'telemetry_dirty_waiting',
  `select extract(epoch from $1::timestamptz - min(ready_at))::float8 as late from telemetry_dirty`,
);

/** Seconds for which the oldest roll-up that is due has waited; 0 where none is. */
export async function rollupLag(query: Database['query'], now: Date): Promise<number> {
  const [row] = await query<{ late: number | null }>(waiting, [now]);
  return Math.max(0, row?.late ?? 0);
}
