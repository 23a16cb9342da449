import { ViworksError } from '../errors.ts';
import { type Cleaner, createCleaner } from '../lib/cleaner.ts';
import type { Clock } from '../lib/clock.ts';
import { firstIdAt } from '../lib/ids.ts';
import type { Logger } from '../lib/logger.ts';
import type { Database } from '../storage/database.ts';
import { forgetSessions, forgetTokens } from '../storage/forgetting.ts';

export interface ForgettingDeps {
  database: Pick<Database, 'query'>;
  clock: Pick<Clock, 'now'>;
  log: Logger;
}

/** Milliseconds for which sessions that ended, and tokens that count no more, are kept for those who look back. */
const keepMs = 30 * 86_400_000;
const intervalMs = 60_000;
const rowsAtOnce = 500;
/** In one look; what is left waits for the next. */
const batchesAtOnce = 100;

/** What would grow for ever is forgotten; commands and the audit log have times of their own. */
export function createForgetting({ database: { query }, clock, log }: ForgettingDeps): Cleaner {
  return createCleaner({
    intervalMs,
    batchesAtOnce,
    async cleanSome() {
      const before = clock.now() - keepMs;
      const sessions = await forgetSessions(query, firstIdAt(before), rowsAtOnce);
      const tokens = await forgetTokens(query, new Date(before), rowsAtOnce);
      return { count: sessions + tokens, more: Math.max(sessions, tokens) >= rowsAtOnce };
    },
    cleaned: (count) => log.info({ count }, 'sessions and tokens of long ago are forgotten'),
    failed: (error) =>
      log.warn({ err: ViworksError.from(error) }, 'cannot forget sessions and tokens of long ago now'),
  });
}
