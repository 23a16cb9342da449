import { type BackoffPolicy, backoffDelay } from '../../lib/backoff.ts';
import type { ExecutionChange } from '../../storage/execution-changes.ts';
import { transitionRow } from '../rows.ts';
import { allowedFrom, type Decision, type Effect } from './state.ts';

/**
 * Which failed attempts are followed by another one. Two things decide: what the verb's effect allows (what
 * must not happen twice is never tried again once it has begun), and whether the error is of a kind that time
 * may mend.
 */
export interface RetryBudget {
  effect: Effect;
  /** Attempts that failed and were followed by another one, so far. */
  retries: number;
  maxRetries: number;
  /** Milliseconds since 1970. */
  expiresAt: number;
}

/** The execution is held until a moment, milliseconds since 1970, and then offered again. */
export interface Retry extends Decision {
  to: 'held';
  until: number;
}

export const retryBackoff: BackoffPolicy = { baseMs: 1000, maximumMs: 60_000 };

/** Where a failed attempt may find the execution that is to be tried again. */
export const retryFrom = allowedFrom.failed.filter((state) => state !== 'outcome_unknown');

/** Failures that the same order meets again, however often it is tried. */
const permanentFailures: ReadonlySet<string> = new Set([
  'already_exists',
  'already_reported',
  'already_settled',
  'capability_missing',
  'expired',
  'invalid_args',
  'invalid_request',
  'not_executable',
  'not_found',
  'not_regular',
  'permission_denied',
  'result_invalid',
  'signature_invalid',
  'verb_unknown',
  'wrong_audience',
]);

/**
 * The wait before the next attempt, or undefined where this end is the last word.
 * @param ended what became of the attempt, and the code of its failure if it has one
 * @param random in [0, 1): the jitter
 */
export function decideRetry(
  ended: Decision & { code: string | undefined },
  budget: RetryBudget,
  now: number,
  random: number,
): Retry | undefined {
  if (ended.to !== 'failed' && ended.to !== 'timed_out' && ended.to !== 'outcome_unknown') return undefined;
  if (budget.effect === 'once' || budget.retries >= budget.maxRetries) return undefined;
  if (ended.code !== undefined && permanentFailures.has(ended.code)) return undefined;
  // At least half of the full wait, so that a retry is never at once.
  const until = now + backoffDelay(retryBackoff, budget.retries, 0.5 + random / 2);
  if (until >= budget.expiresAt) return undefined;
  const wait = ((until - now) / 1000).toFixed(1);
  const cause = `${ended.cause}; retry ${budget.retries + 1} of ${budget.maxRetries} in ${wait} s`;
  return { to: 'held', cause, until };
}

/** The change that a retry makes in place of the end of an attempt; the result of that attempt stays readable. */
export function retryChange(
  ended: ExecutionChange,
  attempt: number,
  retry: Retry,
  now: number,
): ExecutionChange {
  return {
    ...ended,
    from: ended.revision === undefined ? retryFrom : ended.from,
    transitions: [transitionRow(retry.to, retry.cause, now)],
    newAttempt: attempt + 1,
    newEpoch: null,
    hold: 'backoff',
    retry: true,
    deadlineAt: new Date(retry.until),
  };
}
