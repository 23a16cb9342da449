import { type Database, statement } from './database.ts';

export interface EnrollmentRequestRow {
  requestId: string;
  agentId: string;
  keyId: string;
  publicKey: Uint8Array;
  labels: Record<string, string>;
  hostname: string;
  remoteAddress: string;
  state: 'pending' | 'approved' | 'rejected';
  requestedAt: Date;
  expiresAt: Date;
  decidedBy: string | null;
  decidedAt: Date | null;
  reason: string | null;
  agentExists: boolean;
}

const columns = `r.request_id as "requestId", r.agent_id as "agentId", r.key_id as "keyId",
  r.public_key as "publicKey", r.labels, r.hostname, r.remote_address as "remoteAddress", r.state,
  r.requested_at as "requestedAt", r.expires_at as "expiresAt", r.decided_by as "decidedBy",
  r.decided_at as "decidedAt", r.reason, exists (select 1 from agents a where a.agent_id = r.agent_id) as "agentExists"`;

const forget = statement(
  'enrollment_requests_forget',
  `delete from enrollment_requests where expires_at <= $1`,
);

const ask = statement(
  'enrollment_requests_ask',
  `insert into enrollment_requests (request_id, agent_id, key_id, public_key, labels, hostname, remote_address,
     requested_at, expires_at)
   select $1, $2, $3, $4, $5, $6, $7, $8, $9
   where exists (select 1 from enrollment_requests where key_id = $3)
     or (select count(*) from enrollment_requests where state = 'pending') < $10
     and (select count(*) from enrollment_requests where state = 'pending' and remote_address = $7) < $11
   on conflict (key_id) do update set expires_at = excluded.expires_at, labels = excluded.labels,
     hostname = excluded.hostname, remote_address = excluded.remote_address, agent_id = excluded.agent_id,
     request_id = case when enrollment_requests.agent_id = excluded.agent_id
       then enrollment_requests.request_id else excluded.request_id end
   where enrollment_requests.state = 'pending'
   returning request_id`,
);

export type NewEnrollmentRequest = Pick<
  EnrollmentRequestRow,
  | 'requestId'
  | 'agentId'
  | 'keyId'
  | 'publicKey'
  | 'labels'
  | 'hostname'
  | 'remoteAddress'
  | 'requestedAt'
  | 'expiresAt'
>;

/**
 * Writes down that the agent asks, or that it still does. What is decided stays as it is; what asks for another
 * name becomes another request. Answers with nothing where as many ask as may; at the same moment a few more can
 * come through.
 */
export async function askForEnrollment(
  query: Database['query'],
  r: NewEnrollmentRequest,
  limits: { pending: number; perAddress: number },
): Promise<EnrollmentRequestRow | undefined> {
  await query(forget, [r.requestedAt]);
  await query(ask, [
    r.requestId,
    r.agentId,
    r.keyId,
    Buffer.from(r.publicKey),
    JSON.stringify(r.labels),
    r.hostname,
    r.remoteAddress,
    r.requestedAt,
    r.expiresAt,
    limits.pending,
    limits.perAddress,
  ]);
  const [row] = await query<EnrollmentRequestRow>(byKey, [r.keyId]);
  return row;
}

const byKey = statement(
  'enrollment_requests_by_key',
  `select ${columns} from enrollment_requests r where r.key_id = $1`,
);

const byId = statement(
  'enrollment_requests_by_id',
  `select ${columns} from enrollment_requests r where r.request_id = $1 and r.expires_at > $2`,
);

export async function findEnrollmentRequest(
  query: Database['query'],
  requestId: string,
  now: Date,
): Promise<EnrollmentRequestRow | undefined> {
  const [row] = await query<EnrollmentRequestRow>(byId, [requestId, now]);
  return row;
}

const list = statement(
  'enrollment_requests_list',
  `select ${columns} from enrollment_requests r
   where r.expires_at > $1 and ($2::boolean or r.state = 'pending') and ($3::uuid is null or r.request_id < $3)
   order by r.request_id desc limit $4`,
);

/** Newest first; `before` is the last id of the page before. */
export const listEnrollmentRequests = (
  query: Database['query'],
  now: Date,
  all: boolean,
  before: string | undefined,
  limit: number,
) => query<EnrollmentRequestRow>(list, [now, all, before, limit]);

const decide = statement(
  'enrollment_requests_decide',
  `update enrollment_requests set state = $2, decided_by = $3, decided_at = $4, reason = $5, expires_at = $6
   where request_id = $1 and state = 'pending' returning request_id`,
);

export interface EnrollmentDecision {
  state: 'approved' | 'rejected';
  by: string;
  at: Date;
  reason: string | null;
  /** Then it is forgotten. */
  expiresAt: Date;
}

/** False where it is decided already. */
export async function decideEnrollment(
  query: Database['query'],
  requestId: string,
  { state, by, at, reason, expiresAt }: EnrollmentDecision,
): Promise<boolean> {
  return (await query(decide, [requestId, state, by, at, reason, expiresAt])).length > 0;
}

const enrolledWith = statement(
  'enrollment_of_key',
  `select a.incarnation, a.site from agent_keys k join agents a using (agent_id, incarnation)
   where k.key_id = $1 and k.agent_id = $2`,
);

/** The newest enrolment of the identity, if it was with this key. */
export async function findEnrollmentOfKey(
  query: Database['query'],
  keyId: string,
  agentId: string,
): Promise<{ incarnation: number; site: string } | undefined> {
  const [row] = await query<{ incarnation: number; site: string }>(enrolledWith, [keyId, agentId]);
  return row;
}
