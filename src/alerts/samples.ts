import type { Measured } from './metrics.ts';

/** A sample that is stored, as alerts are told of it. */
export interface ObservedSample {
  agentId: string;
  /** Its time, milliseconds since 1970. */
  at: number;
  /** It was kept by the agent while it could not send. */
  late: boolean;
  /** Others that came with it, and are older. */
  superseded?: number;
  /** Reads it, once for all who ask. */
  measured(): Measured;
}

/** Samples that wait to be looked at. */
export interface SampleQueue {
  add(samples: readonly ObservedSample[]): void;
  /** Takes the oldest ones out. */
  take(count: number): readonly ObservedSample[];
  readonly size: number;
}

/** Milliseconds: of what one agent says within them, rules look at the newest. */
const momentMs = 1000;

/**
 * A queue that does not grow for ever: when it is full, only the newest sample of each agent stays. Alerts look at how
 * things are; what is skipped is how they were while the database was away, and most of what an agent says that says much.
 * @param skipped is told how many were left out
 */
export function createSampleQueue(maximum: number, skipped: (count: number) => void): SampleQueue {
  let waiting: ObservedSample[] = [];
  /** Where the last one of each agent is in `waiting`, of those that came as they were taken. */
  const last = new Map<string, number>();

  /** Takes the place of one that was taken a moment before it. */
  function replaces(sample: ObservedSample): boolean {
    const place = last.get(sample.agentId);
    const other = place === undefined ? undefined : waiting[place];
    if (place === undefined || other === undefined || sample.late) return false;
    const since = sample.at - other.at;
    if (since < 0 || since >= momentMs) return false;
    waiting[place] = sample;
    return true;
  }

  function thin(): void {
    const newest = new Map<string, ObservedSample>();
    for (const sample of waiting) {
      const other = newest.get(sample.agentId);
      if (other === undefined || sample.at >= other.at) newest.set(sample.agentId, sample);
    }
    const kept = [...newest.values()].slice(-maximum);
    skipped(waiting.length - kept.length);
    waiting = kept;
    last.clear();
  }

  return {
    add(samples) {
      let replaced = 0;
      for (const sample of samples) {
        replaced += sample.superseded ?? 0;
        if (replaces(sample)) replaced += 1;
        else {
          if (!sample.late) last.set(sample.agentId, waiting.length);
          waiting.push(sample);
        }
      }
      if (replaced > 0) skipped(replaced);
      if (waiting.length > maximum) thin();
    },
    take(count) {
      const taken = waiting.slice(0, count);
      waiting = waiting.slice(count);
      last.clear();
      return taken;
    },
    get size() {
      return waiting.length;
    },
  };
}
