import { type Database, lookup, statement } from './database.ts';

/** The trust document, the keys behind it, and the certificates that were issued. */

type Query = Database['query'];

export interface TrustRow {
  version: number;
  document: Uint8Array;
  signature: Uint8Array;
  signedBy: string;
  createdAt: Date;
  createdBy: string;
}

const lock = statement('tls_trust_lock', 'select pg_advisory_xact_lock(7305503)');

/** Until the transaction ends, nobody else changes the document. */
export async function lockTrust(query: Query): Promise<void> {
  await query(lock, []);
}

const documents = statement(
  'tls_trust_newest',
  `select version::float8 as version, document, signature, signed_by as "signedBy", created_at as "createdAt",
     created_by as "createdBy"
   from tls_trust_documents where signed_by = $1 and version > $2 order by version desc limit $3`,
);

/** Those above a version that say to be signed by that key, newest first. */
export const newestTrust = (query: Query, signedBy: string, above: number, limit: number) =>
  query<TrustRow>(documents, [signedBy, above, limit]);

const insertDocument = statement(
  'tls_trust_insert',
  `insert into tls_trust_documents (version, document, signature, signed_by, created_at, created_by)
   values ($1, $2, $3, $4, $5, $6)`,
);

export async function insertTrust(query: Query, row: TrustRow): Promise<void> {
  const bytes = [Buffer.from(row.document), Buffer.from(row.signature)];
  await query(insertDocument, [row.version, ...bytes, row.signedBy, row.createdAt, row.createdBy]);
}

export interface TlsKeyRow {
  name: string;
  sealedKey: Uint8Array;
  createdAt: Date;
  createdBy: string;
}

const insertKey = statement(
  'tls_keys_insert',
  `insert into tls_keys (name, sealed_key, created_at, created_by) values ($1, $2, $3, $4)`,
);

export async function insertTlsKey(query: Query, row: TlsKeyRow): Promise<void> {
  await query(insertKey, [row.name, Buffer.from(row.sealedKey), row.createdAt, row.createdBy]);
}

const keysByName = statement(
  'tls_keys_by_name',
  `select name, sealed_key as "sealedKey", created_at as "createdAt", created_by as "createdBy"
   from tls_keys where name = any($1::text[])`,
);

export const findTlsKeys = (query: Query, names: readonly string[]) => query<TlsKeyRow>(keysByName, [names]);

const dropKeys = statement('tls_keys_delete', 'delete from tls_keys where name = any($1::text[])');

export async function deleteTlsKeys(query: Query, names: readonly string[]): Promise<void> {
  if (names.length > 0) await query(dropKeys, [names]);
}

export interface CertificateRow {
  serial: string;
  authorityId: string;
  /** Null: of a server. */
  agentId: string | null;
  incarnation: number | null;
  names: string[];
  issuedAt: Date;
  notAfter: Date;
  issuedTo: string;
  revokedAt: Date | null;
  revokedBy: string | null;
  revokeReason: string | null;
}

const insert = statement(
  'certificates_insert',
  `insert into certificates (serial, authority_id, agent_id, incarnation, names, issued_at, not_after, issued_to)
   values ($1, $2, $3, $4, $5, $6, $7, $8)`,
);

export async function insertCertificate(
  query: Query,
  row: Omit<CertificateRow, 'revokedAt' | 'revokedBy' | 'revokeReason'>,
): Promise<void> {
  const { serial, authorityId, agentId, incarnation, names, issuedAt, notAfter, issuedTo } = row;
  await query(insert, [serial, authorityId, agentId, incarnation, names, issuedAt, notAfter, issuedTo]);
}

const columns = `serial, authority_id as "authorityId", agent_id as "agentId", incarnation, names,
  issued_at as "issuedAt", not_after as "notAfter", issued_to as "issuedTo", revoked_at as "revokedAt",
  revoked_by as "revokedBy", revoke_reason as "revokeReason"`;

const list = statement(
  'certificates_list',
  `select ${columns} from certificates
   where not_after > $1 and ($2::text is null or agent_id = $2)
     and ($3::timestamptz is null or (issued_at, serial) < ($3, $4))
   order by issued_at desc, serial desc limit $5`,
);

/** Those that are not over, newest first. */
export const listCertificates = (
  query: Query,
  now: Date,
  agentId: string | undefined,
  before: { issuedAt: Date; serial: string } | undefined,
  limit: number,
) =>
  query<CertificateRow>(list, [
    now,
    agentId ?? null,
    before?.issuedAt ?? null,
    before?.serial ?? null,
    limit,
  ]);

const revoke = statement(
  'certificates_revoke',
  `update certificates set revoked_at = coalesce(revoked_at, $2), revoked_by = coalesce(revoked_by, $3),
     revoke_reason = coalesce(revoke_reason, $4)
   where serial = $1 returning ${columns}`,
);

/** The first revocation stays. Undefined if there is no such certificate. */
export async function revokeCertificateRow(
  query: Query,
  serial: string,
  at: Date,
  by: string,
  reason: string,
): Promise<CertificateRow | undefined> {
  const [row] = await query<CertificateRow>(revoke, [serial, at, by, reason]);
  return row;
}

const revokeBefore = statement(
  'certificates_revoke_before',
  `update certificates c set revoked_at = $3, revoked_by = 'system', revoke_reason = $4
   from agent_keys k
   where c.agent_id = $1 and c.revoked_at is null and c.not_after > $3
     and k.agent_id = $1 and k.incarnation = $2 and c.issued_at < k.created_at
   returning c.serial`,
);

/** What an identity had before that enrolment. True if there was something. */
export const revokeBeforeEnrollment = async (
  query: Query,
  agentId: string,
  incarnation: number,
  at: Date,
  reason: string,
) => (await query(revokeBefore, [agentId, incarnation, at, reason])).length > 0;

const revoked = statement(
  'certificates_revoked',
  `select serial from certificates
   where revoked_at is not null and not_after > $1 and serial > $2 order by serial limit $3`,
);

/** Those that are not over, after a serial. */
export const revokedSerials = (query: Query, now: Date, after: string, limit: number) =>
  query<{ serial: string }>(revoked, [now, after, limit]);

const purge = statement(
  'certificates_purge',
  `delete from certificates where serial in (
     select serial from certificates where not_after < $1 order by not_after limit $2)
   returning serial`,
);

/** Resolves with how many there were. */
export const purgeCertificates = async (query: Query, before: Date, limit: number): Promise<number> =>
  (await query(purge, [before, limit])).length;

const store = lookup(
  'agent_trust_store',
  `insert into agent_trust (agent_id, incarnation, version, stored_at)
   select a.agent_id, a.incarnation, x.version, $4
   from unnest($1::text[], $2::int[], $3::int8[]) as x(agent_id, incarnation, version)
   join agents a on a.agent_id = x.agent_id and a.incarnation = x.incarnation
   on conflict (agent_id) do update set incarnation = excluded.incarnation, version = excluded.version,
     stored_at = excluded.stored_at
   where (agent_trust.incarnation, agent_trust.version) is distinct from (excluded.incarnation, excluded.version)`,
);

export interface StoredTrust {
  agentId: string;
  incarnation: number;
  version: number;
}

/** Each agent at most once. */
export async function storeAgentTrust(query: Query, stored: readonly StoredTrust[], at: Date): Promise<void> {
  await query(store, [
    stored.map((one) => one.agentId),
    stored.map((one) => one.incarnation),
    stored.map((one) => one.version),
    at,
  ]);
}

const without = statement(
  'agent_trust_without',
  `select a.agent_id as "agentId", count(*) over ()::int as total
   from agents a left join agent_trust t on t.agent_id = a.agent_id and t.incarnation = a.incarnation
   where a.revoked is null and coalesce(t.version, 0) < $1
   order by a.agent_id limit $2`,
);

/** Agents that are not revoked and have not stored that version or a later one. */
export const agentsWithoutTrust = (query: Query, version: number, limit: number) =>
  query<{ agentId: string; total: number }>(without, [version, limit]);

const storing = statement(
  'agent_trust_any',
  `select 1 from agent_trust t
   join agents a on a.agent_id = t.agent_id and a.incarnation = t.incarnation
   where a.revoked is null and t.version >= $1 limit 1`,
);

/** Whether an agent that is not revoked has stored that version or a later one. */
export const hasAgentsWithTrust = async (query: Query, version: number): Promise<boolean> =>
  (await query(storing, [version])).length > 0;

const holders = statement(
  'certificates_holders',
  `select a.agent_id as "agentId", count(*) over ()::int as total
   from agents a
   where a.revoked is null and exists (
     select from (
       select distinct on (c.issued_to = 'agent:' || c.agent_id) c.authority_id, c.not_after
       from certificates c
       where c.agent_id = a.agent_id and c.incarnation = a.incarnation and c.revoked_at is null
       order by c.issued_to = 'agent:' || c.agent_id, c.issued_at desc, c.authority_id = any($1::text[])
     ) newest
     where newest.authority_id = any($1::text[]) and newest.not_after > $2
   ) order by a.agent_id limit $3`,
);

/**
 * Agents that are not revoked and whose newest certificate one of the authorities issued: of those that the agent got
 * itself, or of those that somebody made for it.
 */
export const agentsHolding = (query: Query, authorityIds: readonly string[], now: Date, limit: number) =>
  query<{ agentId: string; total: number }>(holders, [authorityIds, now, limit]);

const enrolled = statement(
  'certificates_agent',
  'select incarnation from agents where agent_id = $1 and revoked is null',
);

/** The incarnation of an agent that is not revoked. */
export async function incarnationOf(query: Query, agentId: string): Promise<number | undefined> {
  const [row] = await query<{ incarnation: number }>(enrolled, [agentId]);
  return row?.incarnation;
}
