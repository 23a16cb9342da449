export interface BackoffPolicy {
  baseMs: number;
  maximumMs: number;
}

/**
 * Full jitter: a random wait up to min(maximum, base × 2^attempt), in milliseconds.
 * @param attempt 0 for the first retry
 * @param random in [0, 1)
 */
export function backoffDelay(policy: BackoffPolicy, attempt: number, random: number = Math.random()): number {
  const ceiling = Math.min(policy.maximumMs, policy.baseMs * 2 ** Math.min(attempt, 30));
  return Math.round(ceiling * random);
}
