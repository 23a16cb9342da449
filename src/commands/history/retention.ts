import { ViworksError } from '../../errors.ts';
import type { Clock } from '../../lib/clock.ts';
import { firstIdAt } from '../../lib/ids.ts';
import type { Logger } from '../../lib/logger.ts';
import type { Metrics } from '../../lib/metrics.ts';
import { deleteOldCommands } from '../../storage/command-statistics.ts';
import type { Database } from '../../storage/database.ts';

/** Retention forgets commands that ended long ago, a few at a time, so that nobody waits for it. */
export interface Retention {
  start(): void;
  /** Looks once now; answers with how many commands were deleted. */
  clean(): Promise<number>;
  stop(): Promise<void>;
}

export interface RetentionDeps {
  database: Database;
  clock: Clock;
  log: Logger;
  metrics: Pick<Metrics, 'commandsDeleted'>;
  /** Milliseconds that a command is kept after it was submitted; 0 keeps it for ever. */
  keepMs: number;
}

const intervalMs = 60_000;
const commandsAtOnce = 200;
/** In one look; what is left waits for the next. */
const batchesAtOnce = 200;

export function createRetention({ database, clock, log, metrics, keepMs }: RetentionDeps): Retention {
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<unknown> | undefined;
  let stopped = false;

  async function clean(): Promise<number> {
    if (keepMs === 0) return 0;
    const before = firstIdAt(clock.now() - keepMs);
    let count = 0;
    for (let batch = 0; batch < batchesAtOnce && !stopped; batch++) {
      const deleted = await deleteOldCommands(database.query, before, commandsAtOnce);
      count += deleted;
      if (deleted > 0) metrics.commandsDeleted.inc(deleted);
      if (deleted < commandsAtOnce) break;
    }
    if (count > 0) log.info({ count }, 'commands were kept for as long as they had to be, and are deleted');
    return count;
  }

  function tick(): void {
    running ??= clean()
      .catch((error: unknown) =>
        log.warn({ err: ViworksError.from(error) }, 'cannot delete old commands now'),
      )
      .finally(() => {
        running = undefined;
      });
  }

  return {
    clean,
    start() {
      timer ??= setInterval(tick, intervalMs);
    },
    async stop() {
      stopped = true;
      clearInterval(timer);
      await running;
    },
  };
}
