import { likePatterns, type Scope } from '../lib/scope.ts';
import { type Database, report } from './database.ts';

/** Figures over the executions of a span of time. */

/** What they can be counted by. */
export const statisticsGroups = ['verb', 'agent', 'site', 'actor', 'priority', 'state'] as const;
export type StatisticsGroup = (typeof statisticsGroups)[number];

/** Executions in all, and by how they ended; the others are open. */
export interface StatisticsCounts {
  total: number;
  succeeded: number;
  failed: number;
  timedOut: number;
  cancelled: number;
  expired: number;
  outcomeUnknown: number;
}

export interface StatisticsRow extends StatisticsCounts {
  key: string;
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
  report(
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
       and ($3::text[] is null or e.agent_id in (select s.agent_id from agents s where s.site = any($3)))
       and ($4::text[] is null or c.verb like any($4))
     group by 1 order by total desc, key limit 1000`,
  );

const statements = Object.fromEntries(statisticsGroups.map((group) => [group, statementOf(group)])) as Record<
  StatisticsGroup,
  ReturnType<typeof statementOf>
>;

/** Of the commands whose ids lie between the two, at most a thousand groups, the largest first. */
export const commandStatistics = (
  query: Database['query'],
  group: StatisticsGroup,
  fromId: string,
  toId: string,
  scope: Scope | undefined,
) => query<StatisticsRow>(statements[group], [fromId, toId, scope?.sites, scope && likePatterns(scope)]);
