import { and, asc, eq, gt, type SQL, sql } from 'drizzle-orm';
import { type Database, databaseError, statement } from './database.ts';
import { agents } from './schema/agents.ts';

export type AgentRow = typeof agents.$inferSelect;

export interface AgentListFilter {
  site?: string | undefined;
  status?: 'online' | 'degraded' | 'offline' | 'maintenance' | undefined;
  capability?: string | undefined;
  labels?: Record<string, string> | undefined;
  os?: string | undefined;
}

function conditions(filter: AgentListFilter): SQL[] {
  const all: SQL[] = [];
  if (filter.site !== undefined) all.push(eq(agents.site, filter.site));
  if (filter.status === 'maintenance') all.push(eq(agents.maintenance, true));
  else if (filter.status !== undefined) {
    all.push(eq(agents.maintenance, false), eq(agents.presence, filter.status));
  }
  if (filter.capability !== undefined) all.push(sql`${filter.capability} = any(${agents.capabilities})`);
  if (filter.labels !== undefined) all.push(sql`${agents.labels} @> ${JSON.stringify(filter.labels)}::jsonb`);
  if (filter.os !== undefined) all.push(eq(agents.os, filter.os));
  return all;
}

/** Ordered by id; `after` is the last id of the page before. */
export async function listAgents(
  database: Database,
  filter: AgentListFilter,
  after: string | undefined,
  limit: number,
): Promise<AgentRow[]> {
  const all = conditions(filter);
  if (after !== undefined) all.push(gt(agents.agentId, after));
  try {
    return await database.orm
      .select()
      .from(agents)
      .where(and(...all))
      .orderBy(asc(agents.agentId))
      .limit(limit);
  } catch (error) {
    throw databaseError(error instanceof Error && error.cause !== undefined ? error.cause : error);
  }
}

export async function findAgent(database: Database, agentId: string): Promise<AgentRow | undefined> {
  try {
    const [row] = await database.orm.select().from(agents).where(eq(agents.agentId, agentId));
    return row;
  } catch (error) {
    throw databaseError(error instanceof Error && error.cause !== undefined ? error.cause : error);
  }
}

/** What submit must know of each agent that it targets. */
export interface TargetRow {
  agentId: string;
  incarnation: number;
  epoch: number;
  capabilities: string[];
  maintenance: boolean;
  statusReason: string | null;
  /** It has been connected at least once, so that its capabilities are known. */
  seen: boolean;
}

const targetColumns = `agent_id as "agentId", incarnation, epoch::float8 as epoch, capabilities, maintenance,
  status_reason as "statusReason", last_seen_at is not null as seen`;
const targetsById = statement(
  'agents_targets_by_id',
  `select ${targetColumns} from agents where agent_id = any($1::text[])`,
);
const targetsBySite = statement(
  'agents_targets_by_site',
  `select ${targetColumns} from agents where site = $1 order by agent_id`,
);
const targetsAll = statement('agents_targets_all', `select ${targetColumns} from agents order by agent_id`);

export const targetsNamed = (query: Database['query'], agentIds: readonly string[]) =>
  query<TargetRow>(targetsById, [agentIds]);
export const targetsOfSite = (query: Database['query'], site: string) =>
  query<TargetRow>(targetsBySite, [site]);
export const targetsEverywhere = (query: Database['query']) => query<TargetRow>(targetsAll, []);

const maintenance = statement(
  'agents_maintenance',
  `update agents set maintenance = $2, status_reason = $3, updated_at = $4 where agent_id = $1
   returning agent_id`,
);

/** False if there is no such agent. */
export async function setAgentMaintenance(
  query: Database['query'],
  agentId: string,
  on: boolean,
  reason: string | null,
  at: Date,
): Promise<boolean> {
  return (await query(maintenance, [agentId, on, reason, at])).length > 0;
}

const presence = statement(
  'agents_presence',
  `update agents a set
     presence = x.presence,
     last_seen_at = greatest(a.last_seen_at, x.seen),
     updated_at = greatest(a.updated_at, x.seen),
     transport = case when x.presence = 'offline' then null else a.transport end,
     remote_address = case when x.presence = 'offline' then null else a.remote_address end,
     tls = case when x.presence = 'offline' then null else a.tls end,
     connected_at = case when x.presence = 'offline' then null else a.connected_at end
   from unnest($1::text[], $2::bigint[], $3::text[], $4::timestamptz[]) as x(agent_id, epoch, presence, seen)
   where a.agent_id = x.agent_id and a.epoch = x.epoch`,
);

export interface PresenceChange {
  agentId: string;
  /** A change of an older session than the newest counts for nothing. */
  epoch: number;
  presence: 'online' | 'degraded' | 'offline';
  seenAt: Date;
}

/** There must be at most one change for each agent. */
export async function applyPresence(
  query: Database['query'],
  changes: readonly PresenceChange[],
): Promise<void> {
  await query(presence, [
    changes.map((c) => c.agentId),
    changes.map((c) => c.epoch),
    changes.map((c) => c.presence),
    changes.map((c) => c.seenAt),
  ]);
}

const byStatus = statement(
  'agents_by_status',
  `select case when maintenance then 'maintenance' else presence end as status, count(*)::int as count
   from agents group by 1`,
);

export const countAgentsByStatus = (query: Database['query']) =>
  query<{ status: 'online' | 'degraded' | 'offline' | 'maintenance'; count: number }>(byStatus, []);
