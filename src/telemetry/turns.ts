/** Lets each of many have a bounded share under way, at a bounded rate; what is more waits for its turn, in order. */
export interface Turns {
  /** Does the work when it is its turn. Something heavier than the share goes alone. */
  take<T>(key: string, weight: number, work: () => Promise<T>): Promise<T>;
  /** Of whom something is remembered. */
  readonly size: number;
}

interface Lane {
  underWay: number;
  waiting: { weight: number; go(): void }[];
  /** Until then, by the rate, all is used that was let go; milliseconds of `performance.now()`. */
  usedUntil: number;
  timer: NodeJS.Timeout | undefined;
}

/** Milliseconds of the rate that one who was quiet may use at once. */
const burstMs = 500;
/** Lanes from which on those are looked for that are not needed any more. */
const manyLanes = 1000;

/**
 * @param share weight that one may have under way
 * @param perSecond weight that one may begin in a second
 */
export function createTurns(share: number, perSecond: number): Turns {
  const lanes = new Map<string, Lane>();
  let tidyAt = manyLanes;

  /** Milliseconds until the next may go by the rate; 0 at once. */
  const restMs = (lane: Lane, now: number) => Math.max(0, lane.usedUntil - burstMs - now);
  const hasRoom = (lane: Lane, weight: number) => lane.underWay === 0 || lane.underWay + weight <= share;

  function begin(lane: Lane, weight: number, now: number): void {
    lane.underWay += weight;
    lane.usedUntil = Math.max(now, lane.usedUntil) + (weight / perSecond) * 1000;
  }

  function letGo(lane: Lane): void {
    const now = performance.now();
    for (let next = lane.waiting[0]; next !== undefined; next = lane.waiting[0]) {
      if (!hasRoom(lane, next.weight)) return;
      const ms = restMs(lane, now);
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
      for (const [other, { underWay, usedUntil }] of lanes)
        if (underWay === 0 && usedUntil <= now) lanes.delete(other);
      tidyAt = Math.max(manyLanes, 2 * lanes.size);
    }
    const lane: Lane = { underWay: 0, waiting: [], usedUntil: now, timer: undefined };
    lanes.set(key, lane);
    return lane;
  }

  return {
    async take(key, weight, work) {
      const now = performance.now();
      const lane = laneOf(key, now);
      if (lane.waiting.length === 0 && hasRoom(lane, weight) && restMs(lane, now) === 0)
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
