import type { Bus } from '../../bus/bus.ts';
import { ViworksError } from '../../errors.ts';
import { backoffDelay } from '../../lib/backoff.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/logger.ts';
import type { Metrics } from '../../lib/metrics.ts';
import type { ExecutionBinding } from '../../storage/bound-rows.ts';
import type { Database } from '../../storage/database.ts';
import { noResult } from '../../storage/execution-changes.ts';
import { type OrderRow, type TakenRow, takeDueExecutions } from '../../storage/executions.ts';
import type { ChangeWriter } from '../executions/changes.ts';
import { acknowledgeMs } from '../executions/state.ts';
import { transitionRow } from '../rows.ts';
import type { Capacity } from './capacity.ts';
import { type AgentLinks, inFlightOf } from './links.ts';
import { createStarved } from './starved.ts';

/**
 * The dispatcher takes queued executions out of the database for agents that are connected here and have
 * credit, many agents in one statement, and hands them to their links. Waking it costs nothing: agents that
 * are woken while a statement is under way share the next one.
 */
export interface Dispatcher {
  /** There may be something queued for this agent. */
  wake(agentId: string): void;
  /** The agent has credit again; looks only if something may be queued. */
  creditReturned(agentId: string): void;
  /** Looks again for those that wait for room under a limit: room may have come back unheard. */
  nudge(): void;
  /** It was marked as sent, and its session ended before it left: it is queued again. */
  returned(order: Pick<OrderRow, 'executionId' | 'agentId' | 'epoch' | 'expiresAt'>): void;
  /**
   * From here on nothing of this command goes to a link: what was taken and not handed over yet is given back.
   * The function that it answers with ends this, when the takes that are under way have ended too.
   */
  withhold(commandId: string): () => void;
  /** Takes nothing more; resolves when nothing is under way. */
  stop(): Promise<void>;
}

export interface DispatcherDeps {
  database: Database;
  writer: ChangeWriter;
  links: AgentLinks;
  capacity: Capacity;
  binding: ExecutionBinding;
  bus: Bus;
  clock: Clock;
  metrics: Pick<Metrics, 'executionsForged'>;
  log: Logger;
}

/** Agents served by one statement, and executions taken for one of them at once. */
const agentsAtOnce = 1000;
const executionsAtOnce = 100;

export function createDispatcher(deps: DispatcherDeps): Dispatcher {
  const { database, writer, links, capacity, binding, bus, clock, metrics, log } = deps;
  const awake = new Set<string>();
  const starved = createStarved(capacity);
  let running: Promise<void> | undefined;
  let taking: Promise<void> = Promise.resolve();
  /** Commands of which nothing is handed over, and how often that was asked for. */
  const withheld = new Map<string, number>();
  let stopped = false;

  /** Whether it can be given something now. */
  function wake(agentId: string): boolean {
    const link = links.get(agentId);
    if (link === undefined || stopped) return false;
    link.backlog = true;
    if (capacity.credit(link) === 0) return false;
    awake.add(agentId);
    running ??= run();
    return true;
  }

  async function run(): Promise<void> {
    await undefined;
    for (let failures = 0; awake.size > 0 && !stopped; ) {
      try {
        taking = takeOnce();
        await taking;
        failures = 0;
      } catch (error) {
        log.warn({ err: ViworksError.from(error) }, 'cannot take queued executions now');
        const delay = backoffDelay({ baseMs: 100, maximumMs: 2000 }, failures++, 0.5 + Math.random() / 2);
        await new Promise((resolve) => setTimeout(resolve, delay));
      }
    }
    running = undefined;
  }

  async function takeOnce(): Promise<void> {
    const chosen = [...awake].slice(0, agentsAtOnce);
    const verbs = capacity.limitedVerbs();
    let room = capacity.totalRoom();
    const wants = chosen.flatMap((agentId) => {
      const link = links.get(agentId);
      const wanted = link === undefined ? 0 : Math.min(capacity.credit(link), executionsAtOnce);
      if (link === undefined || wanted === 0) return [];
      const credit = Math.min(wanted, room);
      room -= credit;
      if (credit === 0) {
        starved.add(agentId, 'total');
        return [];
      }
      // Whoever queues something from here on wakes the agent again.
      link.backlog = false;
      return [{ agentId, incarnation: link.incarnation, epoch: link.epoch, credit, link }];
    });
    for (const agentId of chosen) awake.delete(agentId);
    if (wants.length === 0) return;

    const now = clock.now();
    const release = capacity.reserve(wants);
    const taken = await takeDueExecutions(
      database.query,
      wants,
      {
        now: new Date(now),
        deadline: new Date(now + acknowledgeMs),
        transition: transitionRow('sent', 'handed to the agent’s session', now),
      },
      verbs,
    )
      .finally(release)
      .catch((error: unknown) => {
        for (const want of wants) wake(want.agentId);
        throw error;
      });

    const counts = new Map<string, number>();
    const forged: TakenRow[] = [];
    for (const order of taken) {
      counts.set(order.agentId, (counts.get(order.agentId) ?? 0) + 1);
      if (!isBound(binding, order)) {
        forged.push(order);
        continue;
      }
      const link = links.get(order.agentId);
      if (link?.epoch !== order.epoch) {
        returned(order);
        continue;
      }
      if (withheld.has(order.commandId)) {
        giveBack(order, 'its command was stopped before it left');
        continue;
      }
      link.inFlight.set(order.executionId, inFlightOf(order, now));
      link.deliver(order);
    }
    refuse(forged);
    for (const want of wants) {
      if ((counts.get(want.agentId) ?? 0) >= want.credit || want.link.backlog) wake(want.agentId);
    }
    const less = wants.filter((want) => (counts.get(want.agentId) ?? 0) < want.credit);
    if (verbs.length > 0) keepHungry(less.map((want) => want.agentId));
    wakeStarved();
    for (const commandId of new Set(taken.map((order) => order.commandId)))
      bus.publish('command.changed', commandId);
  }

  /** Ends what was not submitted here, or was altered since: nobody is sent it. */
  function refuse(forged: readonly TakenRow[]): void {
    if (forged.length === 0) return;
    metrics.executionsForged.inc(forged.length);
    const executions = forged.slice(0, 10).map(({ executionId, agentId }) => ({ executionId, agentId }));
    log.error({ count: forged.length, executions }, 'executions that were not submitted here are not sent');
    const cause = 'not sent: it was not submitted here, or altered since';
    for (const { executionId, epoch } of forged) {
      const change = {
        executionId,
        from: ['sent'],
        epoch,
        newEpoch: null,
        transitions: [transitionRow('failed', cause, clock.now())],
        deadlineAt: null,
        result: { ...noResult, failureCode: 'not_authentic', failureMessage: cause },
      };
      // Its deadline brings it back.
      writer.add(change).catch((error: unknown) => log.warn({ err: ViworksError.from(error) }, cause));
    }
  }

  /** Where the limit of a verb is reached, its executions may still wait for these agents. */
  function keepHungry(agentIds: readonly string[]): void {
    if (!capacity.limitedVerbs().some(({ verb }) => capacity.room(verb) === 0)) return;
    for (const agentId of agentIds) {
      const link = links.get(agentId);
      if (link === undefined) continue;
      link.backlog = true;
      starved.add(agentId, 'verb');
    }
  }

  function wakeStarved(): void {
    starved.wake(agentsAtOnce, wake);
  }

  type Unsent = Pick<OrderRow, 'executionId' | 'agentId' | 'epoch' | 'expiresAt'>;
  const returned = (order: Unsent) => giveBack(order, 'the session ended before it left; offered again');

  function giveBack(order: Unsent, cause: string): void {
    const change = {
      executionId: order.executionId,
      from: ['sent'],
      epoch: order.epoch,
      newEpoch: null,
      transitions: [transitionRow('queued', cause, clock.now())],
      deadlineAt: order.expiresAt,
    };
    writer.add(change).then(
      () => wake(order.agentId),
      // Its deadline brings it back.
      (error: unknown) =>
        log.warn({ err: ViworksError.from(error) }, 'an undelivered execution stays as sent'),
    );
  }

  return {
    wake,
    returned,
    nudge: wakeStarved,
    withhold(commandId) {
      withheld.set(commandId, (withheld.get(commandId) ?? 0) + 1);
      return () => {
        const drop = () => {
          const left = (withheld.get(commandId) ?? 1) - 1;
          if (left === 0) withheld.delete(commandId);
          else withheld.set(commandId, left);
        };
        void taking.then(drop, drop);
      };
    },
    creditReturned(agentId) {
      if (links.get(agentId)?.backlog === true) wake(agentId);
      wakeStarved();
    },
    async stop() {
      stopped = true;
      await running;
    },
  };
}

/** Whether it is what was submitted, and its attempt one that was decided here. An execution may expire sooner than its command, never later. */
const isBound = (binding: ExecutionBinding, order: TakenRow): boolean =>
  order.expiresAt <= order.commandExpiresAt &&
  (order.attempt === 1 || binding.holdsAttempt(order.executionId, order.attempt, order.attemptBinding)) &&
  binding.holds({ ...order, expiresAt: order.commandExpiresAt, unapproved: false }, order.binding);
