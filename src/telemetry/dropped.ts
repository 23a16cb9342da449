import { fromBinary } from '@bufbuild/protobuf';
import { type Sample, SampleSchema, type Telemetry } from '#gen/viworks/agent/v1/telemetry_pb.js';
import type { LatestSamples } from './latest.ts';

/**
 * Counts the samples that agents had to drop. Each sample says how many its boot had lost by then; what is more than
 * that boot said before is counted.
 */
export interface Drops {
  /** To be called before the samples are stored; what it answers with, after their commit. */
  told(source: { agentId: string; bootId: Uint8Array }, samples: Telemetry['samples']): () => Promise<void>;
}

export interface DropsDeps {
  latest: Pick<LatestSamples, 'get'>;
  /** A sample that is set aside tells nothing. */
  isSound(sample: Sample): boolean;
  count(dropped: number): void;
}

/** Boots of agents that are remembered; of others the newest sample tells what they said. */
const maximumBoots = 10_000;
/** More than an agent takes in a year at one a second: beyond it says nothing that is true. */
const mostAtOnce = 31_536_000;

const nothing = async (): Promise<void> => {};

export function createDrops({ latest, isSound, count }: DropsDeps): Drops {
  /** The most that a boot of an agent said. */
  const known = new Map<string, bigint>();

  /** This may be the first that is heard of it since this instance began. */
  async function saidBefore(agentId: string, boot: Uint8Array): Promise<bigint> {
    const row = await latest.get(agentId);
    if (row === undefined || Buffer.compare(row.bootId, boot) !== 0) return 0n;
    return fromBinary(SampleSchema, row.sample).dropped;
  }

  function note(key: string, dropped: bigint, before: bigint): void {
    const highest = known.get(key) ?? before;
    if (dropped > highest) count(Math.min(mostAtOnce, Number(dropped - highest)));
    known.delete(key);
    known.set(key, dropped > highest ? dropped : highest);
    for (const oldest of known.keys()) {
      if (known.size <= maximumBoots) break;
      known.delete(oldest);
    }
  }

  return {
    told({ agentId, bootId }, samples) {
      const most = new Map<string, { boot: Uint8Array; dropped: bigint }>();
      for (const sample of samples) {
        if (sample.dropped === 0n || !isSound(sample)) continue;
        const boot = sample.bootId.byteLength > 0 ? sample.bootId : bootId;
        const key = `${Buffer.from(boot).toString('latin1')} ${agentId}`;
        if (sample.dropped > (most.get(key)?.dropped ?? 0n)) most.set(key, { boot, dropped: sample.dropped });
      }
      if (most.size === 0) return nothing;
      const before = new Map(
        [...most].map(([key, { boot }]) => [
          key,
          known.has(key) ? undefined : saidBefore(agentId, boot).catch(() => 0n),
        ]),
      );
      return async () => {
        for (const [key, { dropped }] of most) note(key, dropped, (await before.get(key)) ?? 0n);
      };
    },
  };
}
