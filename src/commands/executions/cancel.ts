import type { Bus } from '../../bus/bus.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Database } from '../../storage/database.ts';
import { cancelExecutions } from '../../storage/executions.ts';
import type { Dispatcher } from '../dispatch/dispatcher.ts';
import type { AgentLinks } from '../dispatch/links.ts';
import { causeBy, transitionRow } from '../rows.ts';

export interface CancelDeps {
  database: Database;
  dispatcher: Pick<Dispatcher, 'withhold'>;
  links: Pick<AgentLinks, 'get'>;
  bus: Bus;
  clock: Clock;
}

/** Cancels what no agent has, and asks the agents to stop what they have; what has ended stays as it is. */
export async function cancelCommand(
  { database, dispatcher, links, bus, clock }: CancelDeps,
  actor: string,
  commandId: string,
  reason: string,
): Promise<void> {
  const cause = causeBy('cancelled', actor, reason);
  const transition = transitionRow('cancelled', cause, clock.now());
  const handOverAgain = dispatcher.withhold(commandId);
  const open = await cancelExecutions(database, commandId, cause, transition).finally(handOverAgain);
  bus.publish('command.changed', commandId);
  for (const { agentId, executionId, attempt, epoch } of open) {
    const link = links.get(agentId);
    if (link?.epoch !== epoch) continue;
    const entry = link.inFlight.get(executionId);
    if (entry !== undefined) entry.cancelled = true;
    link.cancel(executionId, attempt, cause);
  }
}
