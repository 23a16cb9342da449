import { boolColumn, int8Column, jsonColumn, textColumn, timeColumn, uuidColumn } from './columns.ts';
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

const open = lookup(
  'sessions_open',
  `with x as (
     select * from unnest($1::uuid[], $2::text[], $3::int8[], $4::timestamptz[], $5::text[], $6::text[], $7::bool[],
       $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::int8[],
       $16::timestamptz[])
     as x(session_id, agent_id, incarnation, started_at, transport, remote_address, tls, capabilities, software,
       hostname, os, kernel, architecture, container_engine, generation, keys_since)
     order by agent_id
   ), a as (
     update agents a set epoch = a.epoch + 1, presence = 'online', last_seen_at = x.started_at,
       updated_at = x.started_at, connected_at = x.started_at, transport = x.transport,
       remote_address = x.remote_address, tls = x.tls,
       capabilities = array(select jsonb_array_elements_text(x.capabilities::jsonb)), software = x.software,
       hostname = x.hostname, os = x.os, kernel = x.kernel, architecture = x.architecture,
       container_engine = x.container_engine, generation = x.generation
     from x
     where a.agent_id = x.agent_id and a.incarnation = x.incarnation and a.held is null
       and (a.generation is null or x.generation in (a.generation, a.epoch))
     returning x.*, a.epoch, a.maintenance, a.rotate_key
   ), s as (
     update sessions s set ended_at = a.started_at, end_reason = 'superseded'
     from a where s.agent_id = a.agent_id and s.ended_at is null
   ), n as (
     insert into sessions (session_id, agent_id, incarnation, epoch, transport, remote_address, tls, started_at)
     select session_id, agent_id, incarnation, epoch, transport, remote_address, tls, started_at from a
   )
   select a.session_id as "sessionId", a.epoch::float8 as epoch, a.maintenance, a.rotate_key or exists (
     select 1 from agent_keys k
     where k.agent_id = a.agent_id and k.incarnation = a.incarnation and k.created_at < a.keys_since
   ) as "rotateKey" from a`,
);

/**
 * Hands out the next epoch of each identity and records its session, in one statement. Undefined if the incarnation
 * is not the newest one any more, the agent is held, or its generation is that of a copy.
 * @param openings of different agents
 */
export async function openSessions(
  query: Database['query'],
  openings: readonly SessionOpening[],
): Promise<(OpenedSession | undefined)[]> {
  const rows = await query<OpenedSession & { sessionId: string }>(open, [
    uuidColumn(openings, (o) => o.sessionId),
    textColumn(openings, (o) => o.agentId),
    int8Column(openings, (o) => o.incarnation),
    timeColumn(openings, (o) => o.startedAt),
    textColumn(openings, (o) => o.transport),
    textColumn(openings, (o) => o.remoteAddress),
    boolColumn(openings, (o) => o.tls),
    jsonColumn(openings, (o) => o.capabilities),
    textColumn(openings, (o) => o.software),
    textColumn(openings, (o) => o.hostname),
    textColumn(openings, (o) => o.os),
    textColumn(openings, (o) => o.kernel),
    textColumn(openings, (o) => o.architecture),
    textColumn(openings, (o) => o.containerEngine),
    int8Column(openings, (o) => o.generation),
    timeColumn(openings, (o) => o.keysSince),
  ]);
  const opened = new Map(rows.map(({ sessionId, ...session }) => [sessionId, session]));
  return openings.map(({ sessionId }) => opened.get(sessionId));
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
