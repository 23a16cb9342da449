/**
 * The waits of one loop. Nothing is left of a wait that is over, however many there are: a race against a promise
 * that lives as long as the loop leaves something with that promise each time.
 */
export interface Waits {
  /** Ends a wait until woken, the next one where none is under way. */
  wake(): void;
  /** Forgets that it was woken: whoever is about to look. */
  lower(): void;
  /** Resolves after so many milliseconds, and at the end. One waits at a time. */
  pass(ms: number): Promise<void>;
  /** The same, and when it was woken since `lower`. Without milliseconds time alone does not end it. */
  untilWoken(ms?: number): Promise<void>;
  /** Ends the wait that is under way, and there are no more. */
  end(): void;
}

export function createWaits(): Waits {
  let woken = false;
  let ended = false;
  let current: { over(): void; untilWoken: boolean } | undefined;

  function wait(ms: number | undefined, untilWoken: boolean): Promise<void> {
    if (ended || (untilWoken && woken)) return Promise.resolve();
    return new Promise((resolve) => {
      const over = () => {
        clearTimeout(timer);
        current = undefined;
        resolve();
      };
      const timer = ms === undefined ? undefined : setTimeout(over, ms);
      current = { over, untilWoken };
    });
  }

  return {
    wake() {
      woken = true;
      if (current?.untilWoken) current.over();
    },
    lower() {
      woken = false;
    },
    pass: (ms) => wait(ms, false),
    untilWoken: (ms) => wait(ms, true),
    end() {
      ended = true;
      current?.over();
    },
  };
}
