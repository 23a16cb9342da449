import { createTicker, type Ticker } from './ticker.ts';

/** Forgets what need not be kept any more, a few at a time, so that nobody waits for it. */
export interface Cleaner extends Ticker {
  /** Looks once, after a look that is under way; answers with how much was deleted. */
  clean(): Promise<number>;
}

export interface CleanerOptions {
  intervalMs: number;
  /** How often it deletes some in one look; what is left waits for the next. */
  batchesAtOnce: number;
  /** Deletes some; `more` where there may be more at once. */
  cleanSome(): Promise<{ count: number; more: boolean }>;
  /** After a look that deleted something. */
  cleaned(count: number): void;
  /** What a look threw; there is another one at the next tick. */
  failed(error: unknown): void;
}

export function createCleaner(options: CleanerOptions): Cleaner {
  let stopped = false;

  async function look(): Promise<number> {
    let total = 0;
    for (let batch = 0; batch < options.batchesAtOnce && !stopped; batch++) {
      const { count, more } = await options.cleanSome();
      total += count;
      if (!more) break;
    }
    if (total > 0) options.cleaned(total);
    return total;
  }

  let last: Promise<unknown> = Promise.resolve();
  function clean(): Promise<number> {
    const own = last.catch(() => {}).then(look);
    last = own;
    return own;
  }

  const ticker = createTicker({ intervalMs: options.intervalMs, work: clean, failed: options.failed });

  return {
    clean,
    start: ticker.start,
    stop() {
      stopped = true;
      return ticker.stop();
    },
  };
}
