import { type CallLimits, createCallLimits } from '../api/limits.ts';
import { createMemoryRates, type RateCounter } from '../bus/rates.ts';
import { createRedisRates } from '../bus/redis-rates.ts';
import type { Config } from '../config/schema.ts';
import type { Logger } from '../lib/logger.ts';
import type { Resources } from '../lib/resources.ts';

/** How much one client may ask: counted in Redis where there is one, for all instances; in this process otherwise. */
export function callLimitsOf(
  { security, server, redis }: Config,
  { add }: Pick<Resources, 'add'>,
  log: Logger,
): CallLimits {
  const { rate_limit_window: windowSeconds } = security;
  const shared = redis.url === undefined ? undefined : createRedisRates({ url: redis.url, log });
  if (shared !== undefined) add('rates in Redis', async () => shared.close());
  const counter = (name: string): RateCounter =>
    shared?.counter(name, { windowSeconds }) ?? createMemoryRates({ windowSeconds });
  return createCallLimits({
    calls: counter('calls'),
    failures: counter('failures'),
    settings: {
      windowSeconds,
      callsPerWindow: security.rate_limit_requests,
      failuresPerWindow: security.rate_limit_failures,
      streams: security.rate_limit_streams,
      local: security.rate_limit_local ?? server.mode === 'production',
    },
  });
}
