import type { Timers } from '../../src/agent/timers.ts';
import type { Clock } from '../../src/lib/clock.ts';

/** Time that only moves when a test says so. */
export interface FakeTime {
  clock: Clock;
  timers: Timers;
  /** Moves on, and runs what is due on the way in order. */
  advance(ms: number): void;
  /** The waits that are under way, in milliseconds from now, shortest first. */
  waits(): number[];
}

export function createFakeTime(start = Date.UTC(2026, 0, 1)): FakeTime {
  let elapsed = 0;
  let pending: { due: number; run: () => void }[] = [];
  return {
    clock: { now: () => start + elapsed, monotonic: () => elapsed },
    timers: {
      after(ms, run) {
        const timer = { due: elapsed + ms, run };
        pending.push(timer);
        return () => {
          pending = pending.filter((other) => other !== timer);
        };
      },
    },
    advance(ms) {
      const end = elapsed + ms;
      for (;;) {
        const next = pending.filter(({ due }) => due <= end).sort((a, b) => a.due - b.due)[0];
        if (next === undefined) break;
        pending = pending.filter((other) => other !== next);
        elapsed = next.due;
        next.run();
      }
      elapsed = end;
    },
    waits: () => pending.map(({ due }) => due - elapsed).sort((a, b) => a - b),
  };
}
