import { type Database, statement } from './database.ts';

export interface EnrollmentTokenRow {
  tokenId: string;
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
  `insert into enrollment_tokens (token_hash, site, labels, agent_id, uses, created_by, created_at, expires_at, token_id)
   values ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
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
    row.tokenId,
  ]);
}

const useToken = statement(
  'enrollment_token_use',
  `update enrollment_tokens set used = used + 1
   where token_hash = $1 and used < uses and expires_at > $2 and (agent_id is null or agent_id = $3)
     and revoked_at is null
   returning site, labels, agent_id as "agentId", token_id as "tokenId"`,
);

/** Takes one use of the token, or nothing if it is spent, expired, unknown or meant for another identity. */
export async function useEnrollmentToken(
  query: Database['query'],
  tokenHash: Uint8Array,
  now: Date,
  agentId: string,
): Promise<UsedToken | undefined> {
  const [row] = await query<UsedToken>(useToken, [Buffer.from(tokenHash), now, agentId]);
  return row;
}

export type UsedToken = Pick<EnrollmentTokenRow, 'tokenId' | 'site' | 'labels' | 'agentId'>;

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
     incarnation = agents.incarnation + 1, updated_at = excluded.updated_at, revoked = null, generation = 0,
     rotate_key = false, held = null,
     maintenance = coalesce((agents.held->>'maintenance')::boolean, agents.maintenance),
     status_reason = case when agents.held is null then agents.status_reason else agents.held->>'statusReason' end
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
  `insert into agent_keys (agent_id, incarnation, key_id, public_key, token_id, created_at)
   select $1, $2, $3, $4, $5, $6
   where not exists (select 1 from agent_keys where $3 in (next_key_id, previous_key_id))
   on conflict (key_id) do nothing returning key_id`,
);

/** False if the key belongs to an identity already. */
export async function insertAgentKey(
  query: Database['query'],
  key: {
    agentId: string;
    incarnation: number;
    keyId: string;
    publicKey: Uint8Array;
    tokenId: string | null;
    at: Date;
  },
): Promise<boolean> {
  const rows = await query(insertKey, [
    key.agentId,
    key.incarnation,
    key.keyId,
    Buffer.from(key.publicKey),
    key.tokenId,
    key.at,
  ]);
  return rows.length > 0;
}

const tokenColumns = `token_id as "tokenId", site, labels, agent_id as "agentId", uses, uses - used as "usesLeft",
  created_by as "createdBy", created_at as "createdAt", expires_at as "expiresAt", revoked_by as "revokedBy",
  case when revoked_at is not null then 'revoked' when used >= uses then 'spent'
    when expires_at <= $1 then 'expired' else 'active' end as state,
  array(select k.agent_id from agent_keys k where k.token_id = t.token_id order by k.created_at desc limit 100)
    as "usedBy"`;

export type TokenRow = Omit<EnrollmentTokenRow, 'tokenHash'> & {
  usesLeft: number;
  revokedBy: string | null;
  state: 'active' | 'spent' | 'expired' | 'revoked';
  usedBy: string[];
};

const listOfTokens = statement(
  'enrollment_tokens_list',
  `select ${tokenColumns} from enrollment_tokens t
   where ($2::boolean or revoked_at is null and used < uses and expires_at > $1)
     and ($3::uuid is null or token_id < $3)
   order by token_id desc limit $4`,
);

/** Newest first; `before` is the last id of the page before. */
export const listEnrollmentTokens = (
  query: Database['query'],
  now: Date,
  all: boolean,
  before: string | undefined,
  limit: number,
) => query<TokenRow>(listOfTokens, [now, all, before, limit]);

const tokenById = statement(
  'enrollment_tokens_by_id',
  `select ${tokenColumns} from enrollment_tokens t where token_id = $2`,
);

export async function findEnrollmentToken(
  query: Database['query'],
  tokenId: string,
  now: Date,
): Promise<TokenRow | undefined> {
  const [row] = await query<TokenRow>(tokenById, [now, tokenId]);
  return row;
}

const revokeToken = statement(
  'enrollment_tokens_revoke',
  `update enrollment_tokens set revoked_at = $3, revoked_by = $2 where token_id = $1 and revoked_at is null`,
);

export async function revokeEnrollmentToken(
  query: Database['query'],
  tokenId: string,
  by: string,
  at: Date,
): Promise<void> {
  await query(revokeToken, [tokenId, by, at]);
}
