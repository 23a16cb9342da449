import { ViworksError } from '../errors.ts';
import { backoffDelay } from '../lib/backoff.ts';
import type { Logger } from '../lib/logger.ts';
import type { Mirror } from './mirror.ts';

/**
 * Keeps a mirror true while somebody looks into it: read as a whole first and now and then, because what is told of
 * changes may be lost, and in part when something is said to have changed. While nobody looks, nothing is read.
 */
export interface Tended {
  /**
   * Resolves when the mirror shows how things are, and keeps it so until the returned function is called.
   * @throws database_unavailable
   */
  open(): Promise<() => void>;
  /** Something is not as it was: it is read again. */
  heard(key: string): void;
  /** It is known how something is: what is being read does not count for it. */
  told(key: string): void;
  /** Resolves when nothing is under way. */
  stop(): Promise<void>;
  /** Keys of which something is remembered. */
  readonly size: number;
}

export interface TendedDeps<T> {
  mirror: Pick<Mirror<T>, 'put' | 'values'>;
  keyOf(item: T): string;
  /** All of them, or those of the keys that there are. */
  read(keys?: readonly string[]): Promise<readonly T[]>;
  /** The mirror may have changed. */
  changed(): void;
  log: Logger;
  what: string;
  /** Milliseconds between two readings of all. */
  everyMs: number;
}

const keysAtOnce = 1000;
/** Keys that wait, from which on all are read. */
const maximumStale = 10_000;

export function createTended<T>(deps: TendedDeps<T>): Tended {
  const { mirror, keyOf, read, changed, log, what, everyMs } = deps;
  /** Keys to be read again. */
  const stale = new Set<string>();
  /** Keys of which something was told while they were read. */
  const told = new Set<string>();
  let whole = true;
  /** The mirror shows how things are, but for what is stale. */
  let fresh = false;
  /** Counts the times that nobody looked any more. */
  let pauses = 0;
  let users = 0;
  let stopped = false;
  let reading: Promise<void> | undefined;
  let tending: Promise<void> | undefined;
  let timer: NodeJS.Timeout | undefined;
  let endPause = () => {};

  async function readAll(): Promise<void> {
    const before = pauses;
    whole = false;
    stale.clear();
    const missing = new Set(Array.from(mirror.values(), keyOf));
    for (const item of await read()) {
      const key = keyOf(item);
      missing.delete(key);
      if (!told.has(key)) mirror.put(key, item);
    }
    for (const key of missing) if (!told.has(key)) mirror.put(key, undefined);
    fresh = pauses === before;
  }

  async function readStale(): Promise<void> {
    const keys = [...stale].slice(0, keysAtOnce);
    for (const key of keys) stale.delete(key);
    const found = new Map((await read(keys)).map((item) => [keyOf(item), item]));
    for (const key of keys) if (!told.has(key)) mirror.put(key, found.get(key));
  }

  /** One at a time, so that what is older never comes after what is newer. */
  function readSome(): Promise<void> {
    reading ??= (whole || stale.size > maximumStale ? readAll() : readStale())
      .catch((error: unknown) => {
        whole = true;
        throw error;
      })
      .finally(() => {
        reading = undefined;
        told.clear();
        changed();
      });
    return reading;
  }

  async function tend(): Promise<void> {
    let failures = 0;
    while (users > 0 && !stopped && (whole || stale.size > 0)) {
      try {
        await readSome();
        failures = 0;
      } catch (error) {
        log.warn({ err: ViworksError.from(error), what }, 'cannot be read for live streams now');
        await pause(backoffDelay({ baseMs: 200, maximumMs: 5000 }, failures++));
      }
    }
  }

  function pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const waiting = setTimeout(resolve, ms);
      endPause = () => {
        clearTimeout(waiting);
        resolve();
      };
    });
  }

  function wake(): void {
    if (users === 0 || stopped) return;
    tending ??= tend().finally(() => {
      tending = undefined;
    });
  }

  function release(): void {
    users -= 1;
    if (users > 0) return;
    clearInterval(timer);
    endPause();
    // What happens from now on is not heard of.
    pauses += 1;
    fresh = false;
    whole = true;
  }

  return {
    async open() {
      users += 1;
      if (users === 1) {
        timer = setInterval(() => {
          whole = true;
          wake();
        }, everyMs);
      }
      try {
        while (!fresh && !stopped) await readSome();
      } catch (error) {
        release();
        throw error;
      }
      let released = false;
      return () => {
        if (!released) release();
        released = true;
      };
    },
    heard(key) {
      if (users === 0) return;
      stale.add(key);
      wake();
    },
    told(key) {
      // What is read later is newer than this.
      if (reading !== undefined) told.add(key);
    },
    async stop() {
      stopped = true;
      clearInterval(timer);
      endPause();
      await tending;
      await reading?.catch(() => {});
    },
    get size() {
      return stale.size + told.size;
    },
  };
}
