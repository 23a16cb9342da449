import { readStoredSample } from '../protocol/stored-sample.ts';
import type { SampleRow } from '../storage/sample-rows.ts';

/**
 * Counts the samples that agents had to drop. Each sample says how many its boot had lost by then; what is more than
 * that boot said before is counted.
 */
export interface Drops {
  /** To be called after their commit. Never waits, never throws. */
  stored(samples: readonly SampleRow[]): void;
  idle(): Promise<void>;
}

export interface DropsDeps {
  /** The sample that the same boot of the agent sent before this one, serialised. */
  before(sample: SampleRow): Promise<Uint8Array | undefined>;
  count(dropped: number): void;
}

/** Boots of agents that are remembered; of others the database tells what they said. */
const maximumBoots = 10_000;
/** More than an agent takes in a year at one a second: beyond it says nothing that is true. */
const mostAtOnce = 31_536_000;

export function createDrops({ before, count }: DropsDeps): Drops {
  /** The most that a boot of an agent said. */
  const known = new Map<string, number>();
  let last: Promise<void> = Promise.resolve();

  /** Before this instance heard of it. Where nobody can tell, it is believed that nothing was. */
  async function saidBefore(first: SampleRow): Promise<number> {
    try {
      const sample = await before(first);
      return sample === undefined ? 0 : Number(readStoredSample(sample).dropped);
    } catch {
      return 0;
    }
  }

  async function note(key: string, first: SampleRow, dropped: number): Promise<void> {
    const highest = known.get(key) ?? (await saidBefore(first));
    if (dropped > highest) count(Math.min(mostAtOnce, dropped - highest));
    known.delete(key);
    known.set(key, Math.max(dropped, highest));
    for (const oldest of known.keys()) {
      if (known.size <= maximumBoots) break;
      known.delete(oldest);
    }
  }

  return {
    stored(samples) {
      const boots = new Map<string, { first: SampleRow; dropped: number }>();
      for (const row of samples) {
        if (row.dropped === 0) continue;
        const key = `${Buffer.from(row.bootId).toString('latin1')} ${row.agentId}`;
        const { first = row, dropped = 0 } = boots.get(key) ?? {};
        boots.set(key, {
          first: row.number < first.number ? row : first,
          dropped: Math.max(dropped, row.dropped),
        });
      }
      // In their order: what a boot said is known before what it says next.
      for (const [key, { first, dropped }] of boots) last = last.then(() => note(key, first, dropped));
    },
    idle: () => last,
  };
}
