/**
 * A closed loop: so many commands under way at once, and a new one for each that has ended. An end is a
 * result that the agent knows to be committed, because the control plane acknowledged it.
 */
export interface Load {
  start(): Promise<void>;
  /**
   * Submits nothing more; resolves when nothing is under way, with the number of commands that were submitted.
   * @throws the first failure of a submit
   */
  stop(): Promise<number>;
}

export interface LoopOptions {
  agents: readonly string[];
  outstanding: number;
  submit(agentId: string): Promise<unknown>;
}

export interface Loop extends Load {
  /** So many more results are committed. */
  settled(count: number): void;
}

export function createLoop({ agents, outstanding, submit }: LoopOptions): Loop {
  let running = false;
  let underWay = 0;
  let submitted = 0;
  let drained = Promise.withResolvers<void>();

  function pump(): void {
    while (running && underWay < outstanding) {
      underWay += 1;
      const agentId = agents[submitted++ % agents.length] ?? '';
      submit(agentId).catch((error: unknown) => {
        running = false;
        drained.reject(error);
      });
    }
    if (!running && underWay === 0) drained.resolve();
  }
  return {
    async start() {
      drained = Promise.withResolvers<void>();
      // A failure is told by stop().
      drained.promise.catch(() => {});
      running = true;
      pump();
    },
    settled(count) {
      underWay -= count;
      pump();
    },
    async stop() {
      running = false;
      pump();
      await drained.promise;
      return submitted;
    },
  };
}

/** So many in a second, whatever becomes of them. */
export function createPace(perSecond: number, submit: (index: number) => Promise<unknown>): Load {
  let timer: NodeJS.Timeout | undefined;
  let submitted = 0;
  let failed: { error: unknown } | undefined;
  const waiting = new Set<Promise<unknown>>();
  return {
    async start() {
      const begun = performance.now();
      timer = setInterval(() => {
        const due = Math.floor(((performance.now() - begun) * perSecond) / 1000);
        for (; submitted < due; submitted++) {
          const one = submit(submitted)
            .catch((error: unknown) => {
              failed = { error };
            })
            .finally(() => waiting.delete(one));
          waiting.add(one);
        }
      }, 1);
    },
    async stop() {
      clearInterval(timer);
      await Promise.all(waiting);
      if (failed !== undefined) throw failed.error;
      return submitted;
    },
  };
}
