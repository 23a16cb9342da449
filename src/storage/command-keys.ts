import { type Database, statement } from './database.ts';

type Query = Database['query'];

export interface CommandKeyRow {
  keyId: string;
  publicKey: Uint8Array;
  sealedPrivateKey: Uint8Array;
  createdAt: Date;
  createdBy: string;
  revokedAt: Date | null;
  revokedBy: string | null;
  revokeReason: string | null;
}

export interface CommandKeySetRow {
  version: number;
  keySet: Uint8Array;
  signature: Uint8Array;
  signedBy: string;
  createdAt: Date;
}

const lock = statement('command_keys_lock', `select pg_advisory_xact_lock(7305501)`);

/** Until the transaction ends, nobody else changes the keys. */
export async function lockCommandKeys(query: Query): Promise<void> {
  await query(lock, []);
}

const sets = statement(
  'command_key_sets_newest',
  `select version::float8 as version, key_set as "keySet", signature, signed_by as "signedBy",
     created_at as "createdAt"
   from command_key_sets where signed_by = $1 and version > $2 order by version desc limit $3`,
);

/** Those above a version that say to be signed by that key, newest first. */
export const newestKeySets = (query: Query, signedBy: string, above: number, limit: number) =>
  query<CommandKeySetRow>(sets, [signedBy, above, limit]);

const insertSet = statement(
  'command_key_sets_insert',
  `insert into command_key_sets (version, key_set, signature, signed_by, created_at)
   values ($1, $2, $3, $4, $5)`,
);

export async function insertKeySet(query: Query, row: CommandKeySetRow): Promise<void> {
  await query(insertSet, [row.version, row.keySet, row.signature, row.signedBy, row.createdAt]);
}

const insertKey = statement(
  'command_keys_insert',
  `insert into command_keys (key_id, public_key, sealed_private_key, created_at, created_by)
   values ($1, $2, $3, $4, $5)`,
);

export type NewCommandKeyRow = Omit<CommandKeyRow, 'revokedAt' | 'revokedBy' | 'revokeReason'>;

export async function insertCommandKey(query: Query, row: NewCommandKeyRow): Promise<void> {
  await query(insertKey, [row.keyId, row.publicKey, row.sealedPrivateKey, row.createdAt, row.createdBy]);
}

const columns = `key_id as "keyId", public_key as "publicKey", sealed_private_key as "sealedPrivateKey",
  created_at as "createdAt", created_by as "createdBy", revoked_at as "revokedAt", revoked_by as "revokedBy",
  revoke_reason as "revokeReason"`;

const byIds = statement(
  'command_keys_by_ids',
  `select ${columns} from command_keys where key_id = any($1::text[])`,
);

export const findCommandKeys = (query: Query, keyIds: readonly string[]) =>
  query<CommandKeyRow>(byIds, [keyIds]);

const newest = statement(
  'command_keys_newest',
  `select ${columns} from command_keys order by created_at desc, key_id limit $1`,
);

export const listCommandKeys = (query: Query, limit: number) => query<CommandKeyRow>(newest, [limit]);

const revoke = statement(
  'command_keys_revoke',
  `update command_keys set revoked_at = $2, revoked_by = $3, revoke_reason = $4
   where key_id = $1 and revoked_at is null`,
);

export async function markCommandKeyRevoked(
  query: Query,
  keyId: string,
  at: Date,
  by: string,
  reason: string,
): Promise<void> {
  await query(revoke, [keyId, at, by, reason]);
}
