/** Tells readers that there may be something new; each remembers it until it looked. */
export interface Bell {
  ring(): void;
  /** Hears each ring, and the end of the signal, until it is closed. */
  listen(signal: AbortSignal): Ear;
}

export interface Ear {
  /** Forgets what it heard: whoever is about to look. */
  lower(): void;
  /** Resolves at the next ring, at once where there was one since `lower`, and when the signal has ended. */
  heard(): Promise<void>;
  close(): void;
}

export function createBell(): Bell {
  const ears = new Set<() => void>();
  return {
    ring() {
      for (const raise of ears) raise();
    },
    listen(signal) {
      let raised = false;
      let wake: (() => void) | undefined;
      const raise = () => {
        raised = true;
        wake?.();
      };
      ears.add(raise);
      signal.addEventListener('abort', raise);
      return {
        lower() {
          raised = false;
        },
        async heard() {
          if (!raised && !signal.aborted) {
            await new Promise<void>((resolve) => {
              wake = resolve;
            });
          }
          wake = undefined;
        },
        close() {
          ears.delete(raise);
          signal.removeEventListener('abort', raise);
        },
      };
    },
  };
}

/** Resolves after so many milliseconds, and when the signal ends. */
export function passed(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done);
  });
}

/** Lets a few through at once, and whatever else the process has to do between them. */
export function createTurnstile(atOnce: number): () => Promise<void> {
  let waiting: (() => void)[] = [];
  function open(): void {
    const [first, rest] = [waiting.slice(0, atOnce), waiting.slice(atOnce)];
    waiting = rest;
    for (const pass of first) pass();
    if (waiting.length > 0) setImmediate(open);
  }
  return () =>
    new Promise((pass) => {
      if (waiting.length === 0) setImmediate(open);
      waiting.push(pass);
    });
}
