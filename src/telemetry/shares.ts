import { type Bucket, burstMs, debtMs, newBucket, take } from '../lib/bucket.ts';

/** Lets each of many have a bounded share under way, at a bounded rate; what is more waits for its turn, in order. */
export interface Shares {
  /** Does the work when it is its turn. Something heavier than the share goes alone. */
  take<T>(key: string, weight: number, work: () => Promise<T>): Promise<T>;
  /** Of whom something is remembered. */
  readonly size: number;
}

interface Lane {
  underWay: number;
  waiting: { weight: number; go(): void }[];
  rate: Bucket;
  timer: NodeJS.Timeout | undefined;
}

/** Lanes from which on those are looked for that are not needed any more. */
const manyLanes = 1000;

/**
 * @param share weight that one may have under way
 * @param perSecond weight that one may begin in a second
 */
export function createShares(share: number, perSecond: number): Shares {
  const lanes = new Map<string, Lane>();
  let tidyAt = manyLanes;

  const hasRoom = (lane: Lane, weight: number) => lane.underWay === 0 || lane.underWay + weight <= share;

  function begin(lane: Lane, weight: number, now: number): void {
    lane.underWay += weight;
    take(lane.rate, now, (weight / perSecond) * 1000);
  }

  function letGo(lane: Lane): void {
    const now = performance.now();
    for (let next = lane.waiting[0]; next !== undefined; next = lane.waiting[0]) {
      if (!hasRoom(lane, next.weight)) return;
      const ms = debtMs(lane.rate, now);
      if (ms > 0) {
        lane.timer ??= setTimeout(() => {
          lane.timer = undefined;
          letGo(lane);
        }, ms);
        return;
      }
      lane.waiting.shift();
      begin(lane, next.weight, now);
      next.go();
    }
  }

  function laneOf(key: string, now: number): Lane {
    const known = lanes.get(key);
    if (known !== undefined) return known;
    if (lanes.size >= tidyAt) {
      // Those that have earned all that they took.
      for (const [other, { underWay, rate }] of lanes)
        if (underWay === 0 && rate.earnedAt <= now - burstMs) lanes.delete(other);
      tidyAt = Math.max(manyLanes, 2 * lanes.size);
    }
    const lane: Lane = { underWay: 0, waiting: [], rate: newBucket(), timer: undefined };
    lanes.set(key, lane);
    return lane;
  }

  return {
    async take(key, weight, work) {
      const now = performance.now();
      const lane = laneOf(key, now);
      if (lane.waiting.length === 0 && hasRoom(lane, weight) && debtMs(lane.rate, now) <= 0)
        begin(lane, weight, now);
      else {
        const turn = new Promise<void>((go) => lane.waiting.push({ weight, go }));
        letGo(lane);
        await turn;
      }
      try {
        return await work();
      } finally {
        lane.underWay -= weight;
        letGo(lane);
      }
    },
    get size() {
      return lanes.size;
    },
  };
}
