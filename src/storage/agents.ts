import { type Database, lookup, statement } from './database.ts';
import type { agents } from './schema/agents.ts';

export type AgentStatus = 'online' | 'degraded' | 'offline' | 'maintenance' | 'held' | 'revoked';

/** How an agent is, in a statement over `agents`. */
export const statusColumn = `case when revoked is not null then 'revoked' when held is not null then 'held'
  when maintenance then 'maintenance' else presence end`;

export interface AgentListFilter {
  site?: string | undefined;
  status?: AgentStatus | undefined;
  capability?: string | undefined;
  labels?: Record<string, string> | undefined;
  os?: string | undefined;
  /** Any of these. */
  sites?: readonly string[] | undefined;
}

export type AgentRow = Omit<typeof agents.$inferSelect, 'generation' | 'rotateKey'> & {
  status: AgentStatus;
  generation: number;
  keyId: string | null;
};

const agentColumns = `agent_id as "agentId", site, labels, capabilities, software, hostname, os, kernel,
  architecture, container_engine as "containerEngine", presence, maintenance, status_reason as "statusReason",
  ${statusColumn} as status, held, revoked, coalesce(generation, 0)::float8 as generation,
  (select key_id from agent_keys k where (k.agent_id, k.incarnation) = (agents.agent_id, agents.incarnation)) as "keyId",
  incarnation, epoch::float8 as epoch, transport, remote_address as "remoteAddress", tls,
  connected_at as "connectedAt", last_seen_at as "lastSeenAt", created_at as "createdAt",
  updated_at as "updatedAt"`;

const list = statement(
  'agents_list',
  `select ${agentColumns} from agents
   where ($1::text is null or site = $1)
     and ($2::text is null or $2 = ${statusColumn})
     and ($3::text is null or $3 = any(capabilities))
     and ($4::jsonb is null or labels @> $4)
     and ($5::text is null or os = $5)
     and ($6::text is null or agent_id > $6)
     and ($8::text[] is null or site = any($8))
   order by agent_id limit $7`,
);

/** Ordered by id; `after` is the last id of the page before. */
export const listAgents = (
  query: Database['query'],
  filter: AgentListFilter,
  after: string | undefined,
  limit: number,
) =>
  query<AgentRow>(list, [
    filter.site,
    filter.status,
    filter.capability,
    filter.labels === undefined ? undefined : JSON.stringify(filter.labels),
    filter.os,
    after,
    limit,
    filter.sites,
  ]);

const byId = statement('agents_by_id', `select ${agentColumns} from agents where agent_id = $1`);

export async function findAgent(query: Database['query'], agentId: string): Promise<AgentRow | undefined> {
  const [row] = await query<AgentRow>(byId, [agentId]);
  return row;
}

/** What submit must know of each agent that it targets. */
export interface TargetRow {
  agentId: string;
  incarnation: number;
  epoch: number;
  capabilities: readonly string[];
  maintenance: boolean;
  statusReason: string | null;
  /** It has been connected at least once, so that its capabilities are known. */
  seen: boolean;
}

const targetColumns = `agent_id as "agentId", incarnation, epoch::float8 as epoch, capabilities, maintenance,
  status_reason as "statusReason", last_seen_at is not null as seen`;
const targetsById = statement(
  'agents_targets_by_id',
  `select ${targetColumns} from agents
   where agent_id = any($1::text[]) and ($2::text[] is null or site = any($2)) and revoked is null`,
);
const targetsBySelector = statement(
  'agents_targets_by_selector',
  `select ${targetColumns} from agents
   where ($1::text[] is null or site = any($1))
     and ($2::text[] is null or capabilities @> $2)
     and ($3::jsonb is null or labels @> $3)
     and ($4::text[] is null or os = any($4))
     and ($5::text[] is null or ${statusColumn} = any($5)) and revoked is null
   order by agent_id`,
);

/** @param sites that they must belong to, any of them; undefined for wherever they are */
export const targetsNamed = (
  query: Database['query'],
  agentIds: readonly string[],
  sites: readonly string[] | undefined,
) => query<TargetRow>(targetsById, [agentIds, sites]);

export interface TargetSelector {
  sites?: readonly string[] | undefined;
  capabilities?: readonly string[] | undefined;
  labels?: Readonly<Record<string, string>> | undefined;
  os?: readonly string[] | undefined;
  statuses?: readonly string[] | undefined;
}

/** Ordered by id. */
export const targetsSelected = (query: Database['query'], selector: TargetSelector) =>
  query<TargetRow>(targetsBySelector, [
    selector.sites,
    selector.capabilities,
    selector.labels === undefined ? undefined : JSON.stringify(selector.labels),
    selector.os,
    selector.statuses,
  ]);

const considered = statement(
  'agents_considered',
  `select ${targetColumns}, site, labels, os,
     ${statusColumn} as status
   from agents where revoked is null and ($1::text[] is null or site = any($1)) order by agent_id`,
);

export type ConsideredRow = TargetRow & Pick<AgentRow, 'site' | 'labels' | 'os'> & { status: AgentStatus };

/** Every agent, of these sites if they are named, with all that a selector looks at. */
export const everyAgent = (query: Database['query'], sites: readonly string[] | undefined) =>
  query<ConsideredRow>(considered, [sites]);

const all = statement('agents_count', 'select count(*)::int as count from agents where revoked is null');

export async function countAgents(query: Database['query']): Promise<number> {
  const [row] = await query<{ count: number }>(all, []);
  return row?.count ?? 0;
}

const waitingCounts = statement(
  'executions_waiting_counts',
  `select agent_id as "agentId", count(*)::int as count from executions
   where agent_id = any($1::text[]) and state in ('queued', 'held') group by agent_id`,
);

/** How many executions wait for each of these agents; those with none are absent. */
export const countWaiting = (query: Database['query'], agentIds: readonly string[]) =>
  query<{ agentId: string; count: number }>(waitingCounts, [agentIds]);

const maintenance = statement(
  'agents_maintenance',
  `update agents set updated_at = $4,
     maintenance = held is not null or $2,
     status_reason = case when held is null then $3 else status_reason end,
     held = held || jsonb_build_object('maintenance', $2::boolean, 'statusReason', $3::text)
   where agent_id = $1 and revoked is null
   returning held is not null as held`,
);

/**
 * Answers whether the agent is held, in which case it counts when it is released; undefined if there is no such
 * agent, or it is revoked.
 */
export async function setAgentMaintenance(
  query: Database['query'],
  agentId: string,
  on: boolean,
  reason: string | null,
  at: Date,
): Promise<boolean | undefined> {
  const [row] = await query<{ held: boolean }>(maintenance, [agentId, on, reason, at]);
  return row?.held;
}

const presence = lookup(
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
  `select ${statusColumn} as status, count(*)::int as count
   from agents group by 1`,
);

export const countAgentsByStatus = (query: Database['query']) =>
  query<{ status: AgentStatus; count: number }>(byStatus, []);
