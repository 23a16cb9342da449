import type { TargetRow } from '../../storage/agents.ts';
import type { Capacity } from '../dispatch/capacity.ts';
import type { AgentLink } from '../dispatch/links.ts';
import type { Hold } from '../executions/state.ts';
import type { PlannedAgent } from '../types.ts';

/** Where an execution begins: with its agent at once, in the agent's queue, or held. */
export type Placement = Pick<PlannedAgent, 'state' | 'reason'> & {
  /** Why it is held, where it is. */
  hold: Hold | null;
};

/** What lets an execution go, where it does not go by itself. */
export type Gate = 'approval' | 'rollout';

const waitsFor: Record<Gate, string> = {
  approval: 'waits for the approval of a second person',
  rollout: 'waits for its turn in the rollout',
};

/** A rollout begins when it is approved. */
export const gateOf = ({ approval, rollout }: { approval: boolean; rollout: boolean }): Gate | undefined =>
  approval ? 'approval' : rollout ? 'rollout' : undefined;

export function placementOf(
  target: Pick<TargetRow, 'maintenance' | 'statusReason' | 'incarnation'>,
  link: AgentLink | undefined,
  verb: string,
  capacity: Pick<Capacity, 'credit' | 'room'>,
  gate?: Gate,
): Placement {
  if (gate !== undefined) return { state: 'held', hold: gate, reason: waitsFor[gate] };
  if (target.maintenance) {
    return {
      state: 'held',
      hold: 'maintenance',
      reason: `the agent is in maintenance: ${target.statusReason ?? ''}`,
    };
  }
  const reason = whyNotNow(target, link, verb, capacity);
  return reason === undefined
    ? { state: 'sent', hold: null, reason }
    : { state: 'queued', hold: null, reason };
}

function whyNotNow(
  target: Pick<TargetRow, 'incarnation'>,
  link: AgentLink | undefined,
  verb: string,
  capacity: Pick<Capacity, 'credit' | 'room'>,
): string | undefined {
  if (link === undefined || link.incarnation !== target.incarnation) return 'the agent is not connected';
  // First in, first out: nothing overtakes what waits.
  if (link.backlog) return 'others wait for the agent already';
  if (capacity.credit(link) <= 0) return 'the agent has as much as it may have at once';
  if (capacity.room(verb) <= 0) return `as much as may be under way at once is under way`;
  return undefined;
}
