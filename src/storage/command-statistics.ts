import { type Database, statement } from './database.ts';

/** Figures over the executions of a span of time. */

const groups = ['verb', 'agent', 'site', 'actor', 'priority', 'state'] as const;
type StatisticsGroup = (typeof groups)[number];

export interface StatisticsRow {
  key: string;
  total: number;
  succeeded: number;
  failed: number;
  timedOut: number;
  cancelled: number;
  expired: number;
  outcomeUnknown: number;
  /** Milliseconds from submit to the moment it was handed to its agent. */
  waitP50: number | null;
  waitP95: number | null;
  /** Milliseconds from the start to the end of the work, by the agent's clock. */
  runP50: number | null;
  runP95: number | null;
  runMaximum: number | null;
}

const keys: Record<StatisticsGroup, string> = {
  verb: 'c.verb',
  agent: 'e.agent_id',
  site: `coalesce(a.site, '')`,
  actor: 'c.actor',
  priority: 'c.priority::text',
  state: 'e.state',
};

const count = (state: string) => `(count(*) filter (where e.state = '${state}'))::int`;
const quantile = (share: number, of: string) => `percentile_cont(${share}) within group (order by ${of})`;
const waited = `extract(epoch from (
  jsonb_path_query_first(e.transitions, '$[*] ? (@.state == "sent").at') #>> '{}')::timestamptz - c.created_at) * 1000`;
const ran = `case when e.started_at is not null and e.finished_at >= e.started_at
  then extract(epoch from e.finished_at - e.started_at) * 1000 end`;

const statementOf = (group: StatisticsGroup) =>
  statement(
    `commands_statistics_${group}`,
    `select ${keys[group]} as key, count(*)::int as total,
       ${count('succeeded')} as succeeded, ${count('failed')} as failed, ${count('timed_out')} as "timedOut",
       ${count('cancelled')} as cancelled, ${count('expired')} as expired,
       ${count('outcome_unknown')} as "outcomeUnknown",
       ${quantile(0.5, 'w.waited')}::float8 as "waitP50", ${quantile(0.95, 'w.waited')}::float8 as "waitP95",
       ${quantile(0.5, 'w.ran')}::float8 as "runP50", ${quantile(0.95, 'w.ran')}::float8 as "runP95",
       max(w.ran)::float8 as "runMaximum"
     from commands c
     join executions e on e.command_id = c.command_id
     ${group === 'site' ? 'left join agents a on a.agent_id = e.agent_id' : ''}
     cross join lateral (select ${waited} as waited, ${ran} as ran) w
     where c.command_id >= $1 and c.command_id < $2
     group by 1 order by total desc, key limit 1000`,
  );

const statements = Object.fromEntries(groups.map((group) => [group, statementOf(group)])) as Record<
  StatisticsGroup,
  ReturnType<typeof statementOf>
>;

/** Of the commands whose ids lie between the two, at most a thousand groups, the largest first. */
export const commandStatistics = (
  query: Database['query'],
  group: StatisticsGroup,
  fromId: string,
  toId: string,
) => query<StatisticsRow>(statements[group], [fromId, toId]);

const expired = statement(
  'commands_delete_old',
  `with old as (
     select c.command_id from commands c
     where c.command_id < $1 and not exists (
       select 1 from executions e where e.command_id = c.command_id and e.deadline_at is not null)
       and not exists (select 1 from rollouts r where r.command_id = c.command_id and r.state in ('running', 'paused'))
     order by c.command_id limit $2
     for update of c skip locked
   ), o as (delete from execution_output x using old where x.command_id = old.command_id
   ), e as (delete from executions x using old where x.command_id = old.command_id
   ), a as (delete from approvals x using old where x.command_id = old.command_id
   ), r as (delete from rollouts x using old where x.command_id = old.command_id)
   delete from commands x using old where x.command_id = old.command_id returning x.command_id`,
);

/** Deletes some of the finished commands with ids before one, and all that belongs to them; answers with how many. */
export async function deleteOldCommands(
  query: Database['query'],
  beforeId: string,
  limit: number,
): Promise<number> {
  return (await query(expired, [beforeId, limit])).length;
}
