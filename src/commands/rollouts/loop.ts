import type { Bus } from '../../bus/bus.ts';
import { ViworksError } from '../../errors.ts';
import { backoffDelay } from '../../lib/backoff.ts';
import type { Logger } from '../../lib/logger.ts';
import type { Database } from '../../storage/database.ts';
import { runningRollouts, unfinishedRollouts } from '../../storage/rollouts.ts';

/**
 * The loop that moves rollouts on. It looks at one when its executions changed, and at every running one now
 * and then, because a wake may be lost.
 */
export interface RolloutLoop {
  /** Looks at the rollout now, and after each change until all its executions have ended. */
  track(commandId: string): void;
  /** Takes up what an earlier run of the service left. */
  start(): void;
  /** Resolves when no look is under way. */
  stop(): Promise<void>;
}

export interface RolloutLoopDeps {
  database: Database;
  bus: Bus;
  log: Logger;
  /** Looks once; answers whether there is more to come of it. */
  look(commandId: string): Promise<boolean>;
}

/** Milliseconds between looks at every running rollout. */
const lookAgainMs = 5000;

export function createRolloutLoop({ database, bus, log, look }: RolloutLoopDeps): RolloutLoop {
  /** Those that are not over, and how to hear no more of each. */
  const tracked = new Map<string, () => void>();
  const awake = new Set<string>();
  let running: Promise<void> | undefined;
  let finding: Promise<void> | undefined;
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;

  function wake(commandId: string): void {
    if (stopped) return;
    awake.add(commandId);
    running ??= run();
  }

  function track(commandId: string): void {
    if (stopped) return;
    if (!tracked.has(commandId)) {
      tracked.set(
        commandId,
        bus.subscribe('command.changed', commandId, () => wake(commandId)),
      );
    }
    wake(commandId);
  }

  function forget(commandId: string): void {
    // What changed while it was looked at decides anew.
    if (awake.has(commandId)) return;
    tracked.get(commandId)?.();
    tracked.delete(commandId);
  }

  async function run(): Promise<void> {
    // The wakes of one tick share a look.
    await undefined;
    let failures = 0;
    for (const commandId of awake) {
      if (stopped) break;
      awake.delete(commandId);
      const started = performance.now();
      try {
        if (!(await look(commandId))) forget(commandId);
        failures = 0;
        // A large rollout changes all the time; looking at it takes half of the time at most.
        await rest(performance.now() - started);
      } catch (error) {
        const err = ViworksError.from(error);
        log.warn({ err, commandId }, 'cannot look at a rollout now');
        if (!err.retryable) {
          // It is there no more, or there is something wrong with it; the others do not wait for it.
          forget(commandId);
          continue;
        }
        awake.add(commandId);
        await rest(backoffDelay({ baseMs: 100, maximumMs: 2000 }, failures++, 0.5 + Math.random() / 2));
      }
    }
    running = undefined;
  }

  async function find(ids: typeof runningRollouts): Promise<void> {
    try {
      for (const commandId of await ids(database.query)) track(commandId);
    } catch (error) {
      log.warn({ err: ViworksError.from(error) }, 'cannot look for rollouts now');
    }
  }

  function findOnce(ids: typeof runningRollouts): void {
    finding ??= find(ids).finally(() => {
      finding = undefined;
    });
  }

  return {
    track,
    start() {
      findOnce(unfinishedRollouts);
      timer ??= setInterval(findOnce, lookAgainMs, runningRollouts);
    },
    async stop() {
      stopped = true;
      clearInterval(timer);
      for (const unsubscribe of tracked.values()) unsubscribe();
      tracked.clear();
      await finding;
      await running;
    },
  };
}

const rest = (ms: number) => (ms < 5 ? undefined : new Promise((resolve) => setTimeout(resolve, ms)));
