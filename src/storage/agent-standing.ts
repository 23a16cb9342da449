import { type Database, statement } from './database.ts';
import { endOlderIncarnations } from './executions.ts';
import { removeTelemetry } from './telemetry-removal.ts';

/** Whether an agent may connect at all: held as one of two copies, revoked, or gone from the registry. */

const holdCopy = statement(
  'agents_hold_copy',
  `update agents set updated_at = $4, maintenance = true,
     status_reason = 'held: ' || reason.text,
     held = jsonb_build_object('at', $5::text, 'reason', reason.text, 'maintenance', maintenance,
       'statusReason', status_reason),
     presence = 'offline', transport = null, remote_address = null, tls = null, connected_at = null
   from (select case when $3::bigint > epoch
       then 'it knows of a session that this server does not: the server was restored from a backup, or the agent was copied'
       else 'it comes back as it was before its last session: its data folder was copied, or restored from a snapshot'
     end as text from agents where agent_id = $1) as reason
   where agent_id = $1 and incarnation = $2 and held is null
     and generation is not null and $3::bigint not in (generation, epoch)
   returning reason.text as reason`,
);

/**
 * Holds the agent if the generation is that of a copy; answers with the reason. Undefined where it is not, or the
 * agent is held already.
 */
export async function holdCopiedAgent(
  query: Database['query'],
  agentId: string,
  incarnation: number,
  generation: number,
  at: Date,
): Promise<string | undefined> {
  const given = [agentId, incarnation, generation, at, at.toISOString()];
  const [row] = await query<{ reason: string }>(holdCopy, given);
  return row?.reason;
}

const standing = statement(
  'agents_standing',
  `select held is not null as held, held->>'reason' as reason from agents where agent_id = $1 and incarnation = $2`,
);

/** Undefined if the incarnation is not the newest. */
export async function findStanding(
  query: Database['query'],
  agentId: string,
  incarnation: number,
): Promise<{ held: boolean; reason: string | null } | undefined> {
  const [row] = await query<{ held: boolean; reason: string | null }>(standing, [agentId, incarnation]);
  return row;
}

const confirm = statement(
  'agents_confirm_generation',
  `update agents set generation = $2 where agent_id = $1 and epoch = $2 and generation is distinct from $2`,
);

/** The agent has stored the epoch of its newest session. What an older session confirms counts for nothing. */
export async function confirmGeneration(
  query: Database['query'],
  agentId: string,
  epoch: number,
): Promise<void> {
  await query(confirm, [agentId, epoch]);
}

const release = statement(
  'agents_release',
  `update agents set updated_at = $2, generation = null, maintenance = (held->>'maintenance')::boolean,
     status_reason = held->>'statusReason', held = null
   where agent_id = $1 and held is not null
   returning maintenance`,
);

/** The generation that comes next is believed. Undefined if the agent is not held. */
export async function releaseAgent(
  query: Database['query'],
  agentId: string,
  at: Date,
): Promise<{ maintenance: boolean } | undefined> {
  const [row] = await query<{ maintenance: boolean }>(release, [agentId, at]);
  return row;
}

const revoke = statement(
  'agents_revoke',
  `update agents set updated_at = $2, incarnation = incarnation + 1, rotate_key = false, maintenance = false,
     held = null, generation = 0, status_reason = null,
     revoked = jsonb_build_object('at', $3::text, 'by', $4::text, 'reason', $5::text),
     presence = 'offline', transport = null, remote_address = null, tls = null, connected_at = null
   where agent_id = $1 and revoked is null
   returning incarnation`,
);

/**
 * The identity gets an incarnation to which no key belongs, and what is meant for an older one ends. Answers with
 * the commands that changed; undefined if there is no such agent, or it is revoked already.
 */
export function revokeAgent(
  database: Database,
  agentId: string,
  by: string,
  reason: string,
  at: Date,
): Promise<string[] | undefined> {
  return database.transaction(async (query) => {
    const given = [agentId, at, at.toISOString(), by, reason];
    const [row] = await query<{ incarnation: number }>(revoke, given);
    if (row === undefined) return undefined;
    const cause = `the agent was revoked${reason === '' ? '' : `: ${reason}`}`;
    return endOlderIncarnations(query, agentId, row.incarnation, cause, at);
  });
}

const remove = statement(
  'agents_remove',
  `delete from agents where agent_id = $1 and revoked is not null returning agent_id`,
);

/** With all that it measured. False if there is no such agent, or it is not revoked. */
export function removeAgent(database: Database, agentId: string): Promise<boolean> {
  return database.transaction(async (query) => {
    if ((await query(remove, [agentId])).length === 0) return false;
    await removeTelemetry(query, agentId);
    return true;
  });
}

const askForKey = statement(
  'agents_ask_for_key',
  `update agents set rotate_key = true, updated_at = $2 where agent_id = $1 and revoked is null`,
);

/** The agent is told to make itself a new key when it connects next. */
export async function askForNewKey(query: Database['query'], agentId: string, at: Date): Promise<void> {
  await query(askForKey, [agentId, at]);
}
