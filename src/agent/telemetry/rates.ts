/** Rates from counters that the kernel only ever raises. */

/** Counters by a name, and when they were read. */
export interface Reading<C> {
  /** Monotonic milliseconds. */
  at: number;
  counters: ReadonlyMap<string, C>;
}

/** Closer together than that, two readings say nothing. */
const leastMs = 10;

/**
 * How much each counter of a name grew in a second; undefined where it was not there before, or where one of them is
 * lower than it was: then it began anew, and nobody knows how much was counted in between.
 */
export function ratesOf<C extends Record<string, number>>(
  before: Reading<C> | undefined,
  after: Reading<C>,
  name: string,
): C | undefined {
  const old = before?.counters.get(name);
  const now = after.counters.get(name);
  if (before === undefined || old === undefined || now === undefined) return undefined;
  const elapsedMs = after.at - before.at;
  if (elapsedMs < leastMs) return undefined;
  const rates: Record<string, number> = {};
  for (const [key, value] of Object.entries(now)) {
    const grown = value - (old[key] ?? 0);
    if (!(grown >= 0)) return undefined;
    rates[key] = (grown * 1000) / elapsedMs;
  }
  return rates as C;
}
