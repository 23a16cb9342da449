import type { Capacity } from './capacity.ts';

/**
 * Agents for which something may wait until there is room under a limit of all: of executions in flight, or of
 * one verb. Who came first is served first.
 */
export interface Starved {
  /** The agent got less than it could take, because of this limit. */
  add(agentId: string, by: 'total' | 'verb'): void;
  /** Takes out those for which there is room now, at most so many. */
  take(most: number): string[];
}

export function createStarved(capacity: Pick<Capacity, 'totalRoom' | 'limitedVerbs' | 'room'>): Starved {
  const waiting = { total: new Set<string>(), verb: new Set<string>() };

  function takeFrom(set: Set<string>, count: number): string[] {
    const taken: string[] = [];
    for (const agentId of set) {
      if (taken.length >= count) break;
      taken.push(agentId);
      set.delete(agentId);
    }
    return taken;
  }

  return {
    add(agentId, by) {
      waiting[by].add(agentId);
    },
    take(most) {
      if (waiting.total.size === 0 && waiting.verb.size === 0) return [];
      const verbRoom = Math.max(0, ...capacity.limitedVerbs().map(({ verb }) => capacity.room(verb)));
      return [
        ...takeFrom(waiting.total, Math.min(most, capacity.totalRoom())),
        ...takeFrom(waiting.verb, Math.min(most, verbRoom)),
      ];
    },
  };
}
