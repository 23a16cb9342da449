import { ViworksError } from '../errors.ts';
import type { Clock } from '../lib/clock.ts';

/**
 * The nonces of challenges that wait for their proof. Each is good once and until its time is over. The cache never
 * forgets one that is good: when it is full it refuses further ones.
 */
export interface NonceCache {
  /** @throws unavailable where there is no room, or nobody can tell */
  issue(nonce: Uint8Array, lifetimeMs: number): Promise<void>;
  /** True exactly once for each that is good. @throws unavailable where nobody can tell */
  consume(nonce: Uint8Array): Promise<boolean>;
}

export const nonceName = (nonce: Uint8Array): string => Buffer.from(nonce).toString('base64url');

export const noncesFull = (capacity: number) =>
  new ViworksError(
    'unavailable',
    `${capacity} challenges wait for their proof at this moment; there is no room for more.`,
    {
      retryAfterMs: 1000,
    },
  );

export interface NonceCacheOptions {
  /** Nonces that wait at once. */
  capacity: number;
}

export const nonceCapacity = 100_000;

/** The cache of one instance: in this process alone. */
export function createMemoryNonceCache(
  { capacity }: NonceCacheOptions,
  clock: Pick<Clock, 'monotonic'>,
): NonceCache {
  /** When each is over. */
  const waiting = new Map<string, number>();

  /** In the order of their issue, which is the order of their ends as long as all have the same lifetime. */
  function forgetOld(now: number): void {
    for (const [name, until] of waiting) {
      if (until >= now) return;
      waiting.delete(name);
    }
  }

  return {
    async issue(nonce, lifetimeMs) {
      const now = clock.monotonic();
      forgetOld(now);
      if (waiting.size >= capacity) throw noncesFull(capacity);
      waiting.set(nonceName(nonce), now + lifetimeMs);
    },
    async consume(nonce) {
      const name = nonceName(nonce);
      const until = waiting.get(name);
      waiting.delete(name);
      return until !== undefined && until >= clock.monotonic();
    },
  };
}
