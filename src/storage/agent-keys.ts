import { int8Column, textColumn } from './columns.ts';
import { type Database, lookup, statement } from './database.ts';

/** The keys with which an agent proves itself: the one it has, the one that follows, and for a while the one before. */

export interface AgentKeyRow {
  publicKey: Uint8Array;
  role: 'current' | 'next' | 'previous';
}

const findKeys = lookup(
  'agent_keys_find',
  `select x.at::int as at, case x.wanted when k.key_id then k.public_key when k.next_key_id then k.next_public_key
       else k.previous_public_key end as "publicKey",
     case x.wanted when k.key_id then 'current' when k.next_key_id then 'next' else 'previous' end as role
   from unnest($1::text[], $2::int8[], $3::text[]) with ordinality as x(agent_id, incarnation, wanted, at)
   join agent_keys k on k.agent_id = x.agent_id and k.incarnation = x.incarnation
   join agents a on a.agent_id = k.agent_id and a.incarnation = k.incarnation
   where x.wanted in (k.key_id, k.next_key_id) or x.wanted = k.previous_key_id and k.previous_until > $4`,
);

export interface AgentKeyName {
  agentId: string;
  incarnation: number;
  keyId: string;
}

/** For each name the key of the newest incarnation that has it, if there is one. */
export async function findAgentKeys(
  query: Database['query'],
  names: readonly AgentKeyName[],
  now: Date,
): Promise<(AgentKeyRow | undefined)[]> {
  const rows = await query<AgentKeyRow & { at: number }>(findKeys, [
    textColumn(names, (name) => name.agentId),
    int8Column(names, (name) => name.incarnation),
    textColumn(names, (name) => name.keyId),
    now,
  ]);
  const found = new Map(rows.map(({ at, ...row }) => [at, row]));
  return names.map((_, index) => found.get(index + 1));
}

const acceptKey = statement(
  'agent_keys_accept',
  `update agent_keys k set next_key_id = $4, next_public_key = $5
   from agents a
   where k.agent_id = $1 and k.incarnation = $2 and k.key_id = $3
     and a.agent_id = k.agent_id and a.incarnation = k.incarnation and (a.rotate_key or k.created_at < $6)
     and not exists (select 1 from agent_keys o where $4 in (o.key_id, o.previous_key_id))
   returning k.key_id`,
);

/**
 * Takes the key that is to follow, where a new one was asked for. False if none was, if the agent did not prove
 * itself with its newest key, or if the next one was seen before.
 */
export async function acceptNextKey(
  query: Database['query'],
  agent: AgentKeyName,
  next: { keyId: string; publicKey: Uint8Array },
  keysSince: Date,
): Promise<boolean> {
  const rows = await query(acceptKey, [
    agent.agentId,
    agent.incarnation,
    agent.keyId,
    next.keyId,
    Buffer.from(next.publicKey),
    keysSince,
  ]);
  return rows.length > 0;
}

const promote = statement(
  'agent_keys_promote',
  `with k as (
     update agent_keys set previous_key_id = key_id, previous_public_key = public_key, previous_until = $4,
       key_id = next_key_id, public_key = next_public_key, created_at = $5,
       next_key_id = null, next_public_key = null
     where agent_id = $1 and incarnation = $2 and next_key_id = $3
     returning agent_id
   )
   update agents a set rotate_key = false, updated_at = $5 from k where a.agent_id = k.agent_id
   returning a.agent_id`,
);

/** The next key is used: it is the agent's from now on, and the one before is believed for a while. */
export async function promoteNextKey(
  query: Database['query'],
  agent: AgentKeyName,
  now: Date,
  previousUntil: Date,
): Promise<boolean> {
  const given = [agent.agentId, agent.incarnation, agent.keyId, previousUntil, now];
  return (await query(promote, given)).length > 0;
}
