import type { Bus } from '../../bus/bus.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Database } from '../../storage/database.ts';
import { moveWaitingExecutions } from '../../storage/executions.ts';
import { transitionRow } from '../rows.ts';
import type { Dispatcher } from './dispatcher.ts';
import type { AgentLinks } from './links.ts';

export interface MaintenanceDeps {
  database: Database;
  dispatcher: Pick<Dispatcher, 'wake'>;
  links: Pick<AgentLinks, 'get'>;
  bus: Bus;
  clock: Clock;
}

/** Holds the queue of an agent for the length of its maintenance, or lets it go. What the agent has goes on. */
export async function setHeld(
  { database, dispatcher, links, bus, clock }: MaintenanceDeps,
  agentId: string,
  held: boolean,
  reason: string,
): Promise<void> {
  const link = links.get(agentId);
  if (link !== undefined) link.paused = held;
  const transition = held
    ? transitionRow('held', `the agent is in maintenance: ${reason}`, clock.now())
    : transitionRow('queued', 'the agent is back from maintenance', clock.now());
  const from = held ? 'queued' : 'held';
  const changed = await moveWaitingExecutions(database.query, agentId, from, transition);
  for (const commandId of changed) bus.publish('command.changed', commandId);
  if (!held) dispatcher.wake(agentId);
}
