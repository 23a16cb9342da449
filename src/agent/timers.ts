/** Waiting as the agent may do it; tests put their own in its place, and no code here calls setTimeout. */
export interface Timers {
  /** Runs once after the given milliseconds; the function that comes back takes it off again. */
  after(ms: number, run: () => void): () => void;
}

/** The longest wait that Node's timers take; a longer one would fire at once. */
const longestMs = 2 ** 31 - 1;

export const systemTimers: Timers = {
  after(ms, run) {
    const timer = setTimeout(run, Math.min(ms, longestMs));
    return () => clearTimeout(timer);
  },
};
