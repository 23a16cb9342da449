import type { OrderRow } from '../storage/executions.ts';

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
  readonly inFlight: Map<string, InFlight>;
  /** There may be queued executions for the agent: new ones must queue up behind them. */
  backlog: boolean;
  /** In maintenance, or about to go: nothing is handed over. */
  paused: boolean;
  deliver(order: OrderRow): void;
  cancel(executionId: string, attempt: number, reason: string): void;
}

export interface InFlight {
  verb: string;
  timeoutMs: number;
  /** Milliseconds since 1970. */
  expiresAt: number;
  /** When it was handed over; the server's clock. */
  since: number;
}

export const inFlightOf = (
  order: { verb: string; timeoutMs: number; expiresAt: Date },
  since: number,
): InFlight => ({
  verb: order.verb,
  timeoutMs: order.timeoutMs,
  expiresAt: order.expiresAt.getTime(),
  since,
});

export interface AgentLinks {
  get(agentId: string): AgentLink | undefined;
  /** The newest session of an agent takes the place of the one before. */
  put(link: AgentLink): void;
  /** Takes the link out, unless a newer one is in its place already. */
  remove(link: AgentLink): void;
}

export function createAgentLinks(): AgentLinks {
  const links = new Map<string, AgentLink>();
  return {
    get: (agentId) => links.get(agentId),
    put(link) {
      links.set(link.agentId, link);
    },
    remove(link) {
      if (links.get(link.agentId) === link) links.delete(link.agentId);
    },
  };
}

/** How many more executions may be handed over now. */
export function creditOf(link: AgentLink): number {
  return link.paused ? 0 : Math.max(0, link.window - link.inFlight.size);
}
