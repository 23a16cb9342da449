import { ViworksError } from '../errors.ts';

/**
 * One after the other. What changes the same rows waits here; if it did so in the database,
 * each that waits would keep a connection that others may need to end.
 */
export type Turns = <T>(work: () => Promise<T>) => Promise<T>;

/** Those that may wait. */
const maximumWaiting = 200;

/** @throws unavailable from the function that it answers with, where too many wait */
export function createTurns(): Turns {
  let last: Promise<unknown> = Promise.resolve();
  let waiting = 0;
  return async (work) => {
    if (waiting >= maximumWaiting) {
      throw new ViworksError('unavailable', 'Too many changes wait already; try again.', {
        retryAfterMs: 1000,
      });
    }
    waiting += 1;
    const mine = last.then(() => {
      waiting -= 1;
      return work();
    });
    last = mine.catch(() => {});
    return mine;
  };
}
