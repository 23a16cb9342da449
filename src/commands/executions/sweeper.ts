import { ViworksError } from '../../errors.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/logger.ts';
import { createTicker, type Ticker } from '../../lib/ticker.ts';
import type { VerbCatalogue } from '../../protocol/verbs.ts';
import type { Database } from '../../storage/database.ts';
import type { ExecutionChange } from '../../storage/execution-changes.ts';
import { agentsWithForgotten, type OpenRow, overdueExecutions } from '../../storage/executions.ts';
import type { Dispatcher } from '../dispatch/dispatcher.ts';
import type { AgentLinks } from '../dispatch/links.ts';
import type { ExecutionState } from '../types.ts';
import type { ChangeWriter } from './changes.ts';
import { changeOf } from './reconcile.ts';
import { decideRetry, retryChange } from './retry.ts';
import { decideOverdue, type Effect, type Hold } from './state.ts';

/** The sweeper watches every deadline: nothing waits for ever. */
export interface Sweeper extends Ticker {
  /** Looks once now; answers with how many executions it changed. */
  sweep(): Promise<number>;
}

export interface SweeperDeps {
  database: Database;
  writer: ChangeWriter;
  dispatcher: Dispatcher;
  links: AgentLinks;
  /** Lets go what is held for the maintenance of an agent. */
  endMaintenance(agentId: string): Promise<void>;
  clock: Clock;
  log: Logger;
  intervalMs: number;
  verbs: Pick<VerbCatalogue, 'effectOf'>;
}

const rowsAtOnce = 1000;
/** Milliseconds between looks for what is queued and nobody knows of. */
const forgottenMs = 30_000;
const agentsAtOnce = 1000;

export function createSweeper(deps: SweeperDeps): Sweeper {
  const { database, writer, dispatcher, links, endMaintenance, clock, log, intervalMs, verbs } = deps;
  let lookedAt = clock.monotonic();

  /**
   * Whoever queues something says so, but not where the database went away with the answer to the commit: then
   * it is queued, and who asked was told that it is not. And what is stored while a maintenance ends may be held
   * for it after its end.
   */
  async function wakeForgotten(): Promise<void> {
    if (clock.monotonic() - lookedAt < forgottenMs) return;
    lookedAt = clock.monotonic();
    const agents = links.withoutBacklog();
    for (let at = 0; at < agents.length; at += agentsAtOnce) {
      const found = await agentsWithForgotten(database.query, agents.slice(at, at + agentsAtOnce));
      for (const { agentId, held } of found) {
        if (held) await endMaintenance(agentId);
        else dispatcher.wake(agentId);
      }
    }
  }

  async function sweep(): Promise<number> {
    await wakeForgotten();
    const now = clock.now();
    const rows = await overdueExecutions(database.query, new Date(now), rowsAtOnce);
    const applied = await Promise.all(
      rows.map(async (row) => {
        const wanted = overdueChange(row, now, Math.random(), verbs.effectOf(row.verb));
        if (wanted === undefined) return undefined;
        const change = await writer.add(wanted);
        if (change === undefined) return undefined;
        links.get(row.agentId)?.inFlight.delete(row.executionId);
        if (change.state === 'queued') dispatcher.wake(row.agentId);
        else dispatcher.creditReturned(row.agentId);
        return change;
      }),
    );
    const count = applied.filter((change) => change !== undefined).length;
    if (count > 0) log.info({ count }, 'executions passed their deadline');
    return count;
  }

  const ticker = createTicker({
    intervalMs,
    work() {
      dispatcher.nudge();
      return sweep();
    },
    failed: (error) => log.warn({ err: ViworksError.from(error) }, 'cannot look for deadlines now'),
  });

  return { sweep, ...ticker };
}

/** What is done about an execution whose deadline has passed. @param random in [0, 1) */
export function overdueChange(
  row: OpenRow,
  now: number,
  random: number,
  effect: Effect,
): ExecutionChange | undefined {
  const expiresAt = row.expiresAt.getTime();
  const hold = (row.hold ?? undefined) as Hold | undefined;
  const state = row.state as ExecutionState;
  const overdue = decideOverdue({ state, hold, handedOver: row.epoch !== null, expiresAt }, now);
  if (overdue === undefined) return undefined;
  if (row.cancelReason !== null) {
    // What was cancelled while it was out of reach is not offered again.
    const cause = `cancelled (${row.cancelReason}), and the agent never answered`;
    return changeOf(row, overdue.to === 'queued' ? { to: 'outcome_unknown', cause } : overdue, now);
  }
  const budget = { ...row, effect, expiresAt };
  const retry = decideRetry({ ...overdue, code: undefined }, budget, now, random);
  const ended = changeOf(row, overdue, now);
  return retry === undefined ? ended : retryChange(ended, row.attempt, retry, now);
}
