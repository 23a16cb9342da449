/** Time as the code may see it; tests put their own in its place. */
export interface Clock {
  /** Milliseconds since 1970. May jump. */
  now(): number;
  /** Milliseconds since an arbitrary start. Never goes back. */
  monotonic(): number;
}

/** Milliseconds since 1970 that JavaScript still takes for a date. */
export const lastMoment = 8.64e15;

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
};
