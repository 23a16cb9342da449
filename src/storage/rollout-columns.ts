/** How a rollout and its executions are read, as pieces of SQL that several statements share. */

/** An agent said that it had it: what ended afterwards was delivered. */
const reached = `(e.finished_at is not null or e.started_at is not null or e.failure_code is not null
  or e.transitions @> '[{"state": "accepted"}]' or e.transitions @> '[{"state": "running"}]')`;

/** The end tells by itself only for some states whether the agent had it. */
const either = `e.state in ('cancelled', 'outcome_unknown')`;

const ended = `e.state in ('succeeded', 'failed', 'timed_out', 'cancelled', 'expired', 'outcome_unknown')`;

const count = (condition: string) => `(count(*) filter (where ${condition}))::int`;

/** Counts over executions e, each of which is in exactly one. @param released the SQL for how many were let go */
const rolloutCounts = (released: string) => ({
  succeeded: count(`e.state = 'succeeded'`),
  failed: count(`e.state in ('failed', 'timed_out') or case when ${either} then ${reached} end`),
  undelivered: count(`e.state = 'expired' or case when ${either} then not ${reached} end`),
  inFlight: count(`not ${ended} and e.position < ${released}`),
  waiting: count(`not ${ended} and e.position >= ${released}`),
});

/** Besides the counts, what decides how a rollout goes on. @param canary the SQL for the size of the canary */
export const rolloutProgress = (released: string, canary: string) => ({
  ...rolloutCounts(released),
  total: 'coalesce(max(e.position) + 1, 0)::int',
  returned: count(`e.state = 'held' and e.hold = 'rollout' and e.position < ${released}`),
  canaryFailed: count(`${ended} and e.state <> 'succeeded' and e.position < ${canary}`),
  awaitsApproval: `coalesce(bool_or(e.state = 'held' and e.hold = 'approval'), false)`,
});

const pairs = (columns: Record<string, string>) =>
  Object.entries(columns)
    .map(([name, expression]) => `'${name}', ${expression}`)
    .join(', ');

/** The rollout of a command as one JSON value, null where it has none. @param commandId the SQL for the command */
export const rolloutOf = (commandId: string) => `(
  select jsonb_build_object('plan', ro.plan, 'state', ro.state, 'reason', ro.reason, 'released', ro.released,
    'updatedAt', ro.updated_at, 'counts', (
      select jsonb_build_object(${pairs(rolloutCounts('ro.released'))})
      from executions e where e.command_id = ro.command_id))
  from rollouts ro where ro.command_id = ${commandId})`;

/** A rollout as `rolloutOf` reads it. */
export interface StoredRollout {
  plan: unknown;
  state: string;
  reason: string | null;
  released: number;
  /** ISO 8601. */
  updatedAt: string;
  counts: { succeeded: number; failed: number; undelivered: number; inFlight: number; waiting: number };
}
