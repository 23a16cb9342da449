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
  deps: MaintenanceDeps,
  agentId: string,
  held: boolean,
  reason: string,
): Promise<void> {
  const link = deps.links.get(agentId);
  if (link !== undefined) link.paused = held;
  if (held) await move(deps, agentId, 'queued', `the agent is in maintenance: ${reason}`);
  else await letGo(deps, agentId);
}

/** Queues what is held for a maintenance that is over. */
export async function letGo(deps: MaintenanceDeps, agentId: string): Promise<void> {
  await move(deps, agentId, 'held', 'the agent is back from maintenance');
  deps.dispatcher.wake(agentId);
}

async function move(
  { database, bus, clock }: MaintenanceDeps,
  agentId: string,
  from: 'queued' | 'held',
  cause: string,
): Promise<void> {
  const transition = transitionRow(from === 'queued' ? 'held' : 'queued', cause, clock.now());
  const changed = await moveWaitingExecutions(database.query, agentId, from, transition);
  for (const commandId of changed) bus.publish('command.changed', commandId);
}
