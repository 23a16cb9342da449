import { ViworksError } from '../errors.ts';
import { backoffDelay } from '../lib/backoff.ts';
import type { Logger } from '../lib/logger.ts';
import type { Database } from './database.ts';
import { instanceLock } from './locks.ts';

/**
 * One instance at a time uses a database: presence, dispatch and wakes live in its process. The lock is held
 * by a connection; when that breaks, as with every restart of the database, it is taken again.
 */
export interface InstanceLock {
  release(): void;
}

export interface InstanceLockDeps {
  database: Database;
  log: Logger;
  /** Another instance took the lock while the connection was away. */
  onTaken(error: ViworksError): void;
}

/** @throws database_in_use, database_unavailable */
export async function holdInstanceLock({ database, log, onTaken }: InstanceLockDeps): Promise<InstanceLock> {
  let released = false;
  let timer: NodeJS.Timeout | undefined;

  function takeAgain(attempt: number): void {
    if (released) return;
    const delay = backoffDelay({ baseMs: 100, maximumMs: 5000 }, attempt, 0.5 + Math.random() / 2);
    timer = setTimeout(async () => {
      try {
        if (await database.tryHoldLock(instanceLock, () => takeAgain(0)))
          log.info('the instance lock is held again');
        else if (attempt < 10) takeAgain(attempt + 1);
        else onTaken(inUse());
      } catch {
        takeAgain(attempt + 1);
      }
    }, delay);
  }

  if (!(await database.tryHoldLock(instanceLock, () => takeAgain(0)))) throw inUse();
  return {
    release() {
      released = true;
      clearTimeout(timer);
    },
  };
}

const inUse = () =>
  new ViworksError(
    'database_in_use',
    'DATABASE_URL: another control plane uses this database; this version runs as one instance.',
  );
