import { type Database, statement } from './database.ts';

export interface EnrollmentTokenRow {
  tokenHash: Uint8Array;
  site: string;
  labels: Record<string, string>;
  agentId: string | null;
  uses: number;
  createdBy: string;
  createdAt: Date;
  expiresAt: Date;
}

const insertToken = statement(
  'enrollment_token_insert',
  `insert into enrollment_tokens (token_hash, site, labels, agent_id, uses, created_by, created_at, expires_at)
   values ($1, $2, $3, $4, $5, $6, $7, $8)`,
);

export async function insertEnrollmentToken(
  query: Database['query'],
  row: EnrollmentTokenRow,
): Promise<void> {
  await query(insertToken, [
    Buffer.from(row.tokenHash),
    row.site,
    JSON.stringify(row.labels),
    row.agentId,
    row.uses,
    row.createdBy,
    row.createdAt,
    row.expiresAt,
  ]);
}

const useToken = statement(
  'enrollment_token_use',
  `update enrollment_tokens set used = used + 1
   where token_hash = $1 and used < uses and expires_at > $2 and (agent_id is null or agent_id = $3)
   returning site, labels, agent_id as "agentId"`,
);

/** Takes one use of the token, or nothing if it is spent, expired, unknown or meant for another identity. */
export async function useEnrollmentToken(
  query: Database['query'],
  tokenHash: Uint8Array,
  now: Date,
  agentId: string,
): Promise<{ site: string; labels: Record<string, string>; agentId: string | null } | undefined> {
  const [row] = await query<{ site: string; labels: Record<string, string>; agentId: string | null }>(
    useToken,
    [Buffer.from(tokenHash), now, agentId],
  );
  return row;
}

const repeated = statement(
  'enrollment_repeated',
  `select a.incarnation, a.site from agent_keys k
   join agents a using (agent_id, incarnation)
   join enrollment_tokens t on t.token_hash = $1 and (t.agent_id is null or t.agent_id = k.agent_id)
   where k.key_id = $2 and k.agent_id = $3`,
);

/** The newest enrolment of the identity, if it was with this key; whoever asks holds a token it could use. */
export async function findRepeatedEnrollment(
  query: Database['query'],
  tokenHash: Uint8Array,
  keyId: string,
  agentId: string,
): Promise<{ incarnation: number; site: string } | undefined> {
  const [row] = await query<{ incarnation: number; site: string }>(repeated, [
    Buffer.from(tokenHash),
    keyId,
    agentId,
  ]);
  return row;
}

const register = statement(
  'agents_register',
  `insert into agents (agent_id, site, labels, incarnation, created_at, updated_at) values ($1, $2, $3, 1, $4, $4)
   on conflict (agent_id) do update set site = excluded.site, labels = excluded.labels,
     incarnation = agents.incarnation + 1, updated_at = excluded.updated_at
     where $5
   returning incarnation`,
);

/** Undefined if the identity exists and may not be enrolled anew. */
export async function registerAgent(
  query: Database['query'],
  agent: { agentId: string; site: string; labels: Record<string, string>; at: Date; again: boolean },
): Promise<number | undefined> {
  const [row] = await query<{ incarnation: number }>(register, [
    agent.agentId,
    agent.site,
    JSON.stringify(agent.labels),
    agent.at,
    agent.again,
  ]);
  return row?.incarnation;
}

const insertKey = statement(
  'agent_keys_insert',
  `insert into agent_keys (agent_id, incarnation, key_id, public_key) values ($1, $2, $3, $4)
   on conflict (key_id) do nothing returning key_id`,
);

/** False if the key belongs to an identity already. */
export async function insertAgentKey(
  query: Database['query'],
  key: { agentId: string; incarnation: number; keyId: string; publicKey: Uint8Array },
): Promise<boolean> {
  const rows = await query(insertKey, [key.agentId, key.incarnation, key.keyId, Buffer.from(key.publicKey)]);
  return rows.length > 0;
}

const findKey = statement(
  'agent_keys_find',
  `select k.public_key as "publicKey" from agent_keys k join agents a using (agent_id, incarnation)
   where k.agent_id = $1 and k.incarnation = $2::bigint and k.key_id = $3`,
);

/** The key of the newest incarnation, if it is the one that is named. */
export async function findAgentKey(
  query: Database['query'],
  agentId: string,
  incarnation: number,
  keyId: string,
): Promise<Uint8Array | undefined> {
  const [row] = await query<{ publicKey: Uint8Array }>(findKey, [agentId, incarnation, keyId]);
  return row?.publicKey;
}
