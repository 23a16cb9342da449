import type { Scope } from '../lib/scope.ts';
import { type Database, lookup, statement } from './database.ts';

/** Tokens with which applications and people call the API: service tokens, and what was revoked. */

type Query = Database['query'];

export interface ServiceTokenRow {
  tokenId: string;
  /** A keyed hash of the token. */
  tokenHash: Uint8Array;
  name: string;
  role: string;
  scope: Scope | null;
  /** Calls in a window; 0: any number; null: as many as everybody. */
  rateLimit: number | null;
  /** A keyed hash of all that the token may. */
  seal: Uint8Array;
  createdBy: string;
  createdAt: Date;
  expiresAt: Date | null;
  lastUsedAt: Date | null;
  revokedAt: Date | null;
  revokedBy: string | null;
}

const columns = `token_id as "tokenId", token_hash as "tokenHash", name, role, scope, rate_limit as "rateLimit", seal, created_by as "createdBy",
  created_at as "createdAt", expires_at as "expiresAt", last_used_at as "lastUsedAt", revoked_at as "revokedAt",
  revoked_by as "revokedBy"`;

const insert = statement(
  'service_tokens_insert',
  `insert into service_tokens (token_id, token_hash, name, role, scope, seal, created_by, created_at, expires_at, rate_limit)
   values ($1, $2, $3, $4, $5::jsonb, $6, $7, $8, $9, $10)`,
);

export type NewServiceTokenRow = Omit<ServiceTokenRow, 'lastUsedAt' | 'revokedAt' | 'revokedBy'>;

export async function insertServiceToken(query: Query, row: NewServiceTokenRow): Promise<void> {
  await query(insert, [
    row.tokenId,
    Buffer.from(row.tokenHash),
    row.name,
    row.role,
    row.scope === null ? null : JSON.stringify(row.scope),
    Buffer.from(row.seal),
    row.createdBy,
    row.createdAt,
    row.expiresAt,
    row.rateLimit,
  ]);
}

const byHash = lookup(
  'service_tokens_by_hash',
  `select ${columns} from service_tokens where token_hash = $1`,
);

export async function findServiceToken(query: Query, hash: Uint8Array): Promise<ServiceTokenRow | undefined> {
  const [row] = await query<ServiceTokenRow>(byHash, [Buffer.from(hash)]);
  return row;
}

const list = statement(
  'service_tokens_list',
  `select ${columns} from service_tokens
   where ($1::uuid is null or token_id < $1) and ($2::bool or revoked_at is null)
   order by token_id desc limit $3`,
);

/** Newest first; `before` is the last id of the page before. */
export const listServiceTokens = (
  query: Query,
  before: string | undefined,
  withRevoked: boolean,
  limit: number,
) => query<ServiceTokenRow>(list, [before, withRevoked, limit]);

const used = statement(
  'service_tokens_used',
  `update service_tokens set last_used_at = $2 where token_id = $1 and (last_used_at is null or last_used_at < $2)`,
);

export async function serviceTokenUsed(query: Query, tokenId: string, at: Date): Promise<void> {
  await query(used, [tokenId, at]);
}

const revokeService = statement(
  'service_tokens_revoke',
  `update service_tokens set revoked_at = coalesce(revoked_at, $2), revoked_by = coalesce(revoked_by, $3)
   where token_id::text = $1 returning ${columns}`,
);

/** Undefined if there is none of that id. The first revocation stays. */
export async function revokeServiceToken(
  query: Query,
  tokenId: string,
  at: Date,
  by: string,
): Promise<ServiceTokenRow | undefined> {
  const [row] = await query<ServiceTokenRow>(revokeService, [tokenId, at, by]);
  return row;
}

const revokeId = statement(
  'revoked_tokens_insert',
  `insert into revoked_tokens (jti, revoked_by, revoked_at, expires_at) values ($1, $2, $3, $4)
   on conflict (jti) do update set expires_at = greatest(revoked_tokens.expires_at, excluded.expires_at)`,
);

export async function revokeTokenId(
  query: Query,
  row: { jti: string; by: string; at: Date; expiresAt: Date },
): Promise<void> {
  await query(revokeId, [row.jti, row.by, row.at, row.expiresAt]);
}

const isRevoked = lookup('revoked_tokens_find', 'select jti from revoked_tokens where jti = $1');

export const isTokenIdRevoked = async (query: Query, jti: string): Promise<boolean> =>
  (await query(isRevoked, [jti])).length > 0;

const prune = statement('revoked_tokens_prune', 'delete from revoked_tokens where expires_at < $1');

/** Forgets revocations of tokens that have expired by now. */
export async function pruneRevokedTokens(query: Query, now: Date): Promise<void> {
  await query(prune, [now]);
}
