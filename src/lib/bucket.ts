/** A token bucket as one number: the time at which all that was taken is earned again. */
export interface Bucket {
  earnedAt: number;
}

/** One from which nothing was taken. */
export const newBucket = (): Bucket => ({ earnedAt: Number.NEGATIVE_INFINITY });

/** Milliseconds whose earnings may be spent at once. */
export const burstMs = 500;

/** Milliseconds until the bucket is no longer in debt; 0 or less: it is not. */
export const debtMs = (bucket: Bucket, now: number): number => Math.max(bucket.earnedAt, now - burstMs) - now;

/**
 * Takes what costs so many milliseconds of earnings.
 * @returns its debt then, as `debtMs`
 */
export function take(bucket: Bucket, now: number, costMs: number): number {
  bucket.earnedAt = Math.max(bucket.earnedAt, now - burstMs) + costMs;
  return bucket.earnedAt - now;
}
