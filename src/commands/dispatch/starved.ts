import type { Capacity } from './capacity.ts';

/**
 * Agents for which something may wait until there is room under a limit of all: of executions in flight, or of
 * one verb. Who came first is served first.
 */
export interface Starved {
  /** The agent got less than it could take, because of this limit. */
  add(agentId: string, by: 'total' | 'verb'): void;
  /**
   * Wakes as many as there is room for now, at most so many. Those that cannot be woken, because they are gone or
   * have all they may have, take no room of others.
   */
  wake(most: number, wake: (agentId: string) => boolean): void;
}

export function createStarved(capacity: Pick<Capacity, 'totalRoom' | 'limitedVerbs' | 'room'>): Starved {
  const waiting = { total: new Set<string>(), verb: new Set<string>() };

  function wakeFrom(set: Set<string>, count: number, wake: (agentId: string) => boolean): void {
    let woken = 0;
    for (const agentId of set) {
      if (woken >= count) break;
      set.delete(agentId);
      if (wake(agentId)) woken += 1;
    }
  }

  return {
    add(agentId, by) {
      waiting[by].add(agentId);
    },
    wake(most, wake) {
      if (waiting.total.size === 0 && waiting.verb.size === 0) return;
      const verbRoom = Math.max(0, ...capacity.limitedVerbs().map(({ verb }) => capacity.room(verb)));
      wakeFrom(waiting.total, Math.min(most, capacity.totalRoom()), wake);
      wakeFrom(waiting.verb, Math.min(most, verbRoom), wake);
    },
  };
}
