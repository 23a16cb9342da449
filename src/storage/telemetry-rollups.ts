import { type Database, definition, patient, statement } from './database.ts';
import { rollupLock } from './locks.ts';
import { telemetryMetrics } from './telemetry-metrics.ts';
import { hoursTable, minutesTable, quartersTable } from './telemetry-partitions.ts';
import { keptParts, measuredParts, spanColumns } from './telemetry-spans.ts';

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
export const rollupLevels: readonly [RollupLevel, ...RollupLevel[]] = [
  { seconds: 60, table: minutesTable.name },
  { seconds: 900, table: quartersTable.name },
  { seconds: 3600, table: hoursTable.name },
];

const lock = statement('telemetry_rollup_lock', 'select pg_try_advisory_xact_lock($1) as held');
const wait = patient('telemetry_rollup_wait', 'select pg_advisory_xact_lock($1)');

const parts = spanColumns(telemetryMetrics);
const targets = parts.join(', ');
const overwritten = parts.map((name) => `${name} = excluded.${name}`).join(', ');

/** Where spans are counted from. */
export const spanOrigin = "timestamptz '2000-01-01 00:00:00+00'";

const [finest] = rollupLevels;
const minuteColumns = `agent_id, at, samples, ${targets}`;

/**
 * Minutes are written as they end, those of all agents side by side, and an hour of one agent lies on sixty pages. Once
 * it is rolled up its minutes are written once more, one after the other, on three or four: whoever reads a day of an
 * agent reads a sixteenth of what it would be.
 */
const arrange = (seconds: number): string =>
  `, lifted as (
     delete from ${finest.table} m using made where m.agent_id = made.agent_id and m.at >= made.at
       and m.at < made.at + interval '${seconds} seconds'
       and m.at >= (select min(at) from made) and m.at < (select max(at) from made) + interval '${seconds} seconds'
     returning m.*
   ), arranged as (
     insert into ${finest.table} (${minuteColumns}) select ${minuteColumns} from lifted order by agent_id, at
   )`;

/** What making a span costs besides its samples, in samples. */
const spanCost = 50;

/**
 * Many lists name the same span, where an agent says much: those that nobody has looked at yet are taken together, each
 * of their spans is put into one portion of bounded cost, and the first portion is made; the others wait as lists of
 * their own, one for each time to come. So a flood of samples is rolled up in small steps, between which whoever makes
 * them can wait, and none of its spans twice.
 *
 * @param next into which level what was changed here goes on
 */
const refresh = ({ seconds, table }: RollupLevel, next: RollupLevel | undefined) =>
  patient(
    `${table}_refresh`,
    `with fresh as (
       select id, ready_at, samples, agents, spans from telemetry_dirty
       where resolution = ${seconds} and ready_at <= $1::timestamptz and not portioned order by id limit $2
     ), next_portion as (
       select id, ready_at, samples, agents, spans from telemetry_dirty
       where resolution = ${seconds} and ready_at <= $1::timestamptz and portioned
         and not exists (select from fresh) order by id limit 1
     ), chosen as (
       select * from fresh union all select * from next_portion
     ), named as (
       select s.agent_id, s.at, min(ready_at) as ready_at, sum(samples::float8 / cardinality(agents)) as samples
       from chosen, unnest(agents, spans) as s(agent_id, at) group by s.agent_id, s.at
     ), costs as (
       select *, coalesce(sum(samples + ${spanCost}) over (
         order by at, agent_id rows between unbounded preceding and 1 preceding), 0) as before from named
     ), portions as (
       select *, case when exists (select from fresh) then floor(before / $3) else 0 end as portion from costs
     ), taken as (
       delete from telemetry_dirty d using chosen where d.id = chosen.id
     ), put_off as (
       insert into telemetry_dirty (resolution, ready_at, portioned, samples, agents, spans)
       select ${seconds}, min(ready_at), true, ceil(sum(samples)), array_agg(agent_id), array_agg(at)
       from portions where portion > 0 group by portion order by portion
     ), made as (
       insert into ${table} (agent_id, at, samples, ${targets})
       select p.agent_id, p.at, of.samples, ${keptParts(telemetryMetrics, 'of')} from portions p cross join lateral (
         select count(*)::int as samples, ${measuredParts(telemetryMetrics)} from telemetry_samples t
         where t.agent_id = p.agent_id and t.at >= p.at and t.at < p.at + interval '${seconds} seconds'
         having count(*) > 0) as of
       where p.portion = 0
       on conflict (agent_id, at) do update set samples = excluded.samples, ${overwritten}
       returning agent_id, at, samples
     )${
       next === undefined
         ? arrange(seconds)
         : `, coarser as (
       select agent_id, date_bin('${next.seconds} seconds', at, ${spanOrigin}) as at, sum(samples) as samples
       from made group by 1, 2
     ), passed as (
       insert into telemetry_dirty (resolution, ready_at, samples, agents, spans)
       select ${next.seconds}, greatest(at + interval '${next.seconds} seconds', $1::timestamptz) + interval '30 seconds',
         sum(samples), array_agg(agent_id), array_agg(at) from coarser group by at
     )`
     }
     select (select count(*)::int from chosen) as lists, (select count(*)::int from made) as made`,
  );

const refreshes = rollupLevels.map((level, at) => refresh(level, rollupLevels[at + 1]));
const patience = definition("set local lock_timeout = '5s'");
/** As for look-ups: the plan is kept, and the tables were small when it was made. */
const byIndex = definition(
  ['seqscan', 'hashjoin', 'mergejoin'].map((way) => `set local enable_${way} = off`).join('; '),
);

/** Lists of spans that one transaction looks at, for each level, */
const listsAtOnce = 2000;
/** and samples of which it makes spans: a second of work. */
const samplesAtOnce = 400_000;

interface Taken {
  lists: number;
  made: number;
}

/**
 * Makes the roll-ups anew that are due; undefined where another instance is at it.
 *
 * @returns how many were made, and whether there may be more: a call that makes none tells
 */
export function refreshRollups(
  database: Pick<Database, 'transaction'>,
  now: Date,
): Promise<{ made: number; more: boolean } | undefined> {
  return database.transaction(async (query) => {
    await query(patience, []);
    await query(byIndex, []);
    // An older view of the samples must not overwrite what a newer one made: one at a time.
    if (!(await tryHoldRollups(query))) return undefined;
    let [made, more] = [0, false];
    for (const one of refreshes) {
      const [row] = await query<Taken>(one, [now, listsAtOnce, samplesAtOnce]);
      if (row === undefined) continue;
      made += row.made;
      more ||= row.lists > 0;
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

/** As `holdRollups`; false where somebody else holds them. */
export async function tryHoldRollups(query: Database['query']): Promise<boolean> {
  const [owner] = await query<{ held: boolean }>(lock, [rollupLock]);
  return owner?.held === true;
}

/** Until the end of its transaction no roll-up is made. Those that are being made it waits for, some seconds. */
export async function holdRollups(query: Database['query']): Promise<void> {
  await query(wait, [rollupLock]);
}
