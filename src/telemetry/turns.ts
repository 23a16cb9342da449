/** Lets each of many have a bounded share under way; what is more waits for its turn, in order. */
export interface Turns {
  /** Does the work when it is its turn. Something heavier than the share goes alone. */
  take<T>(key: string, weight: number, work: () => Promise<T>): Promise<T>;
}

interface Lane {
  underWay: number;
  waiting: { weight: number; go(): void }[];
}

/** @param share weight that one may have under way */
export function createTurns(share: number): Turns {
  const lanes = new Map<string, Lane>();
  const hasRoom = (lane: Lane, weight: number) => lane.underWay === 0 || lane.underWay + weight <= share;

  function leave(key: string, lane: Lane, weight: number): void {
    lane.underWay -= weight;
    for (
      let next = lane.waiting[0];
      next !== undefined && hasRoom(lane, next.weight);
      next = lane.waiting[0]
    ) {
      lane.waiting.shift();
      lane.underWay += next.weight;
      next.go();
    }
    if (lane.underWay === 0) lanes.delete(key);
  }

  return {
    async take(key, weight, work) {
      const lane = lanes.get(key) ?? { underWay: 0, waiting: [] };
      lanes.set(key, lane);
      if (lane.waiting.length === 0 && hasRoom(lane, weight)) lane.underWay += weight;
      else await new Promise<void>((go) => lane.waiting.push({ weight, go }));
      try {
        return await work();
      } finally {
        leave(key, lane, weight);
      }
    },
  };
}
