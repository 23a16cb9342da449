import { crc32 } from 'node:zlib';
import { RateLimiterMemory } from 'rate-limiter-flexible';

/**
 * Counts, by name, what somebody did within a window of time, which begins with the first of it. A counter never
 * fails: what cannot be counted together is counted by this instance alone.
 */
export interface RateCounter {
  /** Adds to what is counted under the name. */
  add(name: string, amount: number): Promise<RateCount>;
  /** Adds nothing. */
  read(name: string): Promise<RateCount>;
}

export interface RateCount {
  counted: number;
  /** Milliseconds until the window is over and all is forgotten. */
  leftMs: number;
}

export interface RateCounterOptions {
  windowSeconds: number;
  /** Names that are counted one by one at the same time; further ones share their counts. */
  maximumNames?: number;
}

export const nothingCounted: RateCount = { counted: 0, leftMs: 0 };
const defaultNames = 10_000;

/** The counter of one instance: in this process alone. */
export function createMemoryRates({ windowSeconds, maximumNames }: RateCounterOptions): RateCounter {
  // Its own maximum is of no use here: names have different ones.
  const limiter = new RateLimiterMemory({ points: 0, duration: windowSeconds });
  const known = createKnownNames(windowSeconds * 1000, maximumNames ?? defaultNames);
  return {
    async add(name, amount) {
      const { consumedPoints, msBeforeNext } = await limiter.penalty(known.add(name), amount);
      return { counted: consumedPoints, leftMs: msBeforeNext };
    },
    async read(name) {
      const found = await limiter.get(known.find(name));
      return found === null
        ? nothingCounted
        : { counted: found.consumedPoints, leftMs: Math.max(found.msBeforeNext, 0) };
    },
  };
}

const sharedNames = 64;

/** Each name as it is, as long as there is room; otherwise one of a few that stand for many. */
function createKnownNames(windowMs: number, maximum: number) {
  /** When each was first seen. As all stay for as long, the oldest come first. */
  const since = new Map<string, number>();
  const find = (name: string): string =>
    since.has(name) || since.size < maximum ? name : `shared ${crc32(name) % sharedNames}`;
  return {
    find,
    add(name: string): string {
      const now = performance.now();
      for (const [oldest, at] of since) {
        if (now - at < windowMs) break;
        since.delete(oldest);
      }
      const counted = find(name);
      if (counted === name && !since.has(name)) since.set(name, now);
      return counted;
    },
  };
}
