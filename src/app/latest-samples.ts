import { createRedisNewest } from '../bus/redis-newest.ts';
import { createSharedLatest } from '../telemetry/latest-shared.ts';
import type { TelemetryDeps } from '../telemetry/telemetry.ts';
import type { Foundation } from './foundation.ts';
import { telemetrySettingsOf } from './telemetry-settings.ts';

/** Where the newest samples are: in Redis where there is one, for all instances; in this process otherwise. */
export function latestSamplesOf({
  config,
  log,
  resources,
}: Pick<Foundation, 'config' | 'log' | 'resources'>): TelemetryDeps['latest'] {
  const { url } = config.redis;
  if (url === undefined) return undefined;
  const { keepMs } = telemetrySettingsOf(config.telemetry);
  return (stored) => {
    const shared = createRedisNewest({ url, kind: 'samples', keepMs });
    resources.add('newest samples in Redis', () => shared.close());
    return createSharedLatest({ shared, stored, log });
  };
}
