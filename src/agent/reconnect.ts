import type { ViworksError } from '../errors.ts';
import { type BackoffPolicy, backoffDelay } from '../lib/backoff.ts';

/** How a session, or the attempt to get one, ended. */
export interface SessionEnd {
  /** Undefined: in order. */
  error: ViworksError | undefined;
  /** Set where the server is going away: connect again after this many milliseconds. */
  drainMs: number | undefined;
  /** Milliseconds for which the session was open; 0 if it never was. */
  openForMs: number;
}

export interface ReconnectPlan {
  delayMs: number;
  /** Failures in a row, for the next plan. */
  attempt: number;
}

/** Used until a WELCOME names the server's own. */
export const defaultReconnect: BackoffPolicy = { baseMs: 1_000, maximumMs: 60_000 };

/** A session that was open for this long was a good one: the next failure is the first again. */
const goodSessionMs = 30_000;

/**
 * When to connect again. What cannot succeed by being repeated is repeated all the same, at the slowest pace:
 * a control plane that comes back from a backup, or a machine that was copied and put right, must not leave
 * agents that nobody can reach.
 * @param random in [0, 1)
 */
export function planReconnect(
  end: SessionEnd,
  attempt: number,
  policy: BackoffPolicy,
  random: number = Math.random(),
): ReconnectPlan {
  if (end.drainMs !== undefined) return { delayMs: end.drainMs, attempt: 0 };
  if (end.error !== undefined && !end.error.retryable) {
    const slow = Math.round(policy.maximumMs * (0.5 + random / 2));
    return { delayMs: Math.max(slow, end.error.retryAfterMs ?? 0), attempt: attempt + 1 };
  }
  const failures = end.openForMs >= goodSessionMs ? 0 : attempt;
  const delay = backoffDelay(policy, failures, random);
  return { delayMs: Math.max(delay, end.error?.retryAfterMs ?? 0), attempt: failures + 1 };
}
