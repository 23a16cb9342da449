import type { Sample } from '#gen/viworks/agent/v1/telemetry_pb.js';
import { isWhole } from '../alerts/metrics.ts';
import { mostDisks, percentages } from './figures.ts';
import type { Point } from './line.ts';

/** What a sample says of disks, and when that was so. */
export interface DisksAt {
  /** Milliseconds since 1970. */
  at: number;
  sample: Pick<Sample, 'disks' | 'unread'>;
}

/**
 * How full each disk was that is there, by mount, the fullest first. Which ones are there the newest sample says; where
 * that could not read all of them, those that it does not have are there if they were before.
 *
 * @param samples oldest first; what is not newer than a point before it makes none
 */
export function diskPoints(samples: readonly DisksAt[]): [mount: string, points: Point[]][] {
  const points = new Map<string, Point[]>();
  let there = new Set<string>();
  for (const { at, sample } of samples) {
    const disks = percentages(sample);
    if (isWhole(sample, 'disks')) there = new Set();
    for (const { mount, percent } of disks) {
      there.add(mount);
      const known = points.get(mount) ?? [];
      points.set(mount, known);
      if (at > (known.at(-1)?.at ?? Number.NEGATIVE_INFINITY)) known.push({ at, value: percent });
    }
  }
  const last = (mount: string): number => points.get(mount)?.at(-1)?.value ?? 0;
  return [...there]
    .sort((a, b) => last(b) - last(a))
    .slice(0, mostDisks)
    .map((mount) => [mount, points.get(mount) ?? []]);
}
