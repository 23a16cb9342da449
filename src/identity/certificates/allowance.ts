/** How many certificates one agent gets in a row, over all the ways in which it may ask. */
export interface Allowance {
  /**
   * Takes one.
   * @param now milliseconds of the monotonic clock
   * @returns milliseconds until there is one; 0: it is taken
   */
  take(name: string, now: number): number;
}

export interface AllowanceLimits {
  atOnce: number;
  /** Milliseconds until one more is granted. */
  refillMs: number;
  /** Names that are remembered; the one that took longest ago makes room. */
  maximumNames: number;
}

export function createAllowance({ atOnce, refillMs, maximumNames }: AllowanceLimits): Allowance {
  /** When all that was taken is granted again; those that took longest ago come first. */
  const grantedAt = new Map<string, number>();
  return {
    take(name, now) {
      const next = Math.max(grantedAt.get(name) ?? now, now) + refillMs;
      const waitMs = next - now - atOnce * refillMs;
      if (waitMs > 0) return waitMs;
      const [oldest] = grantedAt.keys();
      grantedAt.delete(name);
      if (grantedAt.size >= maximumNames && oldest !== undefined) grantedAt.delete(oldest);
      grantedAt.set(name, next);
      return 0;
    },
  };
}
