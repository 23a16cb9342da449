import { type Database, lookup, statement } from './database.ts';

export interface SessionOpening {
  sessionId: string;
  agentId: string;
  incarnation: number;
  startedAt: Date;
  transport: string;
  remoteAddress: string;
  tls: boolean;
  capabilities: string[];
  software: string;
  hostname: string;
  os: string;
  kernel: string;
  architecture: string;
  containerEngine: string;
  /** What the agent says it has stored, see `agents.generation`. */
  generation: number;
  /** A key that is older is to be replaced. */
  keysSince: Date;
}

export interface OpenedSession {
  epoch: number;
  /** The agent is in maintenance. */
  maintenance: boolean;
  /** The agent is to make itself a new key. */
  rotateKey: boolean;
}

const open = statement(
  'sessions_open',
  `with a as (
     update agents set epoch = epoch + 1, presence = 'online', last_seen_at = $4, updated_at = $4,
       connected_at = $4, transport = $5, remote_address = $6, tls = $7, capabilities = $8, software = $9,
       hostname = $10, os = $11, kernel = $12, architecture = $13, container_engine = $14, generation = $15
     where agent_id = $2 and incarnation = $3 and held is null
       and (generation is null or $15::bigint in (generation, epoch))
     returning epoch, maintenance, rotate_key
   ), s as (
     update sessions set ended_at = $4, end_reason = 'superseded'
     where agent_id = $2 and ended_at is null and exists (select 1 from a)
   ), n as (
     insert into sessions (session_id, agent_id, incarnation, epoch, transport, remote_address, tls, started_at)
     select $1, $2, $3, a.epoch, $5, $6, $7, $4 from a
   )
   select epoch::float8 as epoch, maintenance, rotate_key or exists (
     select 1 from agent_keys where agent_id = $2 and incarnation = $3 and created_at < $16
   ) as "rotateKey" from a`,
);

/**
 * Hands out the next epoch of the identity and records the session, in one statement. Undefined if the incarnation
 * is not the newest one any more, the agent is held, or its generation is that of a copy.
 */
export async function openSession(
  query: Database['query'],
  o: SessionOpening,
): Promise<OpenedSession | undefined> {
  const [row] = await query<OpenedSession>(open, [
    o.sessionId,
    o.agentId,
    o.incarnation,
    o.startedAt,
    o.transport,
    o.remoteAddress,
    o.tls,
    o.capabilities,
    o.software,
    o.hostname,
    o.os,
    o.kernel,
    o.architecture,
    o.containerEngine,
    o.generation,
    o.keysSince,
  ]);
  return row;
}

const end = lookup(
  'sessions_end',
  `update sessions s set ended_at = x.at, end_reason = x.reason
   from unnest($1::uuid[], $2::timestamptz[], $3::text[]) as x(session_id, at, reason)
   where s.session_id = x.session_id and s.ended_at is null`,
);

export async function endSessions(
  query: Database['query'],
  ended: readonly { sessionId: string; at: Date; reason: string }[],
): Promise<void> {
  await query(end, [ended.map((s) => s.sessionId), ended.map((s) => s.at), ended.map((s) => s.reason)]);
}

const endAll = statement(
  'sessions_end_all',
  `with s as (
     update sessions set ended_at = $1, end_reason = 'instance stopped' where ended_at is null
   )
   update agents set presence = 'offline', transport = null, remote_address = null, tls = null,
     connected_at = null, updated_at = $1
   where presence <> 'offline'`,
);

/** Closes the books of an instance that ended without a word. Only for the holder of the instance lock. */
export async function endAbandonedSessions(query: Database['query'], at: Date): Promise<void> {
  await query(endAll, [at]);
}
