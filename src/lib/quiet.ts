/** Keeps a log readable while the same goes on: of each key once in a while. */
export interface Quiet {
  /** Whether it is time to say it. @param now milliseconds */
  says(key: string, now: number): boolean;
}

/** Keys that are remembered; when there are more, all are forgotten. */
const mostKeys = 1000;

/** @param everyMs milliseconds between two lines of one key */
export function createQuiet(everyMs: number): Quiet {
  const saidAt = new Map<string, number>();
  return {
    says(key, now) {
      const before = saidAt.get(key);
      // A clock that was set back silences nobody.
      if (before !== undefined && now >= before && now - before < everyMs) return false;
      if (saidAt.size >= mostKeys) saidAt.clear();
      saidAt.set(key, now);
      return true;
    },
  };
}
