import type { Measured } from './metrics.ts';

/** A sample that is stored, as alerts are told of it. */
export interface StoredSample {
  agentId: string;
  /** Its time, milliseconds since 1970. */
  at: number;
  /** It was kept by the agent while it could not send. */
  late: boolean;
  sample: Measured;
}

/** Samples that wait to be looked at. */
export interface SampleQueue {
  add(samples: readonly StoredSample[]): void;
  /** Takes the oldest ones out. */
  take(count: number): readonly StoredSample[];
  readonly size: number;
}

/**
 * A queue that does not grow for ever: when it is full, only the newest sample of each agent stays. Alerts look at how
 * things are; what is skipped is how they were while the database was away.
 * @param skipped is told how many were left out
 */
export function createSampleQueue(maximum: number, skipped: (count: number) => void): SampleQueue {
  let waiting: StoredSample[] = [];

  function thin(): void {
    const newest = new Map<string, StoredSample>();
    for (const sample of waiting) {
      const other = newest.get(sample.agentId);
      if (other === undefined || sample.at >= other.at) newest.set(sample.agentId, sample);
    }
    const kept = [...newest.values()].slice(-maximum);
    skipped(waiting.length - kept.length);
    waiting = kept;
  }

  return {
    add(samples) {
      for (const sample of samples) waiting.push(sample);
      if (waiting.length > maximum) thin();
    },
    take(count) {
      const taken = waiting.slice(0, count);
      waiting = waiting.slice(count);
      return taken;
    },
    get size() {
      return waiting.length;
    },
  };
}
