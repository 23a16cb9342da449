import type { AuditTrail } from '../../audit/trail.ts';
import { ViworksError } from '../../errors.ts';
import type { Clock } from '../../lib/clock.ts';
import { firstIdAt } from '../../lib/ids.ts';
import type { Logger } from '../../lib/logger.ts';
import type { Metrics } from '../../lib/metrics.ts';
import { createTicker, type Ticker } from '../../lib/ticker.ts';
import type { Database } from '../../storage/database.ts';
import { deleteOldCommands } from '../../storage/retention.ts';

/** Retention forgets commands that ended long ago, a few at a time, so that nobody waits for it. */
export interface Retention extends Ticker {
  /** Looks once now; answers with how many commands were deleted. */
  clean(): Promise<number>;
}

export interface RetentionDeps {
  database: Database;
  clock: Clock;
  log: Logger;
  metrics: Pick<Metrics, 'commandsDeleted'>;
  audit: Pick<AuditTrail, 'append'>;
  /** Milliseconds that a command is kept after it was submitted; 0 keeps it for ever. */
  keepMs: number;
}

const intervalMs = 60_000;
const commandsAtOnce = 200;
/** In one look; what is left waits for the next. */
const batchesAtOnce = 200;

export function createRetention({ database, clock, log, metrics, audit, keepMs }: RetentionDeps): Retention {
  let stopped = false;

  async function cleanSome(query: Database['query'], before: string): Promise<number> {
    const deleted = await deleteOldCommands(query, before, commandsAtOnce);
    if (deleted > 0) {
      await audit.append(query, {
        actor: 'system:retention',
        action: 'commands.retention',
        outcome: 'done',
        details: () => ({ deleted, submittedBefore: new Date(clock.now() - keepMs) }),
      });
    }
    return deleted;
  }

  async function clean(): Promise<number> {
    if (keepMs === 0) return 0;
    const before = firstIdAt(clock.now() - keepMs);
    let count = 0;
    for (let batch = 0; batch < batchesAtOnce && !stopped; batch++) {
      const deleted = await database.transaction((query) => cleanSome(query, before));
      count += deleted;
      if (deleted > 0) metrics.commandsDeleted.inc(deleted);
      if (deleted < commandsAtOnce) break;
    }
    if (count > 0) log.info({ count }, 'commands were kept for as long as they had to be, and are deleted');
    return count;
  }

  const ticker = createTicker({
    intervalMs,
    work: clean,
    failed: (error) => log.warn({ err: ViworksError.from(error) }, 'cannot delete old commands now'),
  });

  return {
    clean,
    start: ticker.start,
    stop() {
      stopped = true;
      return ticker.stop();
    },
  };
}
