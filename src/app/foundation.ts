import type { AuditTrail } from '../audit/trail.ts';
import type { Bus } from '../bus/bus.ts';
import type { Config } from '../config/schema.ts';
import type { Secrets } from '../identity/secrets.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/logger.ts';
import type { Metrics } from '../lib/metrics.ts';
import type { Resources } from '../lib/resources.ts';
import type { Database } from '../storage/database.ts';

/** What every part of the composition stands on. */
export interface Foundation {
  config: Config;
  clock: Clock;
  log: Logger;
  metrics: Metrics;
  bus: Bus;
  database: Database;
  trail: AuditTrail;
  secrets: Secrets;
  resources: Resources;
}
