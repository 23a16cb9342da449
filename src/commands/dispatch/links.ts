import type { OrderRow } from '../../storage/executions.ts';
import type { Capacity } from './capacity.ts';

/**
 * A link is what the engine sees of an agent's session on this instance: whom it leads to, how much more it
 * may take, and a way to hand something over. Sessions put their links here; the engine never sees a session.
 */
export interface AgentLink {
  readonly agentId: string;
  readonly incarnation: number;
  readonly epoch: number;
  readonly capabilities: readonly string[];
  /** How many executions the agent holds at once. */
  window: number;
  /** Executions handed over in this session, or taken over from an earlier one, without a result. */
  readonly inFlight: InFlightSet;
  /** How many more may come out of its queue in a moment; kept by the capacity. */
  reserved: number;
  /** There may be queued executions for the agent: new ones must queue up behind them. */
  backlog: boolean;
  /** In maintenance, or about to go: nothing is handed over. */
  paused: boolean;
  deliver(order: OrderRow): void;
  cancel(executionId: string, attempt: number, reason: string): void;
}

export interface InFlight {
  commandId: string;
  attempt: number;
  verb: string;
  /** Attempts that failed and were followed by this one, and how many there may be. */
  retries: number;
  maxRetries: number;
  timeoutMs: number;
  /** Milliseconds since 1970. */
  expiresAt: number;
  /** When it was handed over; the server's clock. */
  since: number;
  /** The agent was asked to stop it. */
  cancelled: boolean;
  /** Of the COMMAND in this session; 0 where it was taken over from an earlier one. */
  sequence: bigint;
  /** How far its output has come in this session; nothing of most. */
  output: Map<number, number> | undefined;
}

export const inFlightOf = (
  order: Pick<
    OrderRow,
    'commandId' | 'attempt' | 'verb' | 'retries' | 'maxRetries' | 'timeoutMs' | 'expiresAt'
  >,
  since: number,
  cancelled = false,
): InFlight => ({
  commandId: order.commandId,
  attempt: order.attempt,
  verb: order.verb,
  retries: order.retries,
  maxRetries: order.maxRetries,
  timeoutMs: order.timeoutMs,
  expiresAt: order.expiresAt.getTime(),
  since,
  cancelled,
  sequence: 0n,
  output: undefined,
});

/** By execution id; what is in it counts against the capacity of this instance. */
export interface InFlightSet {
  readonly size: number;
  get(executionId: string): InFlight | undefined;
  set(executionId: string, entry: InFlight): void;
  /** The execution whose COMMAND had that sequence. */
  sentAs(sequence: bigint): { executionId: string; attempt: number } | undefined;
  delete(executionId: string): void;
  /** Counts no more: the session is over. */
  close(): void;
}

function createInFlight(capacity: Pick<Capacity, 'begun' | 'ended'>): InFlightSet {
  const entries = new Map<string, InFlight>();
  let counted = true;
  return {
    get size() {
      return entries.size;
    },
    get: (executionId) => entries.get(executionId),
    set(executionId, entry) {
      const before = entries.get(executionId);
      entries.set(executionId, entry);
      if (!counted) return;
      if (before !== undefined) capacity.ended(before.verb);
      capacity.begun(entry.verb);
    },
    sentAs(sequence) {
      for (const [executionId, entry] of entries)
        if (entry.sequence === sequence) return { executionId, attempt: entry.attempt };
      return undefined;
    },
    delete(executionId) {
      const entry = entries.get(executionId);
      if (entry === undefined) return;
      entries.delete(executionId);
      if (counted) capacity.ended(entry.verb);
    },
    close() {
      if (counted) for (const { verb } of entries.values()) capacity.ended(verb);
      counted = false;
    },
  };
}

export interface AgentLinks {
  get(agentId: string): AgentLink | undefined;
  /** The newest session of an agent takes the place of the one before. */
  put(link: AgentLink): void;
  /** The session is over: takes the link out, unless a newer one is in its place already. */
  remove(link: AgentLink): void;
  /** Agents that take work, and of which nothing is known to be queued. */
  withoutBacklog(): string[];
  /** For a link that is about to be made. */
  inFlight(): InFlightSet;
}

/** @param onRemoved told when a session is over and what it held counts no more */
export function createAgentLinks(
  capacity: Pick<Capacity, 'begun' | 'ended'>,
  onRemoved: () => void,
): AgentLinks {
  const links = new Map<string, AgentLink>();
  return {
    get: (agentId) => links.get(agentId),
    put(link) {
      links.set(link.agentId, link);
    },
    remove(link) {
      link.inFlight.close();
      if (links.get(link.agentId) === link) links.delete(link.agentId);
      onRemoved();
    },
    withoutBacklog: () =>
      [...links.values()].flatMap((link) => (link.backlog || link.paused ? [] : [link.agentId])),
    inFlight: () => createInFlight(capacity),
  };
}
