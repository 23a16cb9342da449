import type { AuditTrail } from '../../audit/trail.ts';
import { ViworksError } from '../../errors.ts';
import { type Cleaner, createCleaner } from '../../lib/cleaner.ts';
import type { Clock } from '../../lib/clock.ts';
import { firstIdAt } from '../../lib/ids.ts';
import type { Logger } from '../../lib/logger.ts';
import type { Metrics } from '../../lib/metrics.ts';
import type { Database } from '../../storage/database.ts';
import { deleteOldCommands } from '../../storage/retention.ts';

/** Retention forgets commands that ended long ago. */
export type Retention = Cleaner;

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

  return createCleaner({
    intervalMs,
    batchesAtOnce,
    async cleanSome() {
      if (keepMs === 0) return { count: 0, more: false };
      const before = firstIdAt(clock.now() - keepMs);
      const count = await database.transaction((query) => cleanSome(query, before));
      if (count > 0) metrics.commandsDeleted.inc(count);
      return { count, more: count === commandsAtOnce };
    },
    cleaned: (count) =>
      log.info({ count }, 'commands were kept for as long as they had to be, and are deleted'),
    failed: (error) => log.warn({ err: ViworksError.from(error) }, 'cannot delete old commands now'),
  });
}
