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
  /**
   * Sets aside what a statement that is under way may bring to these links, so that nothing else goes there
   * meanwhile; of which verbs it will be is not known before. Answers with the way to end this.
   */
  reserve(shares: readonly { link: Holder; credit: number }[]): () => void;
}

/** What counts of a link here. */
export interface Holder {
  readonly paused: boolean;
  readonly window: number;
  readonly inFlight: { readonly size: number };
  /** Set aside for what is being taken out of its queue. */
  reserved: number;
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
  let reservations = 0;
  const ofVerb = new Map([...limits.perVerb.keys()].map((verb) => [verb, 0]));
  const count = (verb: string, by: 1 | -1) => {
    total += by;
    const before = ofVerb.get(verb);
    if (before !== undefined) ofVerb.set(verb, before + by);
  };
  const verbRoom = (verb: string) => {
    const limit = limits.perVerb.get(verb);
    if (limit === undefined) return Number.POSITIVE_INFINITY;
    return reservations > 0 ? 0 : Math.max(0, limit - (ofVerb.get(verb) ?? 0));
  };
  const totalRoom = () => Math.max(0, limits.total - total);

  return {
    credit: (link) =>
      link.paused
        ? 0
        : Math.max(0, Math.min(link.window, limits.perAgent) - link.inFlight.size - link.reserved),
    room: (verb) => Math.min(totalRoom(), verbRoom(verb)),
    totalRoom,
    limitedVerbs: () => [...ofVerb.keys()].map((verb) => ({ verb, room: verbRoom(verb) })),
    begun: (verb) => count(verb, 1),
    ended: (verb) => count(verb, -1),
    reserve(shares) {
      const change = (by: 1 | -1) => {
        reservations += by;
        for (const { link, credit } of shares) {
          link.reserved += by * credit;
          total += by * credit;
        }
      };
      change(1);
      return () => change(-1);
    },
  };
}
