import type { Sample } from '#gen/viworks/agent/v1/telemetry_pb.js';
import type { Clock } from '../../lib/clock.ts';
import type { Timers } from '../timers.ts';
import type { Collector } from './collector.ts';

/** Has the machine measured again and again, whether a session is open or not. */
export interface Sampler {
  /** Takes the first sample at once, or after `firstAfterMs`. */
  start(): void;
  /** Counts from the last sample; the next one comes at once where that is longer ago. */
  setInterval(intervalMs: number): void;
  /** Resolves when nothing is being kept any more; what is still being measured is left out. */
  stop(): Promise<void>;
}

export interface SamplerDeps {
  collect: Collector;
  /** The next sample waits until this one is kept. */
  keep(sample: Sample): Promise<void>;
  /** Milliseconds. */
  intervalMs: number;
  /** Milliseconds from the start to the first sample, 0 if not said otherwise. */
  firstAfterMs?: number;
  clock: Pick<Clock, 'monotonic'>;
  timers: Timers;
  onError(error: unknown): void;
}

/** More often than that, the measuring itself is what is measured. */
const leastIntervalMs = 100;

export function createSampler(deps: SamplerDeps): Sampler {
  const { clock, timers, firstAfterMs = 0 } = deps;
  let intervalMs = deps.intervalMs;
  let takenAt: number | undefined;
  let startedAt = 0;
  let running = false;
  let keeping: Promise<void> | undefined;
  let off: (() => void) | undefined;
  let started = false;

  function plan(): void {
    off?.();
    const dueAt = takenAt === undefined ? startedAt + firstAfterMs : takenAt + intervalMs;
    off = timers.after(Math.max(0, dueAt - clock.monotonic()), () => {
      off = undefined;
      take();
    });
  }

  function take(): void {
    takenAt = clock.monotonic();
    running = true;
    void sample().finally(() => {
      running = false;
      if (started) plan();
    });
  }

  async function sample(): Promise<void> {
    try {
      const taken = await deps.collect();
      if (!started) return;
      keeping = deps.keep(taken);
      await keeping;
    } catch (error) {
      deps.onError(error);
    }
  }

  return {
    start() {
      if (started) return;
      started = true;
      startedAt = clock.monotonic();
      if (firstAfterMs > 0) plan();
      else take();
    },
    setInterval(wanted) {
      const next = Math.max(leastIntervalMs, wanted);
      if (next === intervalMs) return;
      intervalMs = next;
      if (started && !running) plan();
    },
    async stop() {
      started = false;
      off?.();
      await keeping?.catch(() => {});
    },
  };
}
