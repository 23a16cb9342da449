import { type Database, statement } from './database.ts';

/** Keys that sign tokens of the API. */

type Query = Database['query'];

export interface IssuerKeyRow {
  keyId: string;
  publicKey: Uint8Array;
  sealedKey: Uint8Array;
  number: number;
  createdBy: string;
  createdAt: Date;
  lastExpiry: Date;
  revokedAt: Date | null;
  revokedBy: string | null;
}

const columns = `key_id as "keyId", public_key as "publicKey", sealed_key as "sealedKey", number,
  created_by as "createdBy", created_at as "createdAt", last_expiry as "lastExpiry", revoked_at as "revokedAt",
  revoked_by as "revokedBy"`;

const lock = statement('issuer_keys_lock', 'select pg_advisory_xact_lock(7305502)');

/** Until the transaction ends, nobody else changes the keys. */
export async function lockIssuerKeys(query: Query): Promise<void> {
  await query(lock, []);
}

const newest = statement(
  'issuer_keys_newest',
  `select ${columns} from issuer_keys order by number desc limit $1`,
);

/** The one that signs comes first, whether it is revoked or not. */
export const newestIssuerKeys = (query: Query, limit: number) => query<IssuerKeyRow>(newest, [limit]);

const insert = statement(
  'issuer_keys_insert',
  `insert into issuer_keys (key_id, public_key, sealed_key, number, created_by, created_at, last_expiry)
   values ($1, $2, $3, (select coalesce(max(number), 0) + 1 from issuer_keys), $4, $5, $5)
   returning ${columns}`,
);

export async function insertIssuerKey(
  query: Query,
  row: Pick<IssuerKeyRow, 'keyId' | 'publicKey' | 'sealedKey' | 'createdBy' | 'createdAt'>,
): Promise<void> {
  const [publicKey, sealedKey] = [Buffer.from(row.publicKey), Buffer.from(row.sealedKey)];
  await query(insert, [row.keyId, publicKey, sealedKey, row.createdBy, row.createdAt]);
}

const signs = statement(
  'issuer_keys_signs',
  `update issuer_keys set last_expiry = greatest(last_expiry, $2) where key_id = $1`,
);

/** Notes that the key signs a token that expires then. */
export async function issuerKeySigns(query: Query, keyId: string, expiresAt: Date): Promise<void> {
  await query(signs, [keyId, expiresAt]);
}

const revoke = statement(
  'issuer_keys_revoke',
  `update issuer_keys set revoked_at = coalesce(revoked_at, $2), revoked_by = coalesce(revoked_by, $3)
   where key_id = $1 returning key_id`,
);

/** False if there is no such key. The first revocation stays. */
export const revokeIssuerKeyRow = async (query: Query, keyId: string, at: Date, by: string) =>
  (await query(revoke, [keyId, at, by])).length > 0;
