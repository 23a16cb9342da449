import { createMemoryNonceCache, type NonceCache, nonceCapacity } from '../bus/nonces.ts';
import { createRedisNonceCache } from '../bus/redis-nonces.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/logger.ts';
import type { Resources } from '../lib/resources.ts';

/**
 * Where challenges wait for their proof: in Redis where there is one, for all instances; in this process otherwise.
 * Each use has a cache of its own, so that whoever fills the one leaves the other free: a challenge for a certificate
 * costs its caller no connection.
 */
export function nonceCachesOf(
  url: string | undefined,
  { add }: Pick<Resources, 'add'>,
  clock: Clock,
  log: Logger,
): (use: 'handshakes' | 'renewals') => NonceCache {
  const capacity = nonceCapacity;
  return (use) => {
    if (url === undefined) return createMemoryNonceCache({ capacity }, clock);
    const cache = createRedisNonceCache({ url, capacity, log, prefix: `${use}:` });
    add(`nonces of ${use} in Redis`, async () => cache.close());
    return cache;
  };
}
