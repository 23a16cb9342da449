import { type Database, statement } from './database.ts';

/** What counts no more and was kept for those who look back. Each statement deletes some and answers with how many. */

type Query = Database['query'];

const sessions = statement(
  'sessions_forget',
  `delete from sessions where session_id in (
     select session_id from sessions where session_id < $1 and ended_at is not null order by session_id limit $2)
   returning session_id`,
);

/** Those that began before an id was made, and have ended. */
export const forgetSessions = async (query: Query, beforeId: string, limit: number): Promise<number> =>
  (await query(sessions, [beforeId, limit])).length;

const enrollmentTokens = statement(
  'enrollment_tokens_forget',
  `delete from enrollment_tokens where token_hash in (
     select token_hash from enrollment_tokens where expires_at < $1 limit $2)
   returning token_id`,
);

const serviceTokens = statement(
  'service_tokens_forget',
  `delete from service_tokens where token_id in (
     select token_id from service_tokens where least(expires_at, revoked_at) < $1 limit $2)
   returning token_id`,
);

/** Those that expired or were revoked before then. */
export const forgetTokens = async (query: Query, before: Date, limit: number): Promise<number> => {
  const enrolled = await query(enrollmentTokens, [before, limit]);
  const called = await query(serviceTokens, [before, limit]);
  return enrolled.length + called.length;
};
