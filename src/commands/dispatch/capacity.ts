/**
 * Capacity says how much may be under way at once: with one agent, of one verb, and in all. It counts the
 * executions in flight with the agents that are connected to this instance.
 */
export interface Capacity {
  /** How many more may be handed to the agent now, as far as the agent itself goes. */
  credit(link: Holder): number;
  /** How many more of the verb may be handed over now, to anyone. */
  room(verb: string): number;
  /** How many more of any verb. */
  totalRoom(): number;
  /** Verbs that have a limit of their own, with what is left of it. */
  limitedVerbs(): { verb: string; room: number }[];
  begun(verb: string): void;
  ended(verb: string): void;
}

/** What counts of a link here. */
export interface Holder {
  readonly paused: boolean;
  readonly window: number;
  readonly inFlight: { readonly size: number };
}

export interface CapacityLimits {
  /** Executions in flight with one agent; an agent may grant less. */
  perAgent: number;
  /** Executions in flight with all agents. */
  total: number;
  /** Executions in flight of one verb; verbs that are not here have no limit of their own. */
  perVerb: ReadonlyMap<string, number>;
}

export function createCapacity(limits: CapacityLimits): Capacity {
  let total = 0;
  const ofVerb = new Map([...limits.perVerb.keys()].map((verb) => [verb, 0]));
  const count = (verb: string, by: 1 | -1) => {
    total += by;
    const before = ofVerb.get(verb);
    if (before !== undefined) ofVerb.set(verb, before + by);
  };
  const verbRoom = (verb: string) =>
    Math.max(0, (limits.perVerb.get(verb) ?? Number.POSITIVE_INFINITY) - (ofVerb.get(verb) ?? 0));
  const totalRoom = () => Math.max(0, limits.total - total);

  return {
    credit: (link) =>
      link.paused ? 0 : Math.max(0, Math.min(link.window, limits.perAgent) - link.inFlight.size),
    room: (verb) => Math.min(totalRoom(), verbRoom(verb)),
    totalRoom,
    limitedVerbs: () => [...ofVerb.keys()].map((verb) => ({ verb, room: verbRoom(verb) })),
    begun: (verb) => count(verb, 1),
    ended: (verb) => count(verb, -1),
  };
}
