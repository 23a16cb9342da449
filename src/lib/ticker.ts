/** Work that is done again after each interval, and never twice at once. */
export interface Ticker {
  start(): void;
  /** Resolves when nothing is under way, and nothing more begins. */
  stop(): Promise<void>;
}

export interface TickerOptions {
  intervalMs: number;
  work(): Promise<unknown>;
  /** What the work threw; it is done again at the next tick all the same. */
  failed(error: unknown): void;
}

export function createTicker({ intervalMs, work, failed }: TickerOptions): Ticker {
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> | undefined;

  async function once(): Promise<void> {
    try {
      await work();
    } catch (error) {
      failed(error);
    }
    running = undefined;
  }

  function tick(): void {
    running ??= once();
  }

  return {
    start() {
      timer ??= setInterval(tick, intervalMs);
    },
    async stop() {
      clearInterval(timer);
      timer = undefined;
      await running;
    },
  };
}
